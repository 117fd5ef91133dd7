"""The log in one SQLite file: WAL, one committer thread, group commit.

Three threads touch it, each with what is its own: the event loop gathers drafts and hands over the drafts of one turn
as a list; the committer takes all lists that wait and commits them as one transaction, one fsync for all; a reader
thread answers `read` and `tail` on a connection of its own, which under WAL waits for no writer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from ..chat.errors import Temporary
from ..chat.model import Content, Draft, Entry, Posted, Stream, Told
from ..errors import StoreError
from ..private import own_folder, own_lock, refuse_shared
from .migrations import migrate, refuse_foreign
from .port import CID_REUSED, Committed, Failed, Outcome, Sink, busy, groups, unavailable, weigh
from .worker import Worker

_logger = logging.getLogger("gochatsecure.log")

_KINDS: dict[str, type[Posted] | type[Told]] = {"posted": Posted, "told": Told}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_OLDEST = (3, 37)  # has STRICT tables
_STREAMS_KNOWN = 10_000  # positions kept in memory; the rest are looked up again
_INSERT = "INSERT INTO entry (stream, seq, ts, sender, cid, kind, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT seq, ts, sender, cid, kind, body FROM entry WHERE stream = (SELECT id FROM stream WHERE name = ?)"
_Row = tuple[int, int, int, str, str | None, str, str]


class SQLiteLog:
    """`durable`: an ack survives a power cut (one fsync a commit); else it survives the end of this process only."""

    def __init__(
        self,
        path: Path,
        *,
        durable: bool,
        queue: int,
        make_epoch: Callable[[], str] = secrets.token_hex,
    ) -> None:
        """`queue`: drafts that may wait for a commit; more are refused. `make_epoch`: names for new streams' epochs."""
        self._path = path
        self._durable = durable
        self._queue = queue
        self._make_epoch = make_epoch
        self._under_way = 0  # drafts appended whose outcome is not out yet
        self._arriving: list[Draft] = []
        self._handed: SimpleQueue[list[Draft] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sink: Sink | None = None
        self._ending: asyncio.Future[None] | None = None
        self._lock: int | None = None
        self._writer: _Writer | None = None
        self._reading: sqlite3.Connection | None = None
        self._reader = Worker("gochatsecure-reader")
        self._committer = Thread(target=self._commit_all, name="gochatsecure-committer", daemon=True)

    async def open(self, sink: Sink) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        try:
            await self._reader.run(self._open)
        except asyncio.CancelledError:
            self._ending = self._reader.end(self._let_go)  # once `_open` is done, which goes on in its thread
            raise
        except BaseException:
            self._ending = self._reader.end(self._let_go)
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
            self._writer = _Writer(_connect(path, durable=self._durable), self._make_epoch)
            self._writer.migrate()
            self._reading = _connect(path, durable=False)
        except BlockingIOError:
            raise StoreError(f"{path}: another server is using it", "stop that one, or choose another -store") from None
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreError(f"{path}: cannot be used: {reason}", "choose another -store or -data") from None

    def append(self, draft: Draft) -> None:
        assert self._loop is not None, "open() comes first"
        if self._ending is not None:
            raise unavailable()
        if self._under_way >= self._queue:
            raise busy()
        weigh(draft)
        if not self._arriving:
            self._loop.call_soon(self._hand_over)
        self._arriving.append(draft)
        self._under_way += 1

    def _hand_over(self) -> None:
        drafts, self._arriving = self._arriving, []
        if drafts:
            self._handed.put(drafts)

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        return await self._ask(f"{_SELECT} AND seq > ? ORDER BY seq LIMIT ?", (stream, after, limit), stream)

    async def tail(self, stream: Stream, limit: int) -> list[Entry]:
        newest = await self._ask(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (stream, limit), stream)
        return newest[::-1]

    async def _ask(self, query: str, values: tuple[object, ...], stream: Stream) -> list[Entry]:
        def ask() -> list[Entry]:
            assert self._reading is not None, "open() comes first"
            return [_entry(stream, *row) for row in self._reading.execute(query, values)]

        try:
            return await self._reader.run(ask)
        except sqlite3.Error as error:
            _logger.error("store: reading failed: %s", error)
        except RuntimeError:
            pass  # it is closed: the server is going away
        raise Temporary("store_unavailable", "the history could not be read", 2000)

    async def close(self) -> None:
        if self._ending is None:
            if self._writer is None:
                return
            self._hand_over()
            self._handed.put(None)
            self._ending = self._reader.end(self._end)
        await asyncio.shield(self._ending)  # who gives up waiting does not stop it

    def _end(self) -> None:
        self._committer.join()
        self._let_go()

    def _let_go(self) -> None:
        for closing in (self._reading, self._writer):
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
            group = self._handed.get() or []
            more = bool(group)
            with suppress(Empty):
                while True:
                    drafts = self._handed.get_nowait()
                    more = more and drafts is not None
                    group = group + (drafts or [])
            for together in groups(group):
                outcomes = self._writer.commit(together)
                with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
                    self._loop.call_soon_threadsafe(self._deliver, outcomes)

    # On the loop again.

    def _deliver(self, outcomes: list[Outcome]) -> None:
        self._under_way -= len(outcomes)
        assert self._sink is not None
        self._sink(outcomes)


class _Writer:
    """Drafts into rows, in the committer's thread alone. Knows where each stream ends."""

    def __init__(self, connection: sqlite3.Connection, make_epoch: Callable[[], str]) -> None:
        self._connection = connection
        self._make_epoch = make_epoch
        self._ends: dict[Stream, tuple[int, int]] = {}  # by name: id, last seq

    def migrate(self) -> None:
        migrate(self._connection)

    def close(self) -> None:
        self._connection.close()  # the last connection checkpoints the WAL into the file

    def commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """One transaction for all. What SQLite cannot do fails all of them; the next call starts afresh."""
        try:
            try:
                return self._attempt(self._write_new, drafts)
            except sqlite3.IntegrityError:  # some cid has been used before
                return self._attempt(self._write_checked, drafts)
        except sqlite3.Error as error:
            _logger.error("store: a commit of %d failed: %s", len(drafts), error)
        except Exception:
            _logger.exception("store: a commit of %d failed by our own fault", len(drafts))
        refusal = unavailable()
        return [Failed(draft, refusal) for draft in drafts]

    def _attempt(self, write: Callable[[Sequence[Draft]], list[Outcome]], drafts: Sequence[Draft]) -> list[Outcome]:
        if len(self._ends) > _STREAMS_KNOWN:
            self._ends.clear()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = write(drafts)
            self._connection.execute("COMMIT")
            return outcomes
        except BaseException:
            self._ends.clear()
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _write_new(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """The common case: every cid is new. Raises sqlite3.IntegrityError if one is not."""
        rows: list[_Row] = []
        outcomes: list[Outcome] = [Committed(draft, self._number(draft, rows)) for draft in drafts]
        self._connection.executemany(_INSERT, rows)
        return outcomes

    def _write_checked(self, drafts: Sequence[Draft]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for draft in drafts:
            first = self._first(draft)
            if first is None:
                rows: list[_Row] = []
                outcomes.append(Committed(draft, self._number(draft, rows)))
                self._connection.executemany(_INSERT, rows)
            elif (first.stream, first.content) == draft.parts[0]:
                outcomes.append(Committed(draft, (first,), dup=True))
            else:
                outcomes.append(Failed(draft, CID_REUSED))
        return outcomes

    def _number(self, draft: Draft, rows: list[_Row]) -> list[Entry]:
        """Give each part its place; add its row."""
        entries = []
        cid = draft.cid
        for stream, content in draft.parts:
            end = self._ends.get(stream)
            number, last = end if end is not None else self._look_up(stream)
            seq = last + 1
            self._ends[stream] = (number, seq)
            rows.append((number, seq, draft.ts, draft.sender, cid, _NAMES[type(content)], _encode(content)))
            entries.append(Entry(stream, seq, draft.ts, draft.sender, cid, content))
            cid = None
        return entries

    def _look_up(self, stream: Stream) -> tuple[int, int]:
        found = self._connection.execute(
            "SELECT id, (SELECT max(seq) FROM entry WHERE stream = id) FROM stream WHERE name = ?", (stream,)
        ).fetchone()
        if found is not None:
            return found[0], found[1] or 0
        inserted = self._connection.execute(
            "INSERT INTO stream (name, epoch) VALUES (?, ?)", (stream, self._make_epoch())
        )
        assert inserted.lastrowid is not None
        return inserted.lastrowid, 0

    def _first(self, draft: Draft) -> Entry | None:
        """The entry that this draft's cid has made before."""
        if draft.cid is None:
            return None
        row = self._connection.execute(
            "SELECT name, seq, ts, sender, cid, kind, body FROM entry JOIN stream ON stream = id"
            " WHERE sender = ? AND cid = ?",
            (draft.sender, draft.cid),
        ).fetchone()
        return None if row is None else _entry(*row)


def _connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but opened and closed by another.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        refuse_foreign(connection, path)  # before anything is written into it
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise sqlite3.OperationalError("its file system cannot keep a write-ahead log")
        settings = (
            f"synchronous = {'FULL' if durable else 'NORMAL'}",
            f"fullfsync = {durable:d}",  # macOS: its fsync alone does not reach the disk; elsewhere nothing
            "busy_timeout = 5000",  # milliseconds; only an operator's own tool could hold the lock
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "journal_size_limit = 16777216",  # bytes of WAL kept after a checkpoint
        )
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def _entry(stream: Stream, seq: int, ts: int, sender: str, cid: str | None, kind: str, body: str) -> Entry:
    content: Content = _KINDS[kind](*json.loads(body))
    return Entry(stream, seq, ts, sender, cid, content)
