"""The server as a process that ends: started on the same store, drained, or killed between any two of its steps.

All of it is the real `ChatServer`, but for TLS, sockets, threads and files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any
from unittest import mock

from gochatsecure.auth.jwt import Key
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.chat.model import Identity
from gochatsecure.errors import StoreError
from gochatsecure.limits import Limits
from gochatsecure.live.hub import Hub
from gochatsecure.live.listener import Listener
from gochatsecure.live.session import Session
from gochatsecure.log.accounts import MemoryAccounts
from gochatsecure.log.port import Log
from gochatsecure.server import ChatServer

from .loop import OUTSIDE, OWNER, SimLoop
from .network import End
from .store import Disk, SteppedLog, ToldLog
from .truth import Fail, Truth
from .wire import Wire

LIMITS = Limits(
    ping_s=4.0,
    silence_s=8.0,
    outbox=1500,
    pending=4,
    history_page=5,
    replay_page=3,
    backlog=300,
    text=200,
    typing_s=0.5,
    guest_grace_s=5.0,
    queue=12,
    linger_s=0.5,
)
KEYS = KeyRing([Key("k1", b"simulated-secret-of-32-bytes-and-more")])


class Plain:
    """In place of TLS: what arrives is what it says."""

    def __init__(self, context: object) -> None:
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.established = True

    def feed(self, records: bytes) -> None:
        self._incoming += records

    def handshake(self) -> bool:
        return True

    def read(self, most: int) -> bytes | None:
        data, self._incoming = bytes(self._incoming[:most]), self._incoming[most:]
        return data or None

    def write(self, plaintext: bytes) -> None:
        self._outgoing += plaintext

    def take(self) -> bytes:
        data, self._outgoing = bytes(self._outgoing), bytearray()
        return data

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Writer:
    """What a listener is told of a connection."""

    transport: End

    def get_extra_info(self, name: str) -> Any:
        return self.transport.get_extra_info(name)


class Unwatched:
    """In place of the watch over files: none of them changes."""

    def __init__(self, files: object, **parts: object) -> None:
        pass

    def begin(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Process:
    """`forgets`: its store ends with it."""

    def __init__(
        self, seed: int, loop: SimLoop, truth: Truth, disk: Disk, wall: Callable[[], float], *, forgets: bool
    ) -> None:
        self._seed = seed
        self._random = Random(f"{seed} process")
        self._loop = loop
        self._truth = truth
        self._disk = disk
        self._wall = wall
        self._context = Context()
        self._incarnation = 0
        self._ids = 0
        self.forgets = forgets
        self.server: ChatServer | None = None
        self.log: Log | None = None
        self.accepts = False
        self.ends: list[End] = []  # of the clients
        self.wires: list[Wire] = []

    @property
    def hub(self) -> Hub | None:
        """While it serves."""
        if self.server is None or not self.accepts or self.server._listener is None:
            return None
        return self.server._hub

    def _later(self, seconds: float, step: Callable[[], object]) -> None:
        self._loop.at(self._loop.time() + seconds, step, context=OUTSIDE)

    def _make_id(self) -> str:
        self._ids += 1
        return f"i{self._ids}"

    def dial(self, identity: Identity, *, greets: bool, room: str) -> End | None:
        """The client's end of a new connection; None while nobody listens."""
        if self.hub is None or self.server is None or self.server._listener is None:
            return None
        number = len(self.ends)
        server, client = (
            End(self._loop, Random(f"{self._seed} {number} {side}"), number, context)
            for side, context in (("server", self._context), ("client", OUTSIDE))
        )
        server.peer, client.peer = client, server
        wire = Wire(self._truth, identity, number, greets=greets, room=room)
        server.spy, client.spy = wire.shown, wire.asked
        self.wires.append(wire)
        self.ends.append(client)
        self._context.run(self.server._listener._accept, None, Writer(server))  # type: ignore[arg-type]
        return client

    def start(self) -> None:
        self._incarnation += 1
        self._context = Context()
        self._context.run(OWNER.set, f"server {self._incarnation}")
        random = Random(f"{self._seed} log {self._incarnation}")
        if self.forgets:
            self._truth.forget()
            self.log = ToldLog(self._truth, random, kept=60, queue=LIMITS.queue)
        else:
            self.log = SteppedLog(self._disk, random, queue=LIMITS.queue)
        self.server = ChatServer(
            log=self.log, accounts=MemoryAccounts(), wall=self._wall, make_id=self._make_id, addr="localhost:1",
            limits=LIMITS,
            history=self._random.choice((0, 3, 20)), message_rate=self._random.choice((0, 0, 4)), sign_in_rate=0,
            max_connections_per_address=0,
        )  # fmt: skip
        self.accepts = True
        self._context.run(self._loop.create_task, self.server.start()).add_done_callback(self._started, context=OUTSIDE)

    def _started(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreError):  # the disk: somebody tries it again
            self.server, self.accepts = None, False
            self._later(1.0, self.start)
        else:
            self._truth.fail("bug", f"the server does not start: {error!r}")

    def crash(self) -> None:
        """`kill -9`, between two steps or in the middle of a transaction."""
        if self.server is None:
            return
        self._loop.kill(f"server {self._incarnation}")
        self.server, self.accepts = None, False
        for end in self.ends:
            if not end.lost:
                end.peer.lost = True
                if self._random.random() < 0.5:
                    end._arrived.clear()
                end.cut = True
                wait = self._random.choice((0.0, 0.01, 0.5))
                self._later(wait, partial(end.lose, ConnectionResetError("the server is gone")))
        if not self.forgets:
            self._truth.audit(self._disk.look())
        self._disk.crash = None
        self._later(self._random.choice((0.1, 1.0)), self.start)

    def restart(self) -> None:
        """In good order: drained, and started again."""
        server = self.server
        if server is None or self.hub is None:
            return

        def start() -> None:
            if self.server is server:  # else it has crashed meanwhile
                self.start()

        async def close() -> None:
            await server.close(3.0)
            self._later(0.2, start)

        self.accepts = False
        self._context.run(self._loop.create_task, close())

    def any_end(self, random: Random) -> End | None:
        alive = [end for end in self.ends if not end.lost and not end.cut]
        return random.choice(alive) if alive else None


class _Bugs(logging.Handler):
    """What is logged as our own fault."""

    def __init__(self, fail: Fail) -> None:
        super().__init__(logging.ERROR)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._fail("bug", f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def simulated(fail: Fail) -> Iterator[None]:
    """No TLS, no socket, no file; sets of sessions in an order that does not depend on addresses in memory."""
    logger = logging.getLogger("gochatsecure")
    bugs, level, propagate = _Bugs(fail), logger.level, logger.propagate

    async def start(listener: Listener, host: str, port: int) -> int:
        return 1

    def number(session: Session) -> int:
        return int(session.address.rpartition(".")[2]) + 256 * int(session.address.split(".")[2])

    logger.addHandler(bugs)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        with (
            mock.patch("gochatsecure.live.connection.TLSServer", Plain),
            mock.patch("gochatsecure.server.server_contexts", lambda cert, key: None),
            mock.patch(
                "gochatsecure.server.KeyRing", mock.Mock(load=lambda path: KEYS, load_or_make=lambda path: KEYS)
            ),
            mock.patch.object(Listener, "start", start),
            mock.patch("gochatsecure.server.Watch", Unwatched),
            mock.patch.object(Session, "__hash__", number),
        ):
            yield
    finally:
        logger.removeHandler(bugs)
        logger.setLevel(level)
        logger.propagate = propagate
