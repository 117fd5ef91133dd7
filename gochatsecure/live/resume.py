"""Going on where one left off: what came after a cursor, without a hole and without an overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..chat.chain import genesis
from ..chat.errors import Refusal
from ..chat.events import Replay
from ..chat.model import Cursor, Entry, Message, Position, Stream, text_of
from ..limits import Limits
from ..log.port import Log

T = TypeVar("T", Entry, Message)


def fork() -> Refusal:
    return Refusal("history_fork", "the log does not hold what you have seen of it: its history was changed")


async def resume(
    log: Log,
    stream: Stream,
    cursor: Cursor,
    limits: Limits,
    stands: Callable[[], Position],
    newest: Callable[[int], Sequence[Entry] | None],
) -> Replay:
    """What came after the cursor, up to where the stream `stands` when this returns, or a page of it with `more`.

    `newest` gives all entries after a seq, if they are at hand. Who attaches a session to the live stream before its
    next await leaves nothing out and shows nothing twice. Raises Refusal: `history_fork`; Temporary.
    """
    position = stands()
    if cursor.epoch != position.epoch or cursor.seq < position.floor - 1:
        return Replay(position, recovered=False)
    if cursor.seq > position.last:
        raise fork()
    entries = await log.read(stream, max(0, cursor.seq - 1), limits.replay_page + 1)
    position = stands()
    head = genesis(stream, position.epoch) if cursor.seq == 0 else None
    if entries and entries[0].seq == cursor.seq:
        head = entries.pop(0).head
    if cursor.head is not None and head is not None and cursor.head != head:
        raise fork()
    entries = fitting([entry for entry in entries if entry.seq <= position.last], limits.backlog)
    if entries and entries[0].seq != cursor.seq + 1:
        return Replay(position, recovered=False)  # the oldest of them have been dropped meanwhile
    reached = entries[-1].seq if entries else cursor.seq
    rest = newest(reached) if len(entries) < limits.replay_page else None
    if rest and len(fitting([*entries, *rest], limits.backlog)) == len(entries) + len(rest):
        entries += rest
        reached = position.last
    return Replay(position, more=reached < position.last, events=entries)


def fitting(parts: Sequence[T], size: int) -> list[T]:
    """The first of them that go into one answer of about so many characters: at least one, if there is any."""
    kept: list[T] = []
    for part in parts:
        text = part.text if isinstance(part, Message) else text_of(part.content)
        size -= len(text or "")
        if size < 0 and kept:
            break
        kept.append(part)
    return kept
