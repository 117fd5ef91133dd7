"""Transcripts, played against a server at an address: one participant a WebSocket, all of them in one task."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..client.requests import Answer, ask
from ..wire.json_v1 import JSON
from ..wire.lines import LINES
from ..wire.websocket_client import LocalProtocolError, Lost, Rejected, WebSocketClient
from . import http
from .following import Broken, Follower
from .schemas import schema_of
from .transcript import Bound, Step, Transcript, filled, fits, parse
from .validate import faults

if TYPE_CHECKING:
    from ssl import SSLContext


_PASSWORD = "correct horse, battery"  # noqa: S105 - of names that nobody will ask for again


class Target(NamedTuple):
    """A server: its `url` (`https://localhost:8080`). `timeout`: seconds until something that has to come is missed.

    `strict`: what our tables do not know is a fault, too. `exact`: so is a field that a transcript does not mention.
    """

    url: str
    context: SSLContext
    timeout: float = 10.0
    strict: bool = False
    exact: bool = False


class Failed(Exception):
    """A promise that is not kept: where in the transcript, what had to come, what came."""

    def __init__(self, step: Step, came: str) -> None:
        super().__init__(f"line {step.number}: {step.who}{step.sign} {step.text}\n    {came}")
        self.step = step
        self.came = came


def transcripts() -> list[Transcript]:
    """All that come with this package, by name."""
    folder = files(__package__) / "transcripts"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".txt")), key=lambda path: path.name)
    return [parse(path.name.removesuffix(".txt"), path.read_text("utf-8")) for path in paths]


async def play(
    transcript: Transcript, target: Target, *, end_server: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Do what the transcript says, under new names. Raises Failed; OSError if there is no server.

    `end_server` is what `server: ends` does, where the server is one's own.
    """
    mark = "".join(secrets.choice("abcdefghkmprstxyz") for _ in range(8))
    names = {name: f"{name}-{mark}" for name in (*transcript.people, *transcript.fresh)}
    stage = _Stage(target, names)
    step = Step(0, "", ":", "")
    try:
        for step in transcript.renamed(names).steps:
            if step.who == "server":
                assert end_server is not None, "only one's own server can be told to end"
                await end_server()
            elif step.who == "http":
                await stage.exchange(step)
            else:
                await stage.do(step)
        await stage.end()
    except Broken as broken:
        raise Failed(step, str(broken)) from None
    except Rejected as rejected:
        raise Failed(step, str(rejected)) from None
    finally:
        stage.leave()


