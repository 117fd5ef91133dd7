"""Clients that keep the client's side of the contract: they send again under the same cid, and go on from their cursor.

`Typist` speaks the lines protocol; `program.Program` speaks JSON. The library's own `ChatClient` is simulated, too:
`Embedder` is a program that uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Protocol

from gochatsecure.chat.model import Cursor, Identity
from gochatsecure.client import ChatClient, ClientError
from gochatsecure.client.errors import HistoryFork, RequestRefused
from gochatsecure.wire.json_v1 import JSON
from tests.live.support import CLOSE, PING, PONG, frame, handshake

from .network import End
from .wire import frames


class Surroundings(Protocol):
    """What clients need of the run."""

    port: int

    def fail(self, check: str, what: str) -> None: ...
    def later(self, seconds: float, step: Callable[[], object]) -> None: ...
    def dial(self, who: Person) -> End | None: ...
    def token(self, identity: Identity) -> str: ...
    def unique(self, stem: str) -> str: ...


class Person:
    """Somebody who wants to be connected, again and again; one connection at a time, as far as it knows."""

    greets = True

    def __init__(self, run: Surroundings, identity: Identity, random: Random, operations: int) -> None:
        self.run = run
        self.identity = identity
        self.random = random
        self.left = operations  # that it still wants to do
        self.line: Line | None = None
        self.gone = False  # wants to be connected no more
        self.room = "den"
        self.closes: list[int] = []

    @property
    def settled(self) -> bool:
        raise NotImplementedError

    @property
    def state(self) -> str:
        """For who wonders why it is not settled."""
        return f"{self.left} to do, closed with {self.closes[-3:]}"

    def begin(self) -> None:
        self.run.later(self.random.random(), self.connect)
        self.run.later(1 + self.random.random(), self.live)

    def live(self) -> None:
        """One thing after another, or a few at once."""
        if self.left > 0 and not self.gone:
            for _ in range(self.random.choice((1, 1, 1, 1, 4))):
                if self.act():
                    self.left -= 1
            self.run.later(self.random.expovariate(4.0), self.live)

    def act(self) -> bool:
        raise NotImplementedError

    def connect(self) -> None:
        if self.gone or self.line is not None:
            return
        end = self.run.dial(self)
        if end is None:
            self.again()
            return
        self.line = Line(self, end)
        headers = [f"Authorization: Bearer {self.run.token(self.identity)}"]
        if self.greets:
            headers.append(f"Sec-WebSocket-Protocol: {JSON.subprotocol}")
        end.write(handshake(self.run, f"/ws?room={self.room}", headers))

    def again(self) -> None:
        self.run.later(self.random.choice((0.02, 0.05, 0.2, 1.0)), self.connect)

    def drop(self) -> None:
        """It takes the connection for lost, whatever the server thinks of it."""
        if self.line is not None:
            self.line.person = None
            self.line = None
            self.ended(1006)

    def leave(self) -> None:
        self.gone = True
        if self.line is not None:
            self.line.end.write(frame(b"\x03\xe8", CLOSE))

    def ended(self, code: int) -> None:
        self.closes.append(code)
        if not self.gone:
            self.again()

    def says(self, text: str) -> None:
        assert self.line is not None
        self.line.end.write(frame(text))

    def hears(self, text: str) -> None:
        raise NotImplementedError


class Line:
    """One WebSocket of a person: the protocol of its end."""

    def __init__(self, person: Person, end: End) -> None:
        self.person: Person | None = person
        self.end = end
        self._data = b""
        self._open = False
        self._code = 1006
        end.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.end.abort()
                return
            self._open, self._data = True, rest
        while (size := _whole(self._data)) is not None:
            ((opcode, payload),) = frames(self._data[:size])
            self._data = self._data[size:]
            if opcode == CLOSE:
                self._code = int.from_bytes(payload[:2], "big")
                self.end.write(frame(payload[:2], CLOSE))
                self.end.close()
            elif self.person is None:
                pass  # what comes for who has given it up is read by nobody
            elif opcode == PING:
                self.end.write(frame(payload, PONG))
            else:
                self.person.hears(payload.decode())

    def connection_lost(self, error: Exception | None) -> None:
        if self.person is not None:
            self.person.line = None
            self.person.ended(self._code)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


def _whole(data: bytes) -> int | None:
    """How long the first frame is, if all of it is there."""
    if len(data) < 2:
        return None
    size, start = data[1] & 0x7F, 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    return start + size if len(data) >= start + size else None


class Typist(Person):
    """Somebody at a terminal, who types no message again."""

    greets = False

    def __init__(
        self, run: Surroundings, identity: Identity, random: Random, operations: int, names: list[str]
    ) -> None:
        super().__init__(run, identity, random, operations)
        self._names = names
        self._in = False
        self._barred = 0  # how often it has not been let in, or has been taken out

    @property
    def settled(self) -> bool:
        return self.left <= 0 and (self._in or self._barred > 2)

    def act(self) -> bool:
        if not self._in:
            return False
        text, name = self.run.unique("t"), self.random.choice(self._names)
        typed = self.random.choice(
            (text, text, text, f"/me {text}", f"@{name} {text}", "/who", "/rooms", "/join", f"/topic {text}")
        )
        if typed == "/join":
            self._elsewhere()
            typed, self._in = f"/join {self.room}", False
        self.says(typed)
        return True

    def hears(self, text: str) -> None:
        if text in (f"{self.identity.name} joined the room", "! you are in that room"):
            self._in = True
        elif text.startswith(("! you are banned", "! that room is private")) and self.line is not None:
            self._sent_away()
            self.run.later(1.0, partial(self._join_again, self.line))
        elif text.startswith("! ") and not self._in and self.line is not None:
            self.run.later(1.0, partial(self._join_again, self.line))

    def _elsewhere(self) -> None:
        self.room = {"den": "hall", "hall": "den"}[self.room]

    def _sent_away(self) -> None:
        self._barred += 1
        self.left -= 3
        self._elsewhere()

    def _join_again(self, line: Line) -> None:
        if self.line is line and not self._in:
            self.says(f"/join {self.room}")

    def ended(self, code: int) -> None:
        self._in = False
        if code == 4403:
            self._sent_away()
        super().ended(code)


class Embedder(Person):
    """A program that leaves all of it to the library's client."""

    def __init__(self, run: Surroundings, identity: Identity, random: Random, operations: int, context: Any) -> None:
        super().__init__(run, identity, random, operations)
        self._context = context  # in place of TLS
        self.acks: dict[str, int] = {}
        self.cursors: dict[str, Cursor] = {}
        self._reached: int | None = None  # the seq of the room's entry that came last
        self._unsent: tuple[str, str] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        return self.left <= 0

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        while not self.gone:
            client = ChatClient(
                "https://simulated:1",
                self.run.token(self.identity),
                context=self._context,
                cursors=self.cursors,
                save=self.cursors.__setitem__,
                backoff=(0.1, 0.5),
                jitter=self.random.random,
            )
            try:
                async with client:
                    saying = asyncio.get_running_loop().create_task(self._say(client))
                    try:
                        await self._read(client)
                    finally:
                        saying.cancel()
            except HistoryFork as error:
                self.run.fail("client", f"{self.identity.name}: {error}")
                return
            except ClientError:  # its token has expired: with a new one
                await asyncio.sleep(0.2)

    async def _say(self, client: ChatClient) -> None:
        try:
            await client.join(self.room)
            while self.left > 0:
                await asyncio.sleep(self.random.expovariate(2.0))
                if self._unsent is None:
                    self._unsent = (self.run.unique("c"), self.run.unique("l"))
                cid, text = self._unsent
                self.acks[cid] = (await client.send(self.room, text, cid=cid))["seq"]
                self._unsent = None
                self.left -= 1
        except RequestRefused as refused:
            self.left = 0
            if refused.code not in ("banned", "invite_only", "not_a_member", "muted"):
                self.run.fail("client", f"{self.identity.name}: {refused}")
        except ClientError:
            pass  # the reader is told, too

    async def _read(self, client: ChatClient) -> None:
        async for event in client:
            if event["event"] == "gap":
                self._reached = None
            elif "seq" in event and event.get("room") == self.room:
                if self._reached not in (None, event["seq"] - 1):
                    self.run.fail("client", f"{self.identity.name}: {event['seq']} came after {self._reached}")
                self._reached = event["seq"]

    def drop(self) -> None:
        pass  # the library's client has no such wish

    def leave(self) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()
