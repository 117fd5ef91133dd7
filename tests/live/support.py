"""Clients that do what no library would: frames and handshakes written out by hand, readers that stop reading."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

from gochatsecure import ChatServer
from gochatsecure.live.connection import Connection
from tests.support import PATIENCE, Client, HasPort, Raw, ServerTestCase

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(payload: bytes | str = b"", opcode: int = TEXT, *, final: bool = True, reserved: int = 0) -> bytes:
    """One frame as a client sends it. Its mask is all zeros, so that the payload can be read in a dump."""
    data = payload.encode() if isinstance(payload, str) else payload
    first = (0x80 if final else 0) | reserved << 4 | opcode
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + data


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The opcode and payload of each whole frame of a server; what is not whole at the end is left out."""
    found: list[tuple[int, bytes]] = []
    while len(data) >= 2:
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            break
        found.append((data[0] & 0xF, data[start : start + size]))
        data = data[start + size :]
    return found


def texts(data: bytes) -> list[str]:
    """The payloads of the text frames in it."""
    return [payload.decode() for opcode, payload in frames(data) if opcode == TEXT]


def handshake(server: HasPort, target: str, headers: Iterable[str] = ()) -> bytes:
    """A WebSocket handshake for that target."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: localhost:{server.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class _Kept(logging.Handler):
    """Errors that nobody expected. What is milder goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.errors.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


class LiveTestCase(ServerTestCase):
    """Connections that end with the test. A test fails if the server or the loop has logged an error meanwhile."""

    def setUp(self) -> None:
        kept = _Kept()
        for name in ("gochatsecure", "asyncio"):
            logging.getLogger(name).addHandler(kept)
            self.addCleanup(logging.getLogger(name).removeHandler, kept)
        self.addCleanup(lambda: self.assertEqual(kept.errors, []))

    async def raw(self, server: HasPort) -> Raw:
        """A TLS connection."""
        raw = await Raw.open(server)
        self.addAsyncCleanup(raw.abort)
        return raw

    async def open(self, server: HasPort, ticket: str, room: str = "", **options: Any) -> Client:
        """A WebSocket. Raises Rejected."""
        client = await Client.open(server, ticket, room, **options)
        self.addAsyncCleanup(client.abort)
        return client

    async def spoken(self, server: ChatServer) -> tuple[Raw, Connection]:
        """A connection on which HTTP is spoken, and the server's side of it."""
        raw = await self.raw(server)
        end = server_end(server, raw)
        await eventually(lambda: end._stage is not None)
        return raw, end

    async def upgraded(self, server: HasPort, ticket: str, room: str = "default") -> Raw:
        """A connection that has become a WebSocket; nothing after the 101 is read yet."""
        raw = await self.raw(server)
        raw.send(handshake(server, f"/ws?token={ticket}&room={room}"))
        head = await asyncio.wait_for(raw.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return raw


async def eventually(holds: Callable[[], object]) -> None:
    """Until that holds, in other tasks' turns. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of tests
            await asyncio.sleep(0.005)


async def hear(raw: Raw, wanted: bytes, times: int = 1, received: bytes = b"") -> bytes:
    """All that comes until that has come so often. Fails if the server closes before. `received`: what came already."""
    while received.count(wanted) < times:
        more = await raw.read()
        assert more, f"closed before {wanted!r} had come {times} times: {received[-1000:]!r}"
        received += more
    return received


async def heard(end: Connection, raw: Raw, data: bytes) -> None:
    """Send this, and wait until the server has it, or listens no more."""
    before = end.heard
    raw.send(data)
    await eventually(lambda: end.heard > before or end._ended)


async def skip(seconds: float) -> None:
    """So much time passes on the running loop, at once; its timers that are due by then have run."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.slow_callback_duration = float("inf")  # else asyncio would complain of the callback in which it passes
    loop.time = lambda: time() + seconds  # type: ignore[method-assign]
    for _ in range(5):
        await asyncio.sleep(0)


def server_end(server: ChatServer, raw: Raw) -> Connection:
    """The server's side of this connection."""
    assert server._listener is not None
    port = raw.writer.get_extra_info("sockname")[1]
    found = (end for end in server._listener._connections if end._transport.get_extra_info("peername")[1] == port)
    return next(found)


def stop_reading(server: ChatServer, raw: Raw) -> Connection:
    """From now on the client reads nothing, and the kernel keeps little for it. Returns the server's side."""
    end = server_end(server, raw)
    end._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    beneath(raw).pause_reading()
    return end


def read_on(raw: Raw) -> None:
    """The client has woken up."""
    beneath(raw).resume_reading()


def beneath(raw: Raw) -> asyncio.Transport:
    """The socket's transport: the one of TLS would read on for a while."""
    transport = raw.writer.transport._ssl_protocol._transport  # type: ignore[attr-defined]
    assert isinstance(transport, asyncio.Transport)
    return transport
