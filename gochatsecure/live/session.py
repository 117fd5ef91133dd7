"""One session: who it is, how it reads and writes, what it follows. Moved by the hub alone."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..auth.rates import address_key
from ..chat.commands import RequestId
from ..chat.events import Event
from ..chat.model import Identity, Position
from ..wire.formats import WireFormat
from .outbox import Outbox


class Link(Protocol):
    """What a session needs of its connection."""

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then a Close frame. Twice is no error."""

    def drained(self) -> None:
        """Fewer of the session's commands wait for their commit. MUST NOT take up any command before it returns."""


class _Gone:
    """The link of a session whose connection is lost."""

    def close(self, code: int, reason: str) -> None:
        pass

    def drained(self) -> None:
        pass


GONE = _Gone()


class Session:
    """One authenticated WebSocket. An identity may have several."""

    __slots__ = (
        "address",
        "format",
        "identity",
        "inbox",
        "link",
        "open",
        "outbox",
        "pending",
        "refusals",
        "room",
        "rooms",
        "settled",
    )

    def __init__(
        self, identity: Identity, wire_format: WireFormat, outbox: Outbox, link: Link, address: str = ""
    ) -> None:
        """`address`: the peer's, for limits on what one address may do."""
        self.address = address_key(address)
        self.identity = identity
        self.format = wire_format
        self.outbox = outbox
        self.link = link
        self.room = ""  # the room that its lines go to
        self.rooms: set[str] = set()  # all that it is in
        self.inbox: Position | None = None  # where its inbox stood when it began to be shown what comes into it
        self.pending = 0  # its drafts that are on their way into the log
        self.settled: asyncio.Future[None] | None = None  # where a command waits for that to be 0
        self.refusals = 0  # in a row
        self.open = True

    def show(self, event: Event) -> None:
        if self.open:
            self.outbox.put(self.format.frames(event))

    def answer(self, id: RequestId, event: Event) -> None:
        """What this session asked under that id is answered so."""
        if self.open:
            self.outbox.put(self.format.answer(id, event))
