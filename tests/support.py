"""What the tests at the edge share: a certificate, a server in the test's own loop, and plain clients over real TLS."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import functools
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, RejectConnection, Request, TextMessage

from gochatsecure import ChatServer

ROOT = Path(__file__).parent.parent
KEPT_CERTIFICATE = "GOCHATSECURE_TESTS_CERTIFICATE"  # who runs tests again and again names a folder with one here
PATIENCE = 60.0  # seconds until a test gives up; nothing takes even one, but where several suites share a processor


class Certificate(NamedTuple):
    ca: Path
    cert: Path
    key: Path


def temporary_folder() -> Path:
    """A folder that goes when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="gochatsecure-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def certificate() -> Certificate:
    """One for localhost, made once by our own tool."""
    if kept := os.environ.get(KEPT_CERTIFICATE):
        return _certificate_in(Path(kept))
    if shutil.which("openssl") is None or shutil.which("bash") is None:
        raise unittest.SkipTest("the commands openssl and bash make the certificate of the TLS tests; install them")
    folder = temporary_folder()
    subprocess.run([ROOT / "tools/gen_cert.sh", "--quiet", "--out", folder], check=True)
    return _certificate_in(folder)


def _certificate_in(folder: Path) -> Certificate:
    return Certificate(folder / "ca.crt", folder / "server.crt", folder / "server.key")


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port of this machine that no other program is given meanwhile. Servers may listen on it, one after another.

    It is bound, on each of localhost's addresses, by sockets that do not listen: Linux lets a server share it with
    these. On another system it is only one that was free a moment ago."""
    while True:
        with contextlib.ExitStack() as held:
            port = 0
            try:
                for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                    with contextlib.suppress(_NoSuchAddress):
                        port = _hold(held, family, address, port)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:  # free on the first address alone
                    continue
                raise
            if sys.platform != "linux":
                held.close()
            yield port
            return


class _NoSuchAddress(Exception):
    """As ::1 where there is no IPv6."""


def _hold(held: contextlib.ExitStack, family: int, address: str, port: int) -> int:
    try:
        holding = held.enter_context(socket.socket(family))
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind((address, port))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _NoSuchAddress from None
        raise
    return int(holding.getsockname()[1])


@functools.cache
def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate().ca)


class HasPort(Protocol):
    """A server, or whatever stands for one in another process."""

    @property
    def port(self) -> int: ...


class ServerTestCase(unittest.IsolatedAsyncioTestCase):
    """Tests against a running server. Without limits on rates, unless a test asks for them."""

    async def start(self, **fields: Any) -> ChatServer:
        """A server on a free port, that forgets, closed when the test ends."""
        pair = certificate()
        wall = fields.pop("wall", None)
        extras = {"wall": wall} if wall else {}
        defaults: dict[str, Any] = {
            "addr": "localhost:0",
            "cert": pair.cert,
            "key": pair.key,
            "data": temporary_folder() / "data",
            "store": "memory:",
            "message_rate": 0,
            "sign_in_rate": 0,
            "max_connections_per_address": 0,
        }
        server = ChatServer(**(defaults | fields), **extras)
        await server.start()
        self.addAsyncCleanup(server.close, 1)
        return server

    async def connect(self, server: ChatServer, name: str, room: str = "default", **options: Any) -> Client:
        """A signed-in client in that room, that has seen itself join."""
        client = await Client.open(server, await token(server, name), room, **options)
        self.addAsyncCleanup(client.abort)
        await client.until(f"{name} joined the room")
        return client


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """A TLS connection on which a test says exactly what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._h11 = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, server: HasPort) -> Self:
        """Connected and through the TLS handshake."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(), server_hostname="localhost"
        )
        return cls(reader, writer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.abort()

    async def abort(self) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> bytes:
        """What comes next; b"" at the end, however it ends."""
        try:
            return await asyncio.wait_for(self.reader.read(65536), PATIENCE)
        except (ConnectionError, ssl.SSLError):  # of which the reader tells before it hands out what came before
            buffer: bytearray = self.reader._buffer  # type: ignore[attr-defined]
            left = bytes(buffer)
            buffer.clear()
            return left

    async def rest(self) -> bytes:
        """All that still comes, until the server closes."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def answer(self, method: str = "GET") -> Answer:
        """The next HTTP answer on this connection, to a request of this method."""
        self._h11 = h11.Connection(h11.CLIENT)
        self._h11.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self._h11.send(h11.EndOfMessage())
        if self._left:
            self._h11.receive_data(self._left)
        response: h11.Response | None = None
        body = b""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(await self.read())
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the server closed without an answer")
        self._left = self._h11.trailing_data[0]
        assert response is not None
        headers = {name.decode(): value.decode() for name, value in response.headers}
        return Answer(response.status_code, headers, body)

    _left = b""