class _Stage:
    """Who takes part, and what the variables stand for."""

    def __init__(self, target: Target, names: Mapping[str, str]) -> None:
        self._target = target
        self._names = names
        self._bound: Bound = {"$long": "x" * 4000}
        self._cast: dict[str, _Player] = {}
        self._answer: Answer | None = None

    async def do(self, step: Step) -> None:
        who, sign, text = step.who, step.sign, step.text
        words = text.split()
        if sign == ":" and words[:1] == ["connects"]:
            await self._connect(who, words)
            return
        if sign == ":" and words == ["registers"]:
            await self._register(who)
            return
        if who not in self._cast:
            await self._connect(who, [])
        player = self._cast[who]
        if sign == ">":
            player.send(filled(text, self._bound))
        elif sign == "<":
            await player.expect(text, self._bound)
        elif text == "is told nothing more":
            await player.fence()
        elif text == "is lost":
            player.drop()
        elif text == "closes":
            player.close()
        elif text == "sends binary":
            player.send_binary()
        elif words[:1] == ["sends"] and words[2:3] == ["times"]:
            for number in range(1, int(words[1]) + 1):
                player.send(filled(text.split(" ", 3)[3].replace("#", str(number)), self._bound))
        elif words[:2] == ["is", "answered"]:
            await player.answered(int(words[2]))
        elif words[:2] == ["is", "shown"]:
            await player.shown(int(words[2]))
        elif words[:2] == ["catches", "up"]:
            await player.catch_up(words[3], str(self._bound["$epoch"]), int(words[5]))
        elif words[:3] == ["is", "closed", "with"]:
            await player.closed({int(word) for word in words[3:] if word != "or"})
        else:
            raise ValueError(f"line {step.number}: nobody knows how to do this: {text}")

    async def _connect(self, who: str, words: list[str]) -> None:
        options = dict(zip(words[1::2], words[2::2], strict=True))
        name = options.get("as", self._names.get(who, who))
        token = await self._token(name)
        lines = options.get("with") == "lines"
        target = f"/ws?room={options['in']}" if "in" in options else "/ws"
        player = _Player(self._target, lines=lines)
        self._cast[who] = player
        await player.connect(target, token)

    async def _register(self, who: str) -> None:
        body = json.dumps({"username": self._names[who], "password": _PASSWORD})
        found = await self._ask("POST", "/register", body=body)
        if found.status != 201:
            raise Broken(f"/register answered {found.status} {found.body}")
        self._bound[f"$token_{who}"] = found.body["token"]

    async def _token(self, name: str) -> str:
        """Signed in once."""
        plain = next(plain for plain, new in self._names.items() if new == name)
        if (variable := f"$token_{plain}") not in self._bound:
            found = await self._ask("GET", f"/auth?username={name}")
            if found.status != 200:
                raise Broken(f"/auth answered {found.status} {found.body}")
            self._bound[variable] = found.body["token"]
        return str(self._bound[variable])

    async def exchange(self, step: Step) -> None:
        if step.sign == ">":
            text, *headers = filled(step.text, self._bound).split(" | ")
            method, path, *body = text.split(" ", 2)
            pairs = {name: value for name, _, value in (header.partition(": ") for header in headers)}
            self._answer = await self._ask(method, path, pairs, "".join(body) or None)
            return
        assert self._answer is not None
        status, _, wanted = step.text.partition(" ")
        found = self._answer
        if int(status) != found.status or (wanted and not fits(json.loads(wanted), found.body, self._bound)):
            raise Broken(f"came: {found.status} {json.dumps(found.body, ensure_ascii=False)}")

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({}), body: str | None = None
    ) -> Answer:
        """An answer that is of its shape; where there were too many requests of ours, a little later."""
        while True:
            found = await ask(self._target.url, self._target.context, method, path, headers, body)
            if found.status != 429:
                break
            await asyncio.sleep(float(found.headers.get("retry-after", "1")))
        self._check_body(path.partition("?")[0], found)
        return found

    def _check_body(self, path: str, found: Answer) -> None:
        shape = http.PROBLEM if found.status >= 400 and found.status != 503 else None
        for route in http.ROUTES:
            for answer in route.answers:
                if route.path == path and answer.status == found.status and answer.body is not None:
                    shape = answer.body
        if shape and (wrong := faults(found.body, schema_of(shape), {}, strict=self._target.strict)):
            raise Broken(f"the answer to {path} is not of its shape: {'; '.join(wrong)}")

    async def end(self) -> None:
        """What nobody mentioned must not come, either."""
        for player in self._cast.values():
            if player.ended is None:
                await player.fence()

    def leave(self) -> None:
        for player in self._cast.values():
            player.drop()


