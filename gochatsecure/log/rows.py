"""Entries as rows of the SQLite store, and its connections."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from ..chat.model import KIND_OF, KINDS, Content, Entry, Stream, target_of
from .migrations import refuse_foreign
from .port import peer_of

COLUMNS = "seq, ts, sender, cid, kind, body, seal, head"
Row = tuple[int, int, int, str, str | None, str, str, int | None, str | None, bytes, bytes]
INSERT = (
    "INSERT INTO entry (stream, seq, ts, sender, cid, kind, body, target, peer, seal, head)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
RULE = "INSERT OR REPLACE INTO rule (stream, kind, person, seq, until) VALUES (?, ?, ?, ?, ?)"
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def row_of(stream: int, entry: Entry) -> Row:
    """`stream`: the number of the entry's stream."""
    name, seq, ts, sender, cid, content, head, seal = entry
    target, peer = target_of(content), peer_of(name, sender, content)
    return stream, seq, ts, sender, cid, KIND_OF[type(content)], encode(content), target, peer, seal, head


def entry_of(
    stream: Stream, seq: int, ts: int, sender: str, cid: str | None, kind: str, body: str, seal: bytes, head: bytes
) -> Entry:
    """The stream's name, and its COLUMNS."""
    content: Content = KINDS[kind](*json.loads(body))
    return Entry(stream, seq, ts, sender, cid, content, head, seal)


def end_of(connection: sqlite3.Connection, stream: Stream) -> tuple[int, int, int, bytes] | None:
    """The stream's number, its floor, its last seq and its head; None for one that nobody wrote to."""
    found = connection.execute("SELECT id, floor, base FROM stream WHERE name = ?", (stream,)).fetchone()
    if found is None:
        return None
    number, floor, base = found
    newest = connection.execute(
        "SELECT seq, head FROM entry WHERE stream = ? ORDER BY seq DESC LIMIT 1", (number,)
    ).fetchone()
    return number, floor, *(newest or (floor - 1, base))


def entry_under(connection: sqlite3.Connection, sender: str, cid: str) -> Entry | None:
    """The entry that this sender has made under this cid."""
    row = connection.execute(
        f"SELECT name, {COLUMNS} FROM entry JOIN stream ON stream = id WHERE sender = ? AND cid = ?", (sender, cid)
    ).fetchone()
    return None if row is None else entry_of(*row)


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Raises sqlite3.Error; StoreError for what is not ours. Used by one thread at a time, whichever that is."""
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
            "secure_delete = ON",  # what is erased does not stay behind in free space
            "journal_size_limit = 16777216",  # bytes of WAL kept after a checkpoint
        )
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection
