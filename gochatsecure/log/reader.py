"""Questions to the SQLite store, each answered from one snapshot. On one connection, without a thread of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from ..chat.chain import genesis
from ..chat.model import Entry, Position, Stream
from .port import REACTIONS, SCAN, Anchor, Opening, Page
from .rows import COLUMNS, end_of, entry_of

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
        topic = self._entries(
            stream, "INDEXED BY entry_topic WHERE stream = ? AND kind = 'topic' ORDER BY seq DESC LIMIT 1", number
        )
        return Opening(position, tail, topic[0] if topic else None)

    def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        number, _ = self._position(stream)
        return self._entries(stream, "WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?", number, after, limit)

    def page(self, stream: Stream, anchor: Anchor, limit: int) -> Page:
        number, position = self._position(stream)
        if anchor.after is not None:
            first = max(anchor.after + 1, position.floor)
            messages, last, more = self._newer(stream, number, position, first, limit, anchor.peer)
        elif anchor.around is not None:
            before, start = min(anchor.around - 1, position.last), max(anchor.around, position.floor)
            older, first, more = self._older(stream, number, position, before, limit // 2, anchor.peer)
            newer, last, beyond = self._newer(stream, number, position, start, limit - limit // 2, anchor.peer)
            messages, more = older + newer, more or beyond
        else:
            last = position.last if anchor.before is None else min(anchor.before - 1, position.last)
            messages, first, more = self._older(stream, number, position, last, limit, anchor.peer)
        return Page(messages, self._about(stream, number, messages), first, last, more, position)

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

    def _older(
        self, stream: Stream, number: int, position: Position, last: int, limit: int, peer: str | None
    ) -> tuple[list[Entry], int, bool]:
        """The newest messages up to `last`, oldest first; from where on that is all; whether there may be more."""
        reach = max(position.floor, last - SCAN + 1)
        which, values = _which(peer)
        found = self._entries(
            stream,
            f"{which} AND seq <= ? AND seq >= ? ORDER BY seq DESC LIMIT ?",
            *(number, *values, last, reach, limit + 1),
        )[::-1]
        if len(found) > limit:
            found = found[1:]
            return found, found[0].seq if found else last + 1, True
        return found, reach, reach > position.floor

    def _newer(
        self, stream: Stream, number: int, position: Position, first: int, limit: int, peer: str | None
    ) -> tuple[list[Entry], int, bool]:
        """The oldest messages from `first` on; up to where that is all; whether there may be more."""
        reach = min(position.last, first + SCAN - 1)
        which, values = _which(peer)
        found = self._entries(
            stream,
            f"{which} AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?",
            *(number, *values, first, reach, limit + 1),
        )
        if len(found) > limit:
            found = found[:-1]
            return found, found[-1].seq if found else first - 1, True
        return found, reach, reach < position.last

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
