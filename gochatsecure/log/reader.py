"""Questions to the SQLite store, each answered from one snapshot. On one connection, without a thread of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from ..chat.chain import genesis
from ..chat.model import Entry, Position, Stream
from .port import REACTIONS, SCAN, Anchor, Opening, Page, cut
from .rows import COLUMNS, end_of, entry_of, entry_under

_T = TypeVar("_T")
_NO_STREAM = -1


class Reader:
    """Used by one thread at a time. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        (self._epoch,) = connection.execute("SELECT epoch FROM store").fetchone()

    def close(self) -> None:
        self._connection.close()

    def snapshot(self, ask: Callable[[], _T]) -> _T:
        """What `ask` finds, all of it as of one moment."""
        self._connection.execute("BEGIN DEFERRED")
        try:
            return ask()
        finally:
            self._connection.rollback()  # nothing was written

    def look(self, stream: Stream, limit: int) -> Opening:
        number, position = self._position(stream)
        tail = self._entries(stream, "WHERE stream = ? ORDER BY seq DESC LIMIT ?", number, limit)[::-1]
        rules = self._entries(
            stream, "WHERE stream = ? AND seq IN (SELECT seq FROM rule WHERE stream = ?) ORDER BY seq", number, number
        )
        return Opening(position, tail, rules)

    def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        number, _ = self._position(stream)
        return self._entries(stream, "WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?", number, after, limit)

    def page(self, stream: Stream, anchor: Anchor, limit: int) -> Page:
        number, position = self._position(stream)
        which, values = _which(anchor.peer)

        def find(first: int, last: int, limit: int) -> list[Entry]:
            order, newest = ("", False) if limit > 0 else ("DESC", True)
            where = f"{which} AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?"
            found = self._entries(stream, where, number, *values, first, last, abs(limit))
            return found[::-1] if newest else found

        messages, first, last, more = cut(anchor, limit, position, find)
        return Page(messages, self._about(stream, number, messages), first, last, more, position)

    def find(self, sender: str, cid: str) -> Entry | None:
        return entry_under(self._connection, sender, cid)

    def count(self, stream: Stream, after: int, besides: str, most: int, peer: str | None = None) -> int:
        number, _ = self._position(stream)
        which, values = _which(peer)
        (found,) = self._connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM entry {which} AND seq > ? AND seq <= ? AND sender <> ? LIMIT ?)",
            (number, *values, after, after + SCAN, besides, most),
        ).fetchone()
        return int(found)

    def marks(self, reader: str, most: int) -> dict[str, int]:
        query = "SELECT place, seq FROM mark WHERE reader = ? ORDER BY at DESC LIMIT ?"
        return dict(self._connection.execute(query, (reader, most)))

    def _position(self, stream: Stream) -> tuple[int, Position]:
        """The stream's number, and where it stands."""
        found = end_of(self._connection, stream)
        if found is None:
            return _NO_STREAM, Position(self._epoch, 1, 0, genesis(stream, self._epoch))
        number, floor, last, head = found
        return number, Position(self._epoch, floor, last, head)

    def _about(self, stream: Stream, number: int, messages: list[Entry]) -> list[Entry]:
        about: list[Entry] = []
        for message in messages:
            for kind, limit in (("edited", 1), ("deleted", 1), ("reacted", REACTIONS)):
                about += self._entries(
                    stream,
                    "INDEXED BY entry_about WHERE stream = ? AND target = ? AND kind = ? ORDER BY seq DESC LIMIT ?",
                    *(number, message.seq, kind, limit),
                )
        return sorted(about, key=lambda entry: entry.seq)

    def _entries(self, stream: Stream, where: str, *values: Any) -> list[Entry]:
        rows = self._connection.execute(f"SELECT {COLUMNS} FROM entry {where}", values)
        return [entry_of(stream, *row) for row in rows]


def _which(peer: str | None) -> tuple[str, tuple[str, ...]]:
    """Which messages of a stream are wanted, as the beginning of SQL, and its values after the stream's number."""
    # SQLite would not always see by itself which index holds what is asked for.
    if peer is None:
        return "WHERE stream = ? AND kind IN ('message', 'private')", ()
    return "INDEXED BY entry_peer WHERE stream = ? AND peer = ?", (peer,)
