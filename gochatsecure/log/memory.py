"""The engine that forgets: everything in this process's memory, bounded. For tests and for talk that may vanish."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

from ..chat.model import Draft, Entry, Stream
from .port import CID_REUSED, Committed, Failed, Outcome, Sink, busy, groups, unavailable, weigh


class MemoryLog:
    """Keeps the newest `kept` entries of all streams together; the oldest go first, and their cids with them.

    Of a stream whose entries are all gone only its last `seq` is remembered, so that it still counts without gaps;
    when there are more such streams than entries, they are forgotten wholly, and begin anew.
    """

    def __init__(self, *, kept: int, queue: int) -> None:
        """`kept`: entries held. `queue`: drafts that may wait for the end of the loop's turn."""
        self._kept = kept
        self._queue = queue
        self._streams: dict[Stream, deque[Entry]] = {}
        self._last: dict[Stream, int] = {}
        self._oldest: deque[Stream] = deque()  # the stream of every entry held, oldest entry first
        self._cids: dict[tuple[str, str], Entry] = {}
        self._arriving: list[Draft] = []
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
        weigh(draft)
        if not self._arriving:
            self._loop.call_soon(self._commit)
        self._arriving.append(draft)

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        held = self._streams.get(stream)
        start = max(0, after + 1 - held[0].seq) if held else 0
        return list(islice(held or (), start, start + limit))

    async def tail(self, stream: Stream, limit: int) -> list[Entry]:
        newest = list(islice(reversed(self._streams.get(stream, deque())), limit))
        return newest[::-1]

    async def close(self) -> None:
        while self._arriving:
            self._commit()
        self._sink = None

    def _commit(self) -> None:
        """One group a turn of the loop; the rest next turn, so that what is shown can be written meanwhile."""
        together = next(groups(self._arriving), ())
        del self._arriving[: len(together)]
        if self._arriving and self._loop is not None:
            self._loop.call_soon(self._commit)
        if together and self._sink is not None:
            self._sink([self._store(draft) for draft in together])

    def _store(self, draft: Draft) -> Outcome:
        if draft.cid is not None:
            first = self._cids.get((draft.sender, draft.cid))
            if first is not None:
                if (first.stream, first.content) == draft.parts[0]:
                    return Committed(draft, (first,), dup=True)
                return Failed(draft, CID_REUSED)
        entries: list[Entry] = []
        for stream, content in draft.parts:
            seq = self._last[stream] = self._last.get(stream, 0) + 1
            entry = Entry(stream, seq, draft.ts, draft.sender, None if entries else draft.cid, content)
            self._streams.setdefault(stream, deque()).append(entry)
            self._oldest.append(stream)
            entries.append(entry)
        if draft.cid is not None:
            self._cids[draft.sender, draft.cid] = entries[0]
        while len(self._oldest) > self._kept:
            self._forget()
        if len(self._last) > 2 * self._kept + 1000:
            self._last = {stream: last for stream, last in self._last.items() if stream in self._streams}
        return Committed(draft, entries)

    def _forget(self) -> None:
        stream = self._oldest.popleft()
        entry = self._streams[stream].popleft()
        if entry.cid is not None:
            del self._cids[entry.sender, entry.cid]
        if not self._streams[stream]:
            del self._streams[stream]
