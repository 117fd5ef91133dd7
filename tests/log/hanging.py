"""A program that stores one message on a disk that hangs for as long as its standard input is open, and ends."""

import asyncio
import sqlite3
import sys
from pathlib import Path
from unittest import mock

from gochatsecure.log.sqlite import SQLiteLog

from .contract import Shown, said


class Hanging(sqlite3.Connection):
    def execute(self, sql: str, /, *values: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            sys.stdin.read()
        return super().execute(sql, *values)  # type: ignore[arg-type]


async def main() -> None:
    log = SQLiteLog(Path(sys.argv[1]), durable=True, queue=10)
    await log.open(Shown())
    log.append(said("hi"))
    try:
        await asyncio.wait_for(log.close(), 0.1)
    except TimeoutError:
        print("closed", flush=True)


if __name__ == "__main__":
    connect = sqlite3.connect
    with mock.patch("sqlite3.connect", lambda path, **options: connect(path, factory=Hanging, **options)):
        asyncio.run(main())
