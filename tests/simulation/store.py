"""The log engines, their threads replaced by steps of the simulation; and a disk that fails when the seed says so.

`SteppedLog` is `SQLiteLog` with all that it does but its threads and its file: what they would do takes place at
moments that the seed chooses, and what they answer arrives later. The database is in memory and outlives the server.
What is told to `Truth` is read from the database itself, by a connection of its own, after each commit.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from random import Random
from typing import Any

from gochatsecure.chat.model import KINDS, Draft, Entry, Stream
from gochatsecure.errors import StoreError
from gochatsecure.log.memory import MemoryLog
from gochatsecure.log.port import Committed, Outcome
from gochatsecure.log.reader import Reader
from gochatsecure.log.rows import COLUMNS
from gochatsecure.log.sqlite import SQLiteLog
from gochatsecure.log.verify import _verify
from gochatsecure.log.writer import Writer

from .loop import TICK, SimLoop
from .truth import Truth

ERRORS = ("database or disk is full", "disk I/O error", "database is locked")


class Crashed(BaseException):
    """The process is no more, in the middle of a transaction."""


class Disk:
    """What befalls the database's statements. `slow`: seconds that a commit may take."""

    def __init__(self, random: Random, loop: SimLoop, truth: Truth, name: str) -> None:
        self._random = random
        self._name = f"file:{name}?mode=memory&cache=shared"
        self.loop = loop
        self.truth = truth
        self.slow = 0.0
        self.writing: str | None = None  # the error of what is written
        self.reading: str | None = None
        self.crash: Callable[[], None] | None = None  # to be done at a statement of the next commit
        self._countdown = 0
        self._keeper: sqlite3.Connection | None = None
        self._opened: list[sqlite3.Connection] = []

    def open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        """The writer's connection and the reader's; those of a process that has crashed are gone."""
        if self._keeper is None:
            self._keeper = sqlite3.connect(self._name, uri=True, isolation_level=None)
            self._keeper.execute("PRAGMA read_uncommitted = 0")
        for connection in self._opened:
            connection.close()
        disk = self

        class Probe(sqlite3.Connection):
            writes = False

            def execute(self, sql: str, /, *values: Any) -> sqlite3.Cursor:
                return disk._befall(self.writes, sql, lambda: super(Probe, self).execute(sql, *values))

            def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
                return disk._befall(self.writes, sql, lambda: super(Probe, self).executemany(sql, rows))

        writer, reader = (sqlite3.connect(self._name, uri=True, isolation_level=None, factory=Probe) for _ in range(2))
        writer.writes = True
        writer.execute("PRAGMA foreign_keys = ON")
        self._opened = [writer, reader]
        return writer, reader

    def _befall(self, writes: bool, sql: str, do: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        if not writes:
            if self.reading is not None:
                raise sqlite3.OperationalError(self.reading)
            return do()
        if self.crash is not None and sql != "ROLLBACK":
            self._countdown -= 1
            if self._countdown < 0:
                if sql == "COMMIT" and self._random.random() < 0.5:
                    do()  # stored, and nobody will ever be told
                raise Crashed
        if self.writing is not None and sql != "ROLLBACK" and self._random.random() < 0.5:
            raise sqlite3.OperationalError(self.writing)
        return do()

    def crash_in_a_commit(self, crash: Callable[[], None]) -> None:
        self.crash, self._countdown = crash, self._random.randrange(8)

    def end_of_the_process(self) -> None:
        crash, self.crash = self.crash, None
        assert crash is not None
        crash()

    def mend(self) -> None:
        self.slow, self.writing, self.reading, self.crash = 0.0, None, None, None

    def pause(self) -> float:
        """Seconds that the next piece of work waits for its thread, and the disk."""
        return self._random.choice((0, 0, 1, 3, 15, 60)) * TICK + self._random.random() * self.slow

    def look(self, which: str = "", *values: object) -> list[Entry]:
        """The store's own entries, as they are."""
        assert self._keeper is not None
        found = self._keeper.execute(
            f"SELECT name, {COLUMNS} FROM entry JOIN stream ON stream = id {which} ORDER BY name, seq", values
        )
        return [
            Entry(Stream(name), seq, ts, sender, cid, KINDS[kind](*json.loads(body)), head, seal)
            for name, seq, ts, sender, cid, kind, body, seal, head in found
        ]

    def catch_up(self, streams: Sequence[Stream]) -> None:
        """Tell what has been committed to these."""
        for stream in streams:
            self.truth.committed(self.look("WHERE name = ? AND seq > ?", stream, self.truth.last(stream)))

    def check(self) -> list[str]:
        """What the verifier finds."""
        assert self._keeper is not None
        report = _verify(self._keeper)
        self._keeper.rollback()
        return report.faults

    def close(self) -> None:
        for connection in [*self._opened, self._keeper]:
            if connection is not None:
                connection.close()


class SteppedWorker:
    """A thread that does one thing after another, as `worker.Worker`: each at its own step."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._ended = False
        self._free = 0.0  # when the last of its jobs is done

    def run(self, job: Callable[[], Any]) -> asyncio.Future[Any]:
        if self._ended:
            raise RuntimeError("this worker has ended")
        loop = self._disk.loop
        answer = loop.create_future()

        def work() -> None:
            loop.thread = self._name
            try:
                result = job()
            except Exception as error:
                loop.call_soon_threadsafe(_settle, answer, None, error)
            else:
                loop.call_soon_threadsafe(_settle, answer, result, None)
            finally:
                loop.thread = ""

        self._free = max(self._free, loop.time() + self._disk.pause())
        loop.at(self._free, work, context=copy_context())
        return answer

    def end(self, last: Callable[[], None]) -> asyncio.Future[Any]:
        answer = self.run(last)
        self._ended = True
        return answer


def _settle(answer: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


class SteppedLog(SQLiteLog):
    def __init__(self, disk: Disk, random: Random, *, queue: int) -> None:
        super().__init__(
            Path("simulated"), durable=True, queue=queue, make_epoch=lambda: "e1", make_salt=random.randbytes
        )
        self._disk = disk
        self._reading = SteppedWorker(disk, "reader")  # type: ignore[assignment]
        self._committer = self  # type: ignore[assignment]
        self._waits = False

    def _open(self) -> None:
        try:
            writer, reader = self._disk.open()
            self._writer = Writer(writer, self._make_epoch, self._make_salt)
            self._writer.migrate()
            self._reader = Reader(reader)
        except Crashed:
            self._disk.end_of_the_process()
        except sqlite3.Error as error:
            raise StoreError(f"cannot be used: {error}", "wait") from None

    # The committer's thread: it is its own `_committer`.

    def start(self) -> None:
        pass

    def join(self) -> None:
        self._commit_or_crash()

    def _commit_or_crash(self) -> None:
        try:
            self._commit_all()
        except Crashed:
            self._disk.end_of_the_process()

    def _hand_over(self) -> None:
        super()._hand_over()
        if not self._waits and self._ending is None:
            self._waits = True
            loop = self._disk.loop
            loop.at(loop.time() + self._disk.pause(), self._work)

    def _work(self) -> None:
        self._waits = False
        if self._ending is None:
            self._handed.put(None)  # the end of this step's work
            self._commit_or_crash()

    def _commit(self, writer: Writer, drafts: Sequence[Draft], marks: Any) -> None:
        loop = self._disk.loop
        loop.thread = "committer"
        try:
            super()._commit(writer, drafts, marks)
        finally:
            loop.thread = ""
            self._disk.catch_up(sorted({stream for draft in drafts for stream, _ in draft.parts}))


class ToldLog(MemoryLog):
    """`MemoryLog`, whose commits are told."""

    def __init__(self, truth: Truth, random: Random, *, kept: int, queue: int) -> None:
        super().__init__(
            kept=kept, queue=queue, make_epoch=lambda: f"{random.getrandbits(64):x}", make_salt=random.randbytes
        )
        self._truth = truth

    def _store(self, draft: Draft) -> Outcome:
        outcome = super()._store(draft)
        if isinstance(outcome, Committed) and not outcome.dup:
            self._truth.committed(outcome.entries)
        return outcome

    def _forget(self) -> None:
        entry = self._streams[self._oldest[0]].entries[0]
        super()._forget()
        self._truth.dropped(entry)
