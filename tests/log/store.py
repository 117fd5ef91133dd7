"""What the tests of the SQLite engine share: a store of a test's own, and a look into its file."""

from __future__ import annotations

import sqlite3
import unittest
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gochatsecure.log.port import Sink
from gochatsecure.log.sqlite import SQLiteLog
from tests.support import temporary_folder

from .contract import Shown


def look(path: Path, query: str, values: Sequence[object] = ()) -> list[Any]:
    """What a connection of our own finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


class StoreTestCase(unittest.IsolatedAsyncioTestCase):
    """A file that is whole when the test ends."""

    def setUp(self) -> None:
        self.path = temporary_folder() / "data" / "chat.db"
        self.addCleanup(self.check_file)

    def check_file(self) -> None:
        if self.path.is_file():
            self.assertEqual(look(self.path, "PRAGMA integrity_check"), [("ok",)])
            self.assertEqual(look(self.path, "PRAGMA foreign_key_check"), [])

    async def open(self, sink: Sink, *, durable: bool = False, queue: int = 10_000) -> SQLiteLog:
        """On this test's file; closed when the test ends."""
        log = SQLiteLog(self.path, durable=durable, queue=queue)
        await log.open(sink)
        self.addAsyncCleanup(log.close)
        return log

    async def start(self, *, durable: bool = False) -> tuple[SQLiteLog, Shown]:
        shown = Shown()
        return await self.open(shown, durable=durable), shown
