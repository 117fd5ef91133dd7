"""TCP without a network: bytes arrive late, in pieces, in order; a peer that does not read makes the other wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any

from .loop import TICK, SimLoop

HIGH = 512  # bytes that the network takes of a peer that does not read


class End(asyncio.Transport):
    """One end of a connection. `context` is whose it is."""

    def __init__(self, loop: SimLoop, random: Random, number: float, context: Context) -> None:
        """`number` orders what arrives at the same time on different connections."""
        super().__init__()
        self._loop = loop
        self._random = random
        self._number = number
        self.context = context
        self.peer: End
        self.protocol: Any = None
        self.spy: Callable[[bytes], object] = lambda data: None
        self.cut = False  # what is written goes nowhere
        self.lost = False
        self._closing = False
        self._reading = True
        self._arrived: deque[bytes] = deque()
        self._unread = 0  # bytes written that the peer has not read
        self._choked = False
        self._flight: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()  # on its way to the peer
        self._until = 0.0  # when the last of what was written arrives

    # What the owner calls.

    def write(self, data: Any) -> None:
        if self.lost or self._closing or not data:
            return
        data = bytes(data)
        self.spy(data)
        if self.cut:
            return
        self._unread += len(data)
        at = self._random.randrange(1, len(data)) if len(data) > 1 and self._random.random() < 0.1 else len(data)
        for piece in (data[:at], data[at:]):
            if piece:
                self._later(self.peer._arrive, piece)
        if self._unread > HIGH and not self._choked:
            self._choked = True
            self.protocol.pause_writing()

    def _later(self, callback: Callable[..., object], *args: object) -> None:
        """In the order of these calls, at the other end."""
        wait = self._random.choice((0, 0, 1, 2, 5, 30)) * TICK
        self._until = max(self._loop.time() + wait, self._until)
        self._flight.append((callback, args))
        self._loop.at(self._until, self._land, context=self.peer.context, rank=self._number)

    def _land(self) -> None:
        callback, args = self._flight.popleft()
        callback(*args)

    def write_eof(self) -> None:
        if not self.cut:
            self._later(self.peer._end)

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            self._lose_soon(None)

    def abort(self) -> None:
        if not self.lost:
            self._closing = True
            if not self.cut:
                self._later(self.peer.lose, ConnectionResetError("reset by the peer"))
            self._lose_soon(None)

    def _lose_soon(self, error: Exception | None) -> None:
        self._loop.call_soon(self.lose, error, context=self.context)

    def is_closing(self) -> bool:
        return self._closing or self.lost

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._deliver, context=self.context)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (f"10.0.{int(self._number) // 256}.{int(self._number) % 256}", 1) if name == "peername" else default

    # What the network does.

    def _arrive(self, piece: bytes) -> None:
        if not self.lost:
            self._arrived.append(piece)
            self._deliver()

    def _deliver(self) -> None:
        while self._arrived and self._reading and not self.lost:
            piece = self._arrived.popleft()
            self.peer._has_read(len(piece))
            if isinstance(self.protocol, asyncio.BufferedProtocol):
                self.protocol.get_buffer(-1)[: len(piece)] = piece  # type: ignore[index]
                self.protocol.buffer_updated(len(piece))
            else:
                self.protocol.data_received(piece)

    def _has_read(self, size: int) -> None:
        self._unread -= size
        if self._choked and self._unread <= HIGH // 4:
            self._choked = False
            self._loop.call_soon(self._resume_writing, context=self.context)

    def _resume_writing(self) -> None:
        if not self._choked and not self.lost:
            self.protocol.resume_writing()

    def _end(self) -> None:
        if self._arrived:  # it is read first
            self._loop.at(self._loop.time() + TICK, self._end, context=self.context, rank=self._number)
        elif not self.lost and not self.protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = self._closing = True
            self._arrived.clear()
            self.protocol.connection_lost(error)


def sever(end: End, random: Random, loop: SimLoop) -> None:
    """The network between the two ends is gone; each notices in its time, what is under way may still arrive."""
    for one in (end, end.peer):
        one.cut = True
        wait = random.choice((0.0, 0.05, 1.0, 3.0))
        loop.at(loop.time() + wait, one.lose, ConnectionResetError("the network is gone"), context=one.context)
