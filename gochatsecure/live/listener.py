"""The sockets that are listened on, and every connection that came in through them, counted from its first packet."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..auth.rates import Rates, Sampled, address_key
from ..errors import AddressError
from ..journal import Happening
from ..limits import Limits
from .certificates import Contexts
from .connection import Connection
from .counts import Counts
from .hub import Hub
from .outbox import Gatherer
from .routes import Routes
from .stage import Shared, Turn

_logger = logging.getLogger("gochatsecure")
_BACKLOG = 1024  # connections that the kernel keeps for us; a reconnect storm comes in one second
_ACCEPTED = 8  # taken at once: those refused keep their file descriptors for some turns of the loop
_BUFFER = 64 * 1024  # bytes read at once
_MORE_TRIES = 5  # for a free port: one that is free on the first address of a name may be in use on the next
_HIGH_WATER = 64 * 1024  # bytes that a socket may lag behind before its outbox waits


class Listener:
    """Accepts connections until stopped. `most`, `most_per_address`: connections at a time; 0 for no limit.

    Without a limit for each address there is none on how fast they come from one, either."""

    def __init__(
        self,
        *,
        tls: Contexts,
        limits: Limits,
        routes: Routes,
        hub: Hub,
        counts: Counts,
        most: int,
        most_per_address: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        buffer = memoryview(bytearray(_BUFFER))
        gatherer = Gatherer(loop.call_soon, loop.call_later)
        turn = Turn(loop.call_soon, limits.turn_of_all)
        self._shared = Shared(tls, limits, routes, hub, counts, loop, gatherer, turn, buffer)
        self._most = most
        self._most_per_address = most_per_address
        self._connections: set[Connection] = set()
        self._addresses: Counter[str] = Counter()
        rate = limits.connections_per_minute / 60 if most_per_address else 0
        self._rates = Rates(rate, limits.connections_at_once, limits.tracked_addresses)
        self._servers: list[asyncio.Server] = []
        self._refusals = Sampled(rate=1, burst=1)  # log lines a second
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, host: str, port: int) -> int:
        """Listen on each address of `host` ("" for all interfaces); port 0 takes a free one. Returns the port.

        Raises AddressError.
        """
        bound: list[socket.socket] = []
        try:
            bound = await _bind(host, port)
            for listening in bound:
                # Not serving at once: a server that is not in our hands yet could not be closed on cancellation.
                start = asyncio.start_server(self._accept, sock=listening, backlog=_ACCEPTED, start_serving=False)
                self._servers.append(await start)
                await self._servers[-1].start_serving()
                listening.listen(_BACKLOG)
        except BaseException as error:
            await self.stop()
            for listening in bound:
                listening.close()
            if isinstance(error, OSError | UnicodeError):
                raise _address_error(host, port, error) from None
            raise
        address: tuple[str, int] = self._servers[0].sockets[0].getsockname()
        return address[1]

    def renew(self, tls: Contexts) -> None:
        """Who connects from now on is shown this certificate. Connections go on as they are."""
        self._shared = replace(self._shared, tls=tls)

    @property
    def open(self) -> int:
        """Connections, those whose handshake is not done among them."""
        return len(self._connections)

    @property
    def tracked(self) -> int:
        """Addresses whose rate is remembered."""
        return len(self._rates)

    async def stop(self) -> None:
        """Accept no more. Connections go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A plain function, so that the transport can go over to our own protocol before its first byte is read."""
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else "unknown"
        key = address_key(address)
        full = self._most and len(self._connections) >= self._most
        # A handshake costs us more than the peer: they come only so fast.
        crowded = self._most_per_address and self._addresses[key] >= self._most_per_address
        if full or crowded or self._rates.take(key, self._shared.loop.time()):
            self._refuse(writer, address, "server full" if full else "address full" if crowded else "address too fast")
            return
        self._shared.counts.accepted += 1
        connection = Connection(self._shared, writer, address, self._forget)
        self._connections.add(connection)
        self._addresses[key] += 1
        self._empty.clear()
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)
        writer.transport.set_protocol(connection)
        connection.begin()

    def _refuse(self, writer: asyncio.StreamWriter, address: str, reason: str) -> None:
        writer.transport.abort()
        self._shared.counts.refused[reason] += 1
        if count := self._refusals.count(self._shared.loop.time()):
            _logger.warning(Happening("connection_refused", address=address, reason=reason, count=count))

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        key = address_key(connection.address)
        self._addresses[key] -= 1
        if not self._addresses[key]:
            del self._addresses[key]
        if not self._connections:
            self._empty.set()

    async def empty(self, seconds: float) -> None:
        """Ask every connection to end; after so many seconds end those that have not."""
        for connection in list(self._connections):
            connection.dismiss()
        try:
            await asyncio.wait_for(self._empty.wait(), max(0.0, seconds))
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort("server closed")
            await self._empty.wait()  # each says that it is lost on the loop's next turn


async def _bind(host: str, port: int) -> list[socket.socket]:
    """One listening socket for each address of `host`, all on the same port. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    for _ in range(_MORE_TRIES if port == 0 else 0):
        with suppress(OSError):
            return _bound(found, port)
    return _bound(found, port)


def _bound(found: Iterable[tuple[int, int, int, str, Any]], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing = OSError(errno.EADDRNOTAVAIL, "no address")
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                bound.append(_listening(family, kind, protocol, (address[0], port, *address[2:])))
                port = bound[-1].getsockname()[1]
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # a machine without IPv6 may still name ::1
        if not bound:
            raise missing
        return bound
    except BaseException:
        for listening in bound:
            listening.close()
        raise


def _listening(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        return made
    except BaseException:
        made.close()
        raise


def _address_error(host: str, port: int, error: OSError | UnicodeError) -> AddressError:
    where = f"{host}:{port}"
    if isinstance(error, socket.gaierror | UnicodeError):
        return AddressError(f"{where}: there is no such host", "name an address of this machine with -addr")
    if error.errno == errno.EADDRINUSE:
        return AddressError(f"{where}: the port is in use", "stop the other program, or choose another port with -addr")
    if error.errno == errno.EACCES:
        return AddressError(f"{where}: this port is not for ordinary users", "choose a port above 1023 with -addr")
    cause = f"{where}: cannot be listened on: {error.strerror}"
    return AddressError(cause, "name an address of this machine with -addr")
