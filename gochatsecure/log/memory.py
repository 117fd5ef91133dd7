"""The engine that forgets: everything in this process's memory, bounded. For tests and for talk that may vanish."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice

from ..chat.chain import SALT, advance, erased, genesis
from ..chat.content import is_repeat
from ..chat.model import (
    RULES,
    Deleted,
    Draft,
    Edited,
    Entry,
    Position,
    Posted,
    Reacted,
    Stream,
    Told,
    target_of,
    text_of,
)
from .port import (
    REACTIONS,
    SCAN,
    Anchor,
    Committed,
    Failed,
    Opening,
    Outcome,
    Page,
    Sink,
    Tally,
    busy,
    check,
    cid_reused,
    cut,
    groups,
    keep_rule,
    peer_of,
    unavailable,
)

_PLACES = 1000  # marks of one reader; those set least recently go first


_NONE: deque[Entry] = deque(maxlen=0)
"""The entries of every stream without any: each deque takes 600 bytes from the start, and an inbox may stay empty."""


class _Stream:
    """One log, as far as it is kept: its entries are `last - len(entries) + 1` to `last`."""

    __slots__ = ("entries", "epoch", "head", "last", "rules")

    def __init__(self, stream: Stream, epoch: str) -> None:
        self.epoch = epoch
        self.entries = _NONE
        self.last = 0
        self.head = genesis(stream, epoch)
        self.rules: dict[tuple[str, str], Entry] = {}  # kept when the log has forgotten them

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.last - len(self.entries) + 1, self.last, self.head)

    def between(self, first: int, last: int) -> list[Entry]:
        """Those of these numbers that are kept."""
        floor = self.position.floor
        return list(islice(self.entries, max(0, first - floor), max(0, last - floor + 1)))


class MemoryLog:
    """Keeps the newest `kept` entries of all streams together; the oldest go first, and their cids with them.

    Of a stream whose entries are all gone only its position and rules are remembered, so that it still counts without
    gaps; when there are more such streams than entries, those asked for least recently are forgotten wholly, and begin
    anew.
    """

    def __init__(
        self,
        *,
        kept: int,
        queue: int,
        make_epoch: Callable[[], str] = secrets.token_hex,
        make_salt: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`kept`: entries held. `queue`: drafts that may wait for the end of the loop's turn."""
        self._kept = kept
        self._queue = queue
        self._make_epoch = make_epoch
        self._make_salt = make_salt
        self._streams: OrderedDict[Stream, _Stream] = OrderedDict()
        self._oldest: deque[Stream] = deque()  # the stream of every entry held, oldest entry first
        self._cids: dict[tuple[str, str], tuple[Stream, int]] = {}
        self._marks: OrderedDict[str, OrderedDict[str, int]] = OrderedDict()
        self._arriving: list[Draft] = []
        self._commits = self._entries = 0
        self._sink: Sink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, sink: Sink) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()

    def append(self, draft: Draft) -> None:
        assert self._loop is not None, "open() comes first"
        if self._sink is None:
            raise unavailable()
        if len(self._arriving) >= self._queue:
            raise busy()
        check(draft)
        if not self._arriving:
            self._loop.call_soon(self._commit)
        self._arriving.append(draft)

    async def look(self, stream: Stream, limit: int) -> Opening:
        kept = self._stream(stream)
        return Opening(kept.position, kept.between(kept.last - limit + 1, kept.last), list(kept.rules.values()))

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        kept = self._stream(stream)
        first = max(after + 1, kept.position.floor)
        return kept.between(first, first + limit - 1)

    async def page(self, stream: Stream, anchor: Anchor, limit: int) -> Page:
        kept = self._stream(stream)

        def find(first: int, last: int, limit: int) -> list[Entry]:
            found = [entry for entry in kept.between(first, last) if _is_wanted(entry, anchor.peer)]
            return found[:limit] if limit > 0 else found[limit:]

        messages, first, last, more = cut(anchor, limit, kept.position, find)
        return Page(messages, self._about(kept, messages), first, last, more, kept.position)

    def _about(self, kept: _Stream, messages: list[Entry]) -> list[Entry]:
        targets = {entry.seq for entry in messages}
        last: dict[tuple[int, type], Entry] = {}
        reactions: dict[int, deque[Entry]] = {}
        for entry in kept.entries:
            target = target_of(entry.content)
            if target is None or target not in targets:
                continue
            if isinstance(entry.content, Reacted):
                reactions.setdefault(target, deque(maxlen=REACTIONS)).append(entry)
            elif (target, Deleted) not in last:
                last[target, type(entry.content)] = entry
        return sorted([*last.values(), *(one for many in reactions.values() for one in many)], key=lambda one: one.seq)

    async def find(self, sender: str, cid: str) -> Entry | None:
        place = self._cids.get((sender, cid))
        return None if place is None else self._stream(place[0]).between(place[1], place[1])[0]

    async def count(self, stream: Stream, after: int, besides: str, most: int, peer: str | None = None) -> int:
        kept = self._stream(stream).between(after + 1, after + SCAN)
        return min(most, sum(_is_wanted(entry, peer) and entry.sender != besides for entry in kept))

    async def mark(self, reader: str, place: str, seq: int) -> int:
        if self._sink is None:
            raise unavailable()
        marks = self._marks.setdefault(reader, OrderedDict())
        marks[place] = max(seq, marks.get(place, 0))
        marks.move_to_end(place)
        if len(marks) > _PLACES:
            marks.popitem(last=False)
        self._marks.move_to_end(reader)
        while len(self._marks) > self._kept:
            self._marks.popitem(last=False)
        return marks[place]

    async def marks(self, reader: str, most: int) -> dict[str, int]:
        return dict(islice(reversed(self._marks.get(reader, OrderedDict()).items()), most))

    @property
    def tally(self) -> Tally:
        return Tally(len(self._arriving), self._commits, self._entries)

    async def close(self) -> None:
        while self._arriving:
            self._commit()
        self._sink = None

    def _stream(self, stream: Stream) -> _Stream:
        kept = self._streams.get(stream)
        if kept is None:
            kept = self._streams[stream] = _Stream(stream, self._make_epoch())
            if len(self._streams) > 2 * self._kept + 1000:
                self._forget_streams()
        else:
            self._streams.move_to_end(stream)
        return kept

    def _forget_streams(self) -> None:
        empty = [name for name, kept in self._streams.items() if not kept.entries]
        for name in empty[: len(empty) // 2]:
            del self._streams[name]

    def _commit(self) -> None:
        """One group a turn of the loop; the rest next turn, so that what is shown can be written meanwhile."""
        together = next(groups(self._arriving), ())
        del self._arriving[: len(together)]
        if self._arriving and self._loop is not None:
            self._loop.call_soon(self._commit)
        if together and self._sink is not None:
            self._commits += 1
            self._sink([self._store(draft) for draft in together])

    def _store(self, draft: Draft) -> Outcome:
        if draft.cid is not None:
            place = self._cids.get((draft.sender, draft.cid))
            if place is not None:
                (first,) = self._stream(place[0]).between(place[1], place[1])
                if is_repeat(draft, first):
                    return Committed(draft, (first,), dup=True)
                return Failed(draft, cid_reused())
        entries: list[Entry] = []
        for name, content in draft.parts:
            kept = self._stream(name)
            seal = b"" if text_of(content) is None else self._make_salt(SALT)
            cid = None if entries else draft.cid
            kept.last += 1
            kept.head = advance(kept.head, kept.last, draft.ts, draft.sender, cid, content, seal)
            entry = Entry(name, kept.last, draft.ts, draft.sender, cid, content, kept.head, seal)
            if kept.entries is _NONE:
                kept.entries = deque()
            kept.entries.append(entry)
            self._oldest.append(name)
            entries.append(entry)
            if isinstance(content, Deleted):
                self._erase(kept, content.target)
            elif type(content) in RULES:
                keep_rule(kept.rules, entry)
        if draft.cid is not None:
            self._cids[draft.sender, draft.cid] = (entries[0].stream, entries[0].seq)
        self._entries += len(entries)
        while len(self._oldest) > self._kept:
            self._forget()
        return Committed(draft, entries)

    def _erase(self, kept: _Stream, target: int) -> None:
        for number in range(max(0, target - kept.position.floor), len(kept.entries)):
            entry = kept.entries[number]
            if entry.seq == target or (isinstance(entry.content, Edited) and entry.content.target == target):
                kept.entries[number] = erased(entry)

    def _forget(self) -> None:
        entry = self._streams[self._oldest.popleft()].entries.popleft()
        if entry.cid is not None:
            del self._cids[entry.sender, entry.cid]


def _is_wanted(entry: Entry, peer: str | None) -> bool:
    if peer is None:
        return isinstance(entry.content, Posted | Told)
    return peer_of(entry.stream, entry.sender, entry.content) == peer