async def request(
    server: HasPort, target: str, *, method: str = "GET", headers: Iterable[str] = (), body: bytes = b""
) -> Answer:
    """One HTTP request on a connection of its own."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: localhost:{server.port}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    async with await Raw.open(server) as raw:
        raw.send("\r\n".join([*lines, "", ""]).encode() + body)
        return await raw.answer(method)


async def token(server: HasPort, name: str) -> str:
    answer = await request(server, f"/auth?username={name}")
    assert answer.status == 200, answer
    return str(answer.json()["token"])


class Rejected(Exception):
    """The server did not upgrade."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


class Client:
    """A WebSocket client, by wsproto. Remembers the code and reason with which the server closed."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.subprotocol: str | None = None
        self.closed: tuple[int, str] | None = None
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._parts: list[str] = []
        self._texts: list[str] = []

    @classmethod
    async def open(
        cls,
        server: HasPort,
        token: str,
        room: str = "",
        *,
        headers: Iterable[tuple[str, str]] = (),
        subprotocols: Iterable[str] = (),
        target: str | None = None,
    ) -> Self:
        """Connected and upgraded. Raises Rejected."""
        if target is None:
            target = f"/ws?token={token}" + (f"&room={room}" if room else "")
        client = cls(await Raw.open(server))
        extra = [(name.encode(), value.encode()) for name, value in headers]
        asked = Request(
            host=f"localhost:{server.port}", target=target, extra_headers=extra, subprotocols=list(subprotocols)
        )
        client.raw.send(client._ws.send(asked))
        # The 101 is read by itself: wsproto would drop frames that come behind it in the same bytes.
        head = await asyncio.wait_for(client.raw.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        client._ws.receive_data(head)
        for event in client._ws.events():
            if isinstance(event, AcceptConnection):
                client.subprotocol = event.subprotocol
            elif isinstance(event, RejectConnection):
                length = int(dict(event.headers).get(b"content-length", b"0"))
                problem = json.loads(await client.raw.reader.readexactly(length))
                await client.abort()
                raise Rejected(event.status_code, problem["code"])
        return client

    def send(self, text: str) -> None:
        self.raw.send(self._ws.send(Message(text)))

    def close(self, code: int = 1000) -> None:
        self.raw.send(self._ws.send(CloseConnection(code)))

    async def receive(self) -> str | None:
        """The next text; None once the server has closed."""
        while not self._texts:
            if self.closed is not None:
                return None
            self._take(await self.raw.read())
        return self._texts.pop(0)

    def _take(self, data: bytes) -> None:
        if not data:
            self.closed = self.closed or (1006, "")
            self.raw.writer.transport.abort()
            return
        self._ws.receive_data(data)
        for event in self._ws.events():
            if isinstance(event, TextMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    self._texts.append("".join(self._parts))
                    self._parts.clear()
            elif isinstance(event, Ping):
                self.raw.send(self._ws.send(event.response()))
            elif isinstance(event, CloseConnection):
                self.closed = (int(event.code), event.reason or "")
                if self._ws.state is ConnectionState.REMOTE_CLOSING:
                    self.raw.send(self._ws.send(event.response()))

    async def until(self, wanted: str) -> list[str]:
        """All texts up to and with this one. Fails if the server closes before."""
        seen: list[str] = []
        while wanted not in seen:
            text = await self.receive()
            if text is None:
                raise AssertionError(f"closed with {self.closed} before {wanted!r}; seen: {seen}")
            seen.append(text)
        return seen

    async def ask(self, line: str) -> str:
        """Send a line, and the next text that comes."""
        self.send(line)
        return await self.receive() or f"closed: {self.closed}"

    async def until_closed(self) -> tuple[int, str]:
        """The code and reason with which the server closes; what it still says before that is passed over."""
        while await self.receive() is not None:
            pass
        assert self.closed is not None
        return self.closed

    async def abort(self) -> None:
        await self.raw.abort()
