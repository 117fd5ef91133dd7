"""Frames on their way to one session: gathered over a turn of the loop, bounded in bytes, written at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_SLICE = 128 * 1024  # bytes written before we look whether the socket still takes more
_LINGER_S = 0.05  # how long presence may wait for company: nobody sees it, and a thousand who come at once cost a tenth


class Wire(Protocol):
    """Where an outbox empties itself: a connection."""

    def write_frames(self, frames: bytes) -> None:
        """Send, now. MUST NOT raise: its own failure ends this connection alone."""

    def overflow(self) -> None:
        """The peer reads too slowly. MUST NOT touch any outbox before it returns."""


class Gatherer:
    """The outboxes that got something in this turn of the loop; each is flushed once, at the turn's end, or a little
    later if it got only what can wait."""

    __slots__ = ("_call_later", "_call_soon", "_filled", "_patient")

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._call_soon = call_soon
        self._call_later = call_later
        self._filled: list[Outbox] = []
        self._patient: dict[Outbox, None] = {}  # in the order in which they came

    def add(self, outbox: Outbox) -> None:
        if not self._filled:
            self._call_soon(self._flush)
        self._filled.append(outbox)

    def _flush(self) -> None:
        filled, self._filled = self._filled, []
        for outbox in filled:
            outbox.flush()

    def add_patient(self, outbox: Outbox) -> None:
        if not self._patient:
            self._call_later(_LINGER_S, self._flush_patient)
        self._patient[outbox] = None

    def _flush_patient(self) -> None:
        patient, self._patient = self._patient, {}
        for outbox in patient:
            outbox.flush()


class Outbox:
    """One session's unsent frames. The hub puts, the connection takes."""

    __slots__ = ("_frames", "_gatherer", "_limit", "_paused", "_size", "_waits", "_wire")

    def __init__(self, gatherer: Gatherer, wire: Wire, limit: int) -> None:
        """`limit`: bytes of frames that the socket does not take; beyond it the session is a slow consumer."""
        self._gatherer = gatherer
        self._wire: Wire | None = wire
        self._limit = limit
        self._frames: list[bytes] = []
        self._size = 0
        self._waits = False  # in the gatherer's list
        self._paused = False

    def put(self, frames: bytes) -> None:
        """Queue frames for this session. Never waits. Too many that the socket does not take end the session."""
        if self._wire is None or not frames:
            return
        self._frames.append(frames)
        self._size += len(frames)
        if not self._waits:
            self._waits = True
            self._gatherer.add(self)
        if self._paused and self._size > self._limit:
            self._overflow()

    def offer(self, frames: bytes) -> None:
        """As `put`, but for what may come a little later, and is left out once the peer is well behind."""
        if self._wire is None or not frames or (self._paused and self._size > self._limit // 4):
            return
        self._frames.append(frames)
        self._size += len(frames)
        if not self._waits:
            self._gatherer.add_patient(self)

    def flush(self) -> None:
        """Write what the socket takes."""
        self._waits = False
        while self._frames and not self._paused and self._wire is not None:
            self._wire.write_frames(self._take(_SLICE))
        if self._size > self._limit:
            self._overflow()

    def empty(self) -> None:
        """Write all of it, even to a socket that takes no more for now: something else is to follow it."""
        if self._frames and self._wire is not None:
            self._wire.write_frames(self._take(self._size))

    def _take(self, least: int) -> bytes:
        """The oldest frames, whole ones, of at least so many bytes if there are as many."""
        if self._size <= least:
            taken = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
            self._frames.clear()
        else:
            count = size = 0
            while size < least:
                size += len(self._frames[count])
                count += 1
            taken = b"".join(self._frames[:count])
            del self._frames[:count]
        self._size -= len(taken)
        return taken

    def _overflow(self) -> None:
        wire = self._wire
        self.end()
        if wire is not None:
            wire.overflow()

    def pause(self) -> None:
        """The socket takes no more."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self.flush()

    def end(self) -> None:
        """Forget what is unsent, take nothing more."""
        self._wire = None
        self._frames.clear()
        self._size = 0
