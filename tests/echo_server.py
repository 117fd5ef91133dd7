"""Our own TLS, HTTP and WebSocket code with an echo in place of the chat: `python -m tests.echo_server -help`.

For suites that test a WebSocket server from outside, and for no other use: nobody signs in, each path is a WebSocket,
and binary messages, which the product refuses, come back, too.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest import mock

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from gochatsecure.chat.model import Identity, Role
from gochatsecure.limits import Limits
from gochatsecure.live import websocket_stage
from gochatsecure.live.certificates import server_contexts
from gochatsecure.live.counts import Counts
from gochatsecure.live.hub import Hub
from gochatsecure.live.listener import Listener
from gochatsecure.live.routes import Routes, Upgrade
from gochatsecure.live.session import Session
from gochatsecure.wire.frames import frame
from gochatsecure.wire.http1 import HTTPError, Request, Response
from gochatsecure.wire.lines import LINES
from gochatsecure.wire.websocket import (
    MESSAGE_TOO_BIG,
    Control,
    Received,
    WebSocketServer,
    acceptance,
    check_upgrade,
)

NOBODY = Identity("echo", "echo", Role.GUEST)
_HOUR = 3600.0
_encoder = Connection(ConnectionType.SERVER)


def limits(message: int) -> Limits:
    """Those of a suite: messages of so many bytes in as many frames, and time for them."""
    return replace(
        Limits(),
        message=message,
        fragments=message,
        control_frames_per_s=100_000,
        outbox=8 * message + 1024 * 1024,
        message_s=_HOUR,
        ping_s=_HOUR,
        silence_s=2 * _HOUR,
    )


class EchoWebSocket(WebSocketServer):
    """Binary messages come back as what is to be sent in answer, as a pong is."""

    __slots__ = ("_bytes",)

    def __init__(self, limits: Limits, trailing: bytes = b"") -> None:
        super().__init__(limits, trailing)
        self._bytes = bytearray()

    def _binary(self, event: BytesMessage) -> Received:
        self._bytes += event.data
        if len(self._bytes) > self._limits.message:
            return self._fail(MESSAGE_TOO_BIG, f"a message has at most {self._limits.message} bytes")
        if not event.message_finished:
            return Control(b"")
        whole, self._bytes = bytes(self._bytes), bytearray()
        return Control(_encoder.send(BytesMessage(whole)))


class EchoHub:
    """Says to each session what it said."""

    def connect(self, session: Session) -> bool:
        return True

    async def begin(self, session: Session, room: str) -> None:
        pass

    def receive(self, session: Session, text: str) -> None:
        session.outbox.put(frame(text))

    def expire(self, session: Session) -> bool:
        return False

    def seconds_left(self, session: Session) -> float:
        return _HOUR

    def disconnect(self, session: Session) -> None:
        pass


class EchoRoutes:
    """Every path is a WebSocket for everybody."""

    def date(self) -> str:
        return ""

    def answer(self, request: Request, address: str) -> Response | Upgrade:
        try:
            check_upgrade(request)
        except HTTPError as error:
            return error.response()
        return Upgrade(NOBODY, "echo", LINES, acceptance(request, None))


async def serve(host: str, port: int, cert: Path, key: Path, message: int) -> None:
    """Until cancelled; the port is said on standard output."""
    listener = Listener(
        tls=server_contexts(cert, key),
        limits=limits(message),
        routes=cast("Routes", EchoRoutes()),
        hub=cast("Hub", EchoHub()),
        counts=Counts(),
        most=0,
        most_per_address=0,
    )
    print(f"wss://{host}:{await listener.start(host, port)}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await listener.stop()
        await listener.empty(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.echo_server", description=__doc__, allow_abbrev=False)
    parser.add_argument("-addr", metavar="HOST:PORT", default="localhost:0")
    parser.add_argument("-cert", metavar="FILE", type=Path, default="server.crt")
    parser.add_argument("-key", metavar="FILE", type=Path, default="server.key")
    parser.add_argument("-message", metavar="BYTES", type=int, default=Limits().message)
    given = parser.parse_args()
    host, _, port = given.addr.rpartition(":")
    with mock.patch.object(websocket_stage, "WebSocketServer", EchoWebSocket):
        try:
            asyncio.run(serve(host, int(port), given.cert, given.key, given.message))
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
