"""A hub without sockets: a log that commits when told to, a clock that stands still, people instead of connections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gochatsecure.auth.jwt import TokenError
from gochatsecure.chat.chain import SALT, advance, erased, genesis
from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import (
    RULES,
    Deleted,
    Draft,
    Entry,
    Identity,
    Position,
    Posted,
    Role,
    Stream,
    Told,
    room_stream,
    target_of,
    text_of,
)
from gochatsecure.limits import Limits
from gochatsecure.live.hub import Hub
from gochatsecure.live.outbox import Gatherer, Outbox
from gochatsecure.live.session import Session
from gochatsecure.log.port import Anchor, Committed, Failed, Opening, Outcome, Page, Sink, Tally, busy, unavailable
from gochatsecure.wire.formats import WireFormat
from gochatsecure.wire.lines import LINES
from tests.live.support import texts

EPOCH = "e1"


class Clock:
    """Seconds, as far as the test has turned them."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class HeldLog:
    """A log engine that commits what is appended, and answers what is read, when the test says so."""

    def __init__(self, queue: int = 10_000) -> None:
        self.arrived: list[Draft] = []
        self.kept: dict[Stream, list[Entry]] = {}
        self.marked: dict[str, dict[str, int]] = {}
        self.closed = asyncio.Event()
        self.readable = asyncio.Event()
        self.readable.set()
        self.reads = 0
        self.broken = False  # what is read then fails
        self._queue = queue
        self._sink: Sink = lambda outcomes: None

    async def open(self, sink: Sink) -> None:
        self._sink = sink

    def append(self, draft: Draft) -> None:
        if len(self.arrived) >= self._queue:
            raise busy()
        self.arrived.append(draft)

    def commit(self, count: int | None = None) -> None:
        """Store the oldest drafts and hand them back, in one commit."""
        drafts = self._taken(count)
        if drafts:
            self._sink([self.store(draft) for draft in drafts])

    def fail(self, count: int | None = None) -> None:
        """Lose the oldest drafts."""
        outcomes: Sequence[Outcome] = [Failed(draft, unavailable()) for draft in self._taken(count)]
        self._sink(outcomes)

    def _taken(self, count: int | None) -> list[Draft]:
        count = len(self.arrived) if count is None else count
        drafts, self.arrived = self.arrived[:count], self.arrived[count:]
        return drafts

    def store(self, draft: Draft) -> Committed:
        entries: list[Entry] = []
        for stream, content in draft.parts:
            kept = self.kept.setdefault(stream, [])
            head = kept[-1].head if kept else genesis(stream, EPOCH)
            seal = b"" if text_of(content) is None else b"s" * SALT
            seq, cid = len(kept) + 1, None if entries else draft.cid
            head = advance(head, seq, draft.ts, draft.sender, cid, content, seal)
            kept.append(Entry(stream, seq, draft.ts, draft.sender, cid, content, head, seal))
            if isinstance(content, Deleted):
                kept[content.target - 1] = erased(kept[content.target - 1])
            entries.append(kept[-1])
        return Committed(draft, entries)

    def position(self, stream: Stream) -> Position:
        kept = self.kept.get(stream, [])
        return Position(EPOCH, 1, len(kept), kept[-1].head if kept else genesis(stream, EPOCH))

    async def look(self, stream: Stream, limit: int) -> Opening:
        await self._readable()
        kept = self.kept.get(stream, [])
        rules = [entry for entry in kept if type(entry.content) in RULES]
        return Opening(self.position(stream), kept[max(0, len(kept) - limit) :], rules)

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        await self._readable()
        return self.kept.get(stream, [])[after : after + limit]

    async def page(self, stream: Stream, anchor: Anchor, limit: int) -> Page:
        await self._readable()
        kept = self.kept.get(stream, [])
        below = kept if anchor.before is None else kept[: anchor.before - 1]
        found = [entry for entry in below if isinstance(entry.content, Posted | Told)]
        about = [entry for entry in kept if target_of(entry.content) is not None]
        first = found[-limit].seq if len(found) > limit else 1
        return Page(found[-limit:], about, first, len(below), len(found) > limit, self.position(stream))

    async def find(self, sender: str, cid: str) -> Entry | None:
        await self._readable()
        under = (entry for kept in self.kept.values() for entry in kept if (entry.sender, entry.cid) == (sender, cid))
        return next(under, None)

    async def count(self, stream: Stream, after: int, besides: str, most: int, peer: str | None = None) -> int:
        await self._readable()
        return len([entry for entry in self.kept.get(stream, [])[after:] if entry.sender != besides])

    async def mark(self, reader: str, place: str, seq: int) -> int:
        marks = self.marked.setdefault(reader, {})
        marks[place] = max(seq, marks.get(place, 0))
        return marks[place]

    async def marks(self, reader: str, most: int) -> dict[str, int]:
        await self._readable()
        return self.marked.get(reader, {})

    async def _readable(self) -> None:
        self.reads += 1
        await self.readable.wait()
        if self.broken:
            raise Temporary("store_unavailable", "the history could not be read", 2000)

    @property
    def tally(self) -> Tally:
        return Tally(len(self.arrived))

    async def close(self) -> None:
        self.commit()
        self.closed.set()


