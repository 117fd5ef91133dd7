"""SQLite connections that note what they are asked, and that wait or fail where a test says so."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.support import PATIENCE

DISK_FULL = sqlite3.OperationalError("database or disk is full")
DISK_BROKEN = sqlite3.OperationalError("disk I/O error")
LOCKED = sqlite3.OperationalError("database is locked")
_connect = sqlite3.connect


class Faults:
    """What befalls statements, by how they begin."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.opened: list[sqlite3.Connection] = []  # the writer's, the reader's
        self.asked: Counter[sqlite3.Connection] = Counter()  # statements that are under way
        self.closed_in_use = 0
        self.instead: dict[str, str] = {}  # what is done instead of a statement
        self._failing: dict[str, tuple[Exception, bool]] = {}
        self._held: dict[str, tuple[threading.Event, threading.Event]] = {}

    def count(self, beginning: str) -> int:
        """How many statements have begun so."""
        return sum(statement.startswith(beginning) for statement in self.seen)

    def fail(self, beginning: str, error: Exception, *, after: bool = False) -> None:
        """Raise this, instead of doing what begins so, or `after` it was done."""
        self._failing[beginning] = error, after

    def mend(self) -> None:
        self._failing.clear()

    @contextmanager
    def hold(self, beginning: str) -> Iterator[threading.Event]:
        """Statements that begin so wait until the end of the block. Gives what is set as soon as one does."""
        waiting, released = threading.Event(), threading.Event()
        self._held[beginning] = waiting, released
        try:
            yield waiting
        finally:
            del self._held[beginning]
            released.set()
            waiting.set()

    def befall(
        self, connection: sqlite3.Connection, statement: str, do: Callable[[], sqlite3.Cursor]
    ) -> sqlite3.Cursor:
        statement = statement.strip()
        self.seen.append(statement)
        self.asked[connection] += 1
        try:
            for beginning, (waiting, released) in list(self._held.items()):
                if statement.startswith(beginning):
                    waiting.set()
                    released.wait(PATIENCE)
            for beginning, (error, after) in list(self._failing.items()):
                if statement.startswith(beginning):
                    if after:
                        do()
                    raise error
            return do()
        finally:
            self.asked[connection] -= 1


@contextmanager
def faults() -> Iterator[Faults]:
    """Connections that are opened in the block are at the mercy of what it gives."""
    befalling = Faults()

    class Probe(sqlite3.Connection):
        def execute(self, sql: str, /, *values: Any) -> sqlite3.Cursor:
            sql = befalling.instead.get(sql, sql)
            return befalling.befall(self, sql, lambda: super(Probe, self).execute(sql, *values))

        def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
            return befalling.befall(self, sql, lambda: super(Probe, self).executemany(sql, rows))

        def close(self) -> None:
            befalling.closed_in_use += befalling.asked[self]
            super().close()

    def connect(*values: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = _connect(*values, factory=Probe, **options)
        befalling.opened.append(connection)
        return connection

    with mock.patch("sqlite3.connect", connect):
        yield befalling
