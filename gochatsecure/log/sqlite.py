"""The log in one SQLite file: WAL, one committer thread, group commit.

Three threads touch it, each with what is its own: the event loop gathers drafts and hands over what one turn brought;
the committer takes all that waits and commits it as one transaction, one fsync for all (`Writer`); a reader thread
answers questions on a connection of its own, which under WAL waits for no writer (`Reader`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, TypeVar

from ..chat.errors import Temporary
from ..chat.model import Draft, Entry, Stream
from ..errors import StoreError
from ..private import own_folder, own_lock, refuse_shared
from ..worker import Worker
from .port import Anchor, Opening, Outcome, Page, Sink, Tally, busy, check, groups, unavailable
from .reader import Reader
from .rows import connect
from .writer import Writer

_logger = logging.getLogger("gochatsecure.log")
_OLDEST = (3, 37)  # has STRICT tables
_T = TypeVar("_T")


class _Mark(NamedTuple):
    """A mark on its way into the store, and who waits for it."""

    reader: str
    place: str
    seq: int
    stored: asyncio.Future[int]


class _Turn(NamedTuple):
    """What one turn of the loop brought."""

    drafts: list[Draft]
    marks: list[_Mark]


class SQLiteLog:
    """`durable`: an ack survives a power cut (one fsync a commit); else it survives the end of this process only."""

    def __init__(
        self,
        path: Path,
        *,
        durable: bool,
        queue: int,
        make_epoch: Callable[[], str] = secrets.token_hex,
        make_salt: Callable[[int], bytes] = secrets.token_bytes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queue`: drafts that may wait for a commit; more are refused. `make_epoch` names a new file's epoch;
        `make_salt` gives so many bytes that nobody can guess. `monotonic` gives seconds that only grow."""
        self._path = path
        self._durable = durable
        self._queue = queue
        self._make_epoch = make_epoch
        self._make_salt = make_salt
        self._monotonic = monotonic
        self._committing = 0.0  # seconds, all commits together; the committer's
        self._under_way = 0  # drafts appended whose outcome is not out yet
        self._arriving = _Turn([], [])
        self._handed: SimpleQueue[_Turn | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sink: Sink | None = None
        self._ending: asyncio.Future[None] | None = None
        self._lock: int | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._reading = Worker("gochatsecure-reader")
        self._committer = Thread(target=self._commit_all, name="gochatsecure-committer", daemon=True)

    async def open(self, sink: Sink) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        try:
            await self._reading.run(self._open)
        except asyncio.CancelledError:
            self._ending = self._reading.end(self._let_go)  # once `_open` is done, which goes on in its thread
            raise
        except BaseException:
            self._ending = self._reading.end(self._let_go)
            await self._ending
            raise
        self._committer.start()

    def _open(self) -> None:
        path = Path(os.path.realpath(self._path))  # a link leads to the same file, and so to the same lock
        if sqlite3.sqlite_version_info < _OLDEST:
            cause = f"this Python's SQLite, {sqlite3.sqlite_version}, is older than {'.'.join(map(str, _OLDEST))}"
            raise StoreError(cause, "use a newer Python, or -store memory:")
        try:
            own_folder(path.parent)
            self._lock = own_lock(path.with_name(path.name + ".lock"))
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            refuse_shared(path, StoreError)
            self._writer = Writer(connect(path, durable=self._durable), self._make_epoch, self._make_salt)
            self._writer.migrate()
            self._reader = Reader(connect(path, durable=False))
        except BlockingIOError:
            raise StoreError(f"{path}: another server is using it", "stop that one, or choose another -store") from None
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreError(f"{path}: cannot be used: {reason}", "choose another -store or -data") from None

    def append(self, draft: Draft) -> None:
        if self._under_way >= self._queue:
            raise busy()
        check(draft)
        self._arrive().drafts.append(draft)
        self._under_way += 1

    async def mark(self, reader: str, place: str, seq: int) -> int:
        marks = self._arrive().marks
        if len(marks) >= self._queue:
            raise busy()
        marks.append(_Mark(reader, place, seq, asyncio.get_running_loop().create_future()))
        return await marks[-1].stored

    def _arrive(self) -> _Turn:
        """Where to put what is to be stored. Raises Temporary when the log is closing."""
        assert self._loop is not None, "open() comes first"
        if self._ending is not None:
            raise unavailable()
        if not self._arriving.drafts and not self._arriving.marks:
            self._loop.call_soon(self._hand_over)
        return self._arriving

    def _hand_over(self) -> None:
        turn, self._arriving = self._arriving, _Turn([], [])
        if turn.drafts or turn.marks:
            self._handed.put(turn)

    async def look(self, stream: Stream, limit: int) -> Opening:
        return await self._ask(lambda reader: reader.look(stream, limit))

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        return await self._ask(lambda reader: reader.read(stream, after, limit))

    async def page(self, stream: Stream, anchor: Anchor, limit: int) -> Page:
        return await self._ask(lambda reader: reader.page(stream, anchor, limit))

    async def find(self, sender: str, cid: str) -> Entry | None:
        return await self._ask(lambda reader: reader.find(sender, cid))

    async def count(self, stream: Stream, after: int, besides: str, most: int, peer: str | None = None) -> int:
        return await self._ask(lambda reader: reader.count(stream, after, besides, most, peer))

    async def marks(self, reader: str, most: int) -> dict[str, int]:
        return await self._ask(lambda store: store.marks(reader, most))

    async def _ask(self, question: Callable[[Reader], _T]) -> _T:
        def ask() -> _T:
            assert self._reader is not None, "open() comes first"
            return self._reader.snapshot(partial(question, self._reader))

        try:
            return await self._reading.run(ask)
        except sqlite3.Error as error:
            _logger.error("store: reading failed: %s", error)
        except RuntimeError:
            pass  # it is closed: the server is going away
        raise Temporary("store_unavailable", "the history could not be read", 2000)

    @property
    def tally(self) -> Tally:
        writer = self._writer
        if writer is None:
            return Tally(self._under_way)
        return Tally(self._under_way, writer.commits, writer.entries, writer.failed, self._committing)

    async def close(self) -> None:
        if self._ending is None:
            if self._writer is None:
                return
            self._hand_over()
            self._handed.put(None)
            self._ending = self._reading.end(self._end)
        await asyncio.shield(self._ending)  # who gives up waiting does not stop it

    def _end(self) -> None:
        self._committer.join()
        self._let_go()

    def _let_go(self) -> None:
        for closing in (self._reader, self._writer):
            if closing is not None:
                with suppress(sqlite3.Error):
                    closing.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # In the committer's thread.

    def _commit_all(self) -> None:
        assert self._writer is not None and self._loop is not None
        more = True
        while more:
            handed: list[_Turn | None] = [self._handed.get()]
            with suppress(Empty):
                while True:
                    handed.append(self._handed.get_nowait())
            more = None not in handed
            turns = [turn for turn in handed if turn is not None]
            drafts = [draft for turn in turns for draft in turn.drafts]
            marks = [mark for turn in turns for mark in turn.marks]
            for together in groups(drafts) if drafts else ((),):
                self._commit(self._writer, together, marks)
                marks = []  # they went with the first group

    def _commit(self, writer: Writer, drafts: Sequence[Draft], marks: list[_Mark]) -> None:
        assert self._loop is not None
        if not drafts and not marks:
            return
        newest: dict[tuple[str, str], int] = {}
        for reader, place, seq, _ in marks:
            newest[reader, place] = max(seq, newest.get((reader, place), 0))
        began = self._monotonic()
        outcomes, marked = writer.commit(drafts, newest)
        self._committing += self._monotonic() - began
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(self._deliver, outcomes, marks, marked)

    # On the loop again.

    def _deliver(self, outcomes: list[Outcome], marks: list[_Mark], marked: dict[tuple[str, str], int] | None) -> None:
        self._under_way -= len(outcomes)
        assert self._sink is not None
        if outcomes:
            self._sink(outcomes)
        for reader, place, _, stored in marks:
            if stored.done():
                continue  # who has asked has gone
            if marked is None:
                stored.set_exception(unavailable())
            else:
                stored.set_result(marked[reader, place])