class Person:
    """One session, with the test at the other end: its link and its outbox's wire."""

    def __init__(self, world: World, identity: Identity, wire_format: WireFormat = LINES, address: str = "") -> None:
        self._world = world
        self._written: list[bytes] = []
        outbox = Outbox(world.gatherer, self, world.limits.outbox)
        self.session = Session(identity, wire_format, outbox, self, address)
        self.closed: tuple[int, str] | None = None
        self.after_close: list[str] = []
        self.drains = 0
        self.overflowed = False

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.session.outbox.empty()
            self.closed = (code, reason)
            self._world.hub.disconnect(self.session)

    def drained(self) -> None:
        self.drains += 1

    def write_frames(self, frames: bytes) -> None:
        if self.closed is None:
            self._written.append(frames)
        else:
            self.after_close += texts(frames)

    def overflow(self) -> None:
        self.overflowed = True

    def seen(self) -> list[str]:
        """What was shown since the last time."""
        self.session.outbox.empty()
        written, self._written = b"".join(self._written), []
        return texts(written)

    def types(self, text: str) -> asyncio.Task[None] | None:
        """As a connection does it: what has to be waited for becomes a task. Returns that."""
        waiting: Any = self._world.hub.receive(self.session, text)
        return None if waiting is None else asyncio.get_running_loop().create_task(waiting)

    def leaves(self) -> None:
        self._world.hub.disconnect(self.session)


async def turns(count: int = 10) -> None:
    """Let the other tasks have so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


class World:
    """A hub on a held log."""

    def __init__(
        self, log: HeldLog | None = None, *, history: int = 20, message_rate: float = 0, **limits: Any
    ) -> None:
        self.clock = Clock()
        self.limits = Limits(**limits)
        self.log = log or HeldLog()
        self.identities: dict[str, Identity] = {}  # by token, for those who refresh
        self.gatherer = Gatherer(lambda flush: None, lambda seconds, flush: None)
        self.hub = Hub(
            self.log,
            limits=self.limits,
            history=history,
            message_rate=message_rate,
            identify=self.identify,
            wall=self.clock,
            monotonic=self.clock,
        )
        self.log._sink = self.hub.committed

    def identify(self, token: str) -> Identity:
        if token not in self.identities:
            raise TokenError("token_malformed", "that is no token")
        return self.identities[token]

    def person(
        self, name: str, sid: str | None = None, *, guest: bool = True, address: str = "", **fields: Any
    ) -> Person:
        """Somebody who has not connected yet. Persons of one `sid` are one identity."""
        return Person(
            self,
            Identity(name, sid or f"sid-of-{name}", Role.GUEST if guest else Role.MEMBER, **fields),
            address=address,
        )

    def arrive(self, name: str, sid: str | None = None, *, guest: bool = True, **fields: Any) -> Person:
        """Connected, but in no room."""
        person = self.person(name, sid, guest=guest, **fields)
        self.hub.connect(person.session)
        return person

    async def enter(self, name: str, room: str = "default", sid: str | None = None, **fields: Any) -> Person:
        """Connected and in that room; what was shown on entering is passed over."""
        person = self.arrive(name, sid, **fields)
        await self.hub.begin(person.session, room)
        person.seen()
        return person

    def said(self, room: str = "default") -> list[Entry]:
        """The room's log."""
        return self.log.kept.get(room_stream(room), [])

    def remains(self) -> dict[str, object]:
        """What the hub still holds; empty once everybody has left and everything is committed."""
        hub, lobby = self.hub, self.hub._lobby
        held: dict[str, Any] = {
            "sessions": hub.sessions,
            "rooms": lobby.rooms,
            "present": lobby._present,
            "lookalikes": lobby._looks,
            "followers": hub._fanout._followers,
            "opening": hub._doors._opening,
            "greeting": hub._greeting,
        }
        return {name: held for name, held in held.items() if held}
