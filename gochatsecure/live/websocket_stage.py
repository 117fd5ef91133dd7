"""A WebSocket on a live connection: its texts go to the hub, its session's frames come back, each within its time.

A task exists only while a command has to wait for something; the session's next command waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ..chat.model import Identity
from ..journal import Happening
from ..wire.formats import WireFormat
from ..wire.frames import PING
from ..wire.tls import TLSFailure
from ..wire.websocket import (
    GOING_AWAY,
    INTERNAL_ERROR,
    POLICY_VIOLATION,
    SLOW_CONSUMER,
    Closed,
    Control,
    Text,
    WebSocketServer,
)
from .outbox import Outbox
from .session import GONE, Session
from .stage import MESSAGE, Carrier, Hold

_logger = logging.getLogger("gochatsecure")


class WebSocketStage:
    """Is its session's link and its outbox's wire."""

    __slots__ = ("_asked", "_closing", "_connection", "_session", "_task", "_websocket")

    read_size = 65536  # bytes: whole TLS records, which have at most 16 KiB

    def __init__(self, connection: Carrier, identity: Identity, wire_format: WireFormat, trailing: bytes) -> None:
        """`trailing`: what has come behind the handshake."""
        shared = connection.shared
        self._connection = connection
        self._websocket = WebSocketServer(shared.limits, trailing)
        outbox = Outbox(shared.gatherer, self, shared.limits.outbox)
        self._session = Session(identity, wire_format, outbox, self, connection.address)
        self._task: asyncio.Task[None] | None = None
        self._asked = 0.0  # when a ping was sent that has brought nothing back yet
        self._closing = False  # our Close is sent: only the peer's is waited for

    def begin(self, room: str) -> None:
        hub, session = self._connection.shared.hub, self._session
        self._connection.shared.counts.opened += 1
        if hub.connect(session):
            _logger.info(Happening("session_opened", username=session.identity.name, address=self._connection.address))
            self._keep_alive()
            self._await(hub.begin(session, room))

    # Reading.

    def received(self, plaintext: bytes) -> None:
        self._websocket.feed(plaintext)
        self.go_on()

    def go_on(self) -> None:
        """Handle what has come, up to one turn's worth."""
        connection, limits = self._connection, self._connection.shared.limits
        for received in self._websocket.receive(connection.heard):
            if isinstance(received, Closed):
                self._last_word(received)
                return
            if self._closing:
                continue
            if isinstance(received, Text):
                waiting = connection.shared.hub.receive(self._session, received.text)
                if waiting is not None:
                    self._await(waiting)
                    return
                if self._session.pending >= limits.pending:
                    connection.hold(Hold.FULL)
                    return
            elif isinstance(received, Control) and received.answer:
                self._session.outbox.put(received.answer)
            if connection.spend(MESSAGE):
                return
        if self._websocket.since is not None:
            self._keep_alive()

    def _await(self, waiting: Coroutine[Any, Any, None]) -> None:
        self._connection.hold(Hold.TASK)
        self._task = self._connection.shared.loop.create_task(waiting)
        self._task.add_done_callback(self._awaited)

    def _awaited(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("our bug: a command failed", exc_info=error)
            self.fail()
        if not self._closing and self._session.pending >= self._connection.shared.limits.pending:
            self._connection.hold(Hold.FULL)
        self._connection.release(Hold.TASK)

    def drained(self) -> None:
        connection = self._connection
        if connection.held & Hold.FULL and self._session.pending <= connection.shared.limits.pending // 2:
            connection.release_soon(Hold.FULL)

    # Time.

    def _keep_alive(self) -> None:
        """Ping a silent peer, give up one that does not answer, end a session whose token has expired."""
        connection, shared = self._connection, self._connection.shared
        if self._closing or shared.hub.expire(self._session):
            return
        limits, now = shared.limits, shared.loop.time()
        if connection.held:
            connection.heard = now  # we do not listen now: its silence is ours
        heard = connection.heard
        if now - heard >= limits.silence_s:
            connection.abort("silent")
            return
        if self._websocket.is_late(now):
            self.close(POLICY_VIOLATION, "the message took too long")
            return
        if now - heard >= limits.ping_s and self._asked < heard:
            self._asked = now
            self._session.outbox.put(PING)
        due = heard + (limits.silence_s if self._asked >= heard else limits.ping_s) - now
        if self._websocket.since is not None:
            due = min(due, self._websocket.since + limits.message_s - now)
        connection.wait(max(0.01, min(due, shared.hub.seconds_left(self._session))), self._keep_alive)

    # Writing.

    def write_frames(self, frames: bytes) -> None:
        try:
            self._connection.send(frames)
        except TLSFailure:
            self._connection.abort("tls")
        except Exception:
            _logger.exception("our bug: frames could not be written")
            self._connection.abort("bug")

    def overflow(self) -> None:
        self._connection.shared.loop.call_soon(self.close, SLOW_CONSUMER, "too slow: connect again and read on")

    def pause_writing(self) -> None:
        self._session.outbox.pause()

    def resume_writing(self) -> None:
        self._session.outbox.resume()

    # The end.

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then a Close frame (RFC 6455 7.1.2); wait for the peer's, but not for long."""
        if self._closing:
            return
        connection = self._connection
        self._session.outbox.empty()
        self._leave(code, reason)
        self.write_frames(self._websocket.close(code, reason))
        connection.wait(connection.shared.limits.linger_s, lambda: connection.abort("no close frame"))
        connection.release_soon(Hold.FULL)

    def _last_word(self, closed: Closed) -> None:
        """The peer has closed, or must be: our answer, and no more."""
        self._session.outbox.empty()
        self._leave(closed.code, closed.fault or "the peer closed")
        if closed.answer:
            self.write_frames(closed.answer)
        self._connection.finish()

    def _leave(self, code: int, reason: str) -> None:
        if self._closing:
            return
        self._closing = True
        name, address = self._session.identity.name, self._connection.address
        self._connection.shared.counts.session_closed(code)
        self._connection.shared.hub.disconnect(self._session)
        _logger.info(Happening("session_closed", username=name, address=address, code=code, reason=reason))

    def dismiss(self) -> None:
        self.close(GOING_AWAY, "the server is going away; connect again soon")

    def fail(self) -> None:
        self.close(INTERNAL_ERROR, "server error")

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._leave(_ABNORMAL, "connection lost")
        self._session.outbox.end()
        self._session.link = GONE


_ABNORMAL = 1006  # RFC 6455 7.4.1: no Close frame came; never sent
