"""One TCP connection: TLS, then HTTP, then perhaps a WebSocket. The only place that absorbs the loss of a peer.

A connection reads into its listener's one buffer and does all it can at once, on the loop, without a task. What the
plaintext means is its stage's affair: `HTTPStage` first, then `WebSocketStage`. One timer at a time says how long the
present state of things may last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..journal import Happening
from ..wire.tls import TLSFailure, TLSServer
from .http_stage import HTTPStage
from .stage import READ, Hold, Shared, Stage

_logger = logging.getLogger("gochatsecure")


class Connection(asyncio.BufferedProtocol):
    """Is the carrier of its stages: what it does for them stands in `stage.Carrier`."""

    __slots__ = (
        "_choked",
        "_ended",
        "_gone",
        "_lost",
        "_releasing",
        "_spent",
        "_stage",
        "_timer",
        "_tls",
        "_transport",
        "_writer",
        "address",
        "heard",
        "held",
        "shared",
    )

    def __init__(
        self, shared: Shared, writer: asyncio.StreamWriter, address: str, gone: Callable[[Connection], None]
    ) -> None:
        """`writer` brings the transport; it is kept because its collection would close that (Python 3.13).

        `gone` is called once, when the connection is lost.
        """
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        self.shared = shared
        self.address = address
        self.heard = 0.0
        self._gone = gone
        self._writer = writer
        self._transport = transport
        self._tls = TLSServer(shared.tls)
        self._stage: Stage | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.held = Hold.NONE
        self._releasing = Hold.NONE  # reasons that the loop's next turn takes back
        self._spent = 0  # work in this turn of the loop
        self._choked = False  # the transport has more to write than it likes
        self._ended = False  # our last word is said: what still comes is not read
        self._lost = False

    # What the transport calls.

    def begin(self) -> None:
        self.wait(self.shared.limits.handshake_s, self._transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._ended:
            self.heard = self.shared.loop.time()
            self._spent = 0
            self._tls.feed(self.shared.buffer[:nbytes])
            self._guarded(self._take_in)

    def eof_received(self) -> bool:
        return False  # the transport sends what is left, closes, and says `connection_lost`

    def pause_writing(self) -> None:
        self._choked = True
        if self._stage is not None:
            self._stage.pause_writing()

    def resume_writing(self) -> None:
        self._choked = False
        if self._stage is not None:
            self._stage.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self.shared.counts.unsecured += not self._tls.established
        try:
            if self._stage is not None:
                self._stage.end()
        finally:
            self._stage = None  # nothing holds on to anything any more: no need to wait for the garbage collector
            self._gone(self)

    # Reading.

    def _guarded(self, step: Callable[[], object]) -> None:
        """Whatever goes wrong in here ends this connection and no other."""
        try:
            step()
        except TLSFailure as failure:
            _logger.debug("%s", Happening("tls_failed", address=self.address, cause=failure))
            self.finish()  # with the alert that OpenSSL has written, if any
        except Exception:
            _logger.exception("our bug: a connection failed")
            if self._stage is not None:
                self._stage.fail()
            else:
                self.finish()
        self._flush()

    def _take_in(self) -> None:
        """Decrypt and hand on all that is there."""
        if self._stage is None:
            if not self._tls.handshake():
                return
            self._stage = HTTPStage(self)
        while not self.held and not self._ended and not self._transport.is_closing() and not self.spend(READ):
            plaintext = self._tls.read(self._stage.read_size)
            if plaintext is None:
                return
            if not plaintext:
                self.finish()  # the peer has closed TLS
                return
            self._stage.received(plaintext)

    def become(self, stage: Stage) -> None:
        self._stage = stage
        if self._choked:
            stage.pause_writing()
        self.held &= ~Hold.WRITING  # the stage before held it so; this one has ways of its own
        if not self.held:
            self._transport.resume_reading()

    def spend(self, cost: int) -> bool:
        self._spent += cost
        limits, enough = self.shared.limits, self.shared.turn.spend(cost)
        if self._spent < limits.turn_at_least or not (enough or self._spent >= limits.turn):
            return False
        self.hold(Hold.TURN)
        self.release_soon(Hold.TURN)
        return True

    def hold(self, reason: int) -> None:
        self.held |= reason
        self._transport.pause_reading()

    def release(self, reason: int) -> None:
        if self.held & reason:
            self.held &= ~reason
            self._spent = 0
            if not self.held and not self._lost:
                self._transport.resume_reading()
                self._guarded(self._resume)

    def release_soon(self, reason: int) -> None:
        if self.held & reason & ~self._releasing:
            self._releasing |= reason
            self.shared.loop.call_soon(self._release_now, reason)

    def _release_now(self, reason: int) -> None:
        self._releasing &= ~reason
        self.release(reason)

    def _resume(self) -> None:
        if self._stage is not None and not self._ended:
            self._stage.go_on()
            self._take_in()

    # Writing.

    def send(self, plaintext: bytes) -> None:
        if not self._ended:
            self._tls.write(plaintext)
            self._flush()

    def _flush(self) -> None:
        records = self._tls.take()
        if records and not self._transport.is_closing():
            self._transport.write(records)

    # The end.

    def finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._stage is not None:
            self._stage.end()
        self._tls.close()
        self._flush()
        try:
            self._transport.write_eof()
        except OSError:  # it is gone already
            self._transport.abort()
            return
        self._transport.resume_reading()
        self.wait(self.shared.limits.linger_s, self._transport.abort)

    def abort(self, reason: str) -> None:
        _logger.info(Happening("connection_dropped", address=self.address, reason=reason))
        self._ended = True
        if self._stage is not None:
            self._stage.end()
        self._transport.abort()

    def dismiss(self) -> None:
        """The server is going away."""
        self._guarded(self._stage.dismiss if self._stage is not None else self.finish)

    def wait(self, seconds: float, then: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self._lost else self.shared.loop.call_later(seconds, self._guarded, then)