class _Player:
    """One WebSocket, read when something has to come."""

    def __init__(self, target: Target, *, lines: bool) -> None:
        self._target = target
        self._lines = lines
        parts = urlsplit(target.url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 443
        self._follower = Follower(strict=target.strict)
        self._shown: deque[Any] = deque()  # events, or lines
        self._answered: deque[Any] = deque()
        self._writer: asyncio.StreamWriter | None = None
        self._fences = 0
        self.ended: Lost | None = None

    async def connect(self, path: str, token: str) -> None:
        opening = asyncio.open_connection(self._host, self._port, ssl=self._target.context)
        try:
            self._reader, self._writer = await asyncio.wait_for(opening, self._target.timeout)
        except TimeoutError:
            raise Broken(f"nothing came in {self._target.timeout:g} s") from None
        subprotocol = LINES.subprotocol if self._lines else JSON.subprotocol
        authorization = [("Authorization", f"Bearer {token}")]
        self._websocket = WebSocketClient(f"{self._host}:{self._port}", path, authorization, subprotocol)
        self._flush()
        while not self._shown and self.ended is None:  # whoever is connected is told something
            await self._read()

    def send_binary(self) -> None:
        assert self._writer is not None
        self._writer.write(self._websocket.send_binary(b"\x00"))

    def send(self, text: str) -> None:
        assert self._writer is not None
        if not self._lines:
            self._follower.asks(text)
        try:
            self._writer.write(self._websocket.send(text))
        except LocalProtocolError:
            raise Broken(f"the session has ended: {self.ended}") from None

    def close(self) -> None:
        assert self._writer is not None
        self._writer.write(self._websocket.close())

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self.ended = self.ended or Lost(1006)

    def _flush(self) -> None:
        answer, self._websocket.answer = self._websocket.answer, b""
        if answer and self._writer is not None:
            self._writer.write(answer)

    async def _read(self) -> None:
        """What comes next. Raises Broken when nothing does."""
        try:
            async with asyncio.timeout(self._target.timeout):
                data = await self._reader.read(65536)
        except TimeoutError:
            raise Broken(f"nothing came in {self._target.timeout:g} s") from None
        except OSError:
            data = b""
        try:
            for text in self._websocket.receive(data):
                self._take(text)
            self._flush()
        except Lost as lost:
            self.ended = lost
            self._flush()

    def _take(self, text: str) -> None:
        if self._lines:
            self._shown.append(text)
            return
        try:
            frame = json.loads(text)
        except ValueError:
            raise Broken(f"not JSON: {text}") from None
        self._follower.sees(frame)
        (self._answered if "re" in frame else self._shown).append(frame)

    async def _next(self, queue: deque[Any]) -> Any:
        while not queue:
            if self.ended is not None:
                raise Broken(f"the session has ended: {self.ended}")
            await self._read()
        return queue.popleft()

    async def expect(self, text: str, bound: Bound) -> None:
        if self._lines:
            found = await self._next(self._shown)
            if found != text and text != "...":
                raise Broken(f"came: {found}")
            return
        wanted = json.loads(text)
        found = await self._next(self._answered if "re" in wanted else self._shown)
        if not fits(wanted, found, bound, exact=self._target.exact):
            raise Broken(f"came: {json.dumps(found, ensure_ascii=False)}")

    async def answered(self, count: int) -> None:
        """So many requests, all of them carried out."""
        for _ in range(count):
            found = await self._next(self._answered)
            if "ok" not in found:
                raise Broken(f"came: {json.dumps(found, ensure_ascii=False)}")

    async def shown(self, count: int) -> None:
        for _ in range(count):
            await self._next(self._shown)

    async def catch_up(self, room: str, epoch: str, last: int) -> None:
        """Join a room from its beginning, a page at a time, to its entry `last`."""
        seq, more = 0, True
        while more:
            self.send(json.dumps({"op": "join", "id": seq, "room": room, "after": {"epoch": epoch, "seq": seq}}))
            found = await self._next(self._answered)
            if "ok" not in found or not found["ok"]["recovered"]:
                raise Broken(f"came: {json.dumps(found, ensure_ascii=False)}")
            more = found["ok"]["more"]
            seq = found["ok"]["events"][-1]["seq"] if found["ok"]["events"] else seq
        if seq != last:
            raise Broken(f"came: entries up to {seq}")

    async def fence(self) -> None:
        """Ask something, and hear nothing before the answer. Raises Broken."""
        self._fences += 1
        if self._lines:
            self.send("/find nobody")
            wanted: Any = "# nobody is not connected"
            found = await self._next(self._shown)
        else:
            self.send(json.dumps({"op": "ping", "id": f"fence-{self._fences}"}))
            wanted = {"re": f"fence-{self._fences}", "ok": {}}
            found = await self._next(self._answered)
        if found != wanted or (self._shown and not self._lines):
            found = found if found != wanted else self._shown[0]
            raise Broken(f"came, and should not have: {json.dumps(found, ensure_ascii=False)}")

    async def closed(self, codes: set[int]) -> None:
        """What still comes before that is passed over."""
        while self.ended is None:
            await self._read()
        if self.ended.code not in codes:
            raise Broken(f"closed with {self.ended.code} {self.ended.reason}")
