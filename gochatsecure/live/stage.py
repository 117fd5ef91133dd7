"""What a connection and its stages need of each other, and what all connections of one server share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..limits import Limits
from .certificates import Contexts
from .counts import Counts
from .hub import Hub
from .outbox import Gatherer
from .routes import Routes


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of one server share. `buffer` takes every read: each is used up before the next."""

    tls: Contexts
    limits: Limits
    routes: Routes
    hub: Hub
    counts: Counts
    loop: asyncio.AbstractEventLoop
    gatherer: Gatherer
    turn: Turn
    buffer: memoryview


class Hold:
    """Why nothing is read from a connection now. Each reason is taken back by itself. Plain numbers: `&` of an IntFlag
    costs a microsecond, and every message asks."""

    NONE = 0
    WRITING = 1  # the peer does not read what it is sent
    TURN = 2  # others are to have their turn
    TASK = 4  # a command waits for something
    FULL = 8  # too many commands wait for their commit


READ, MESSAGE, REQUEST = 1, 4, 16  # what a piece of work costs, in the units of `Limits.turn`


class Turn:
    """The work of all connections together in this turn of the loop."""

    __slots__ = ("_call_soon", "_most", "_spent")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], most: int) -> None:
        self._call_soon = call_soon
        self._most = most
        self._spent = 0

    def spend(self, cost: int) -> bool:
        """Count some work; True once there has been enough for one turn."""
        if not self._spent:
            self._call_soon(self._end)
        self._spent += cost
        return self._spent > self._most

    def _end(self) -> None:
        self._spent = 0


class Stage(Protocol):
    """What is spoken on a connection now."""

    read_size: int
    """Bytes of plaintext to take at once."""

    def received(self, plaintext: bytes) -> None:
        """Some plaintext has come. What it raises is our bug."""

    def go_on(self) -> None:
        """Reading was held and is no more: do first what was left undone."""

    def pause_writing(self) -> None:
        """The peer reads more slowly than we write."""

    def resume_writing(self) -> None:
        """It has caught up."""

    def dismiss(self) -> None:
        """The server is going away: end this in good order."""

    def fail(self) -> None:
        """Our bug: tell the peer in few words, and end."""

    def end(self) -> None:
        """The connection is lost, or about to be. Twice is no error."""


class Carrier(Protocol):
    """A connection, as its stages see it."""

    shared: Shared
    address: str
    heard: float
    """When the peer last sent something, in the loop's time."""

    def become(self, stage: Stage) -> None:
        """From here on something else is spoken."""

    @property
    def held(self) -> int:
        """Why nothing is read now; 0 while it is."""

    def spend(self, cost: int) -> bool:
        """Count some work. True if others are to have their turn now: then reading is held until the next one."""

    def hold(self, reason: int) -> None:
        """Read nothing more, so that the peer has to wait, until this reason is taken back."""

    def release(self, reason: int) -> None:
        """Take a reason back; read again if it was the last."""

    def release_soon(self, reason: int) -> None:
        """The same on the next turn of the loop, after other connections had theirs. Twice in a turn is once."""

    def send(self, plaintext: bytes) -> None:
        """Encrypt and write, now. Raises TLSFailure."""

    def wait(self, seconds: float, then: Callable[[], object]) -> None:
        """Do this when so much time has passed. Only the last such wish counts."""

    def finish(self) -> None:
        """No more words from us: close TLS, then TCP as soon as the peer has, or soon."""

    def abort(self, reason: str) -> None:
        """End at once: the peer is not there, or does not do its part."""
