"""ChatClient: connect, send until it is acknowledged, resume after a loss, check every chain. For asyncio programs."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from ..chat.chain import base64url
from ..chat.model import KINDS, Cursor
from ..wire.json_v1 import JSON
from ..wire.websocket_client import LocalProtocolError, Lost, Rejected, WebSocketClient
from .chains import advanced, decoded, entry_of
from .errors import ClientError, ConnectionRefused, HistoryFork, RequestRefused
from .requests import refresh

INBOX = ""
"""What the inbox is called among the cursors, where the others have their room's name."""

_FOR_GOOD = {1002, 1003, 1007, 4400, 4401, 4403}  # close codes after which another try would end the same way
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses after which it may not


class ChatClient:
    """One identity's connection, kept up until it is closed.

        async with ChatClient("https://localhost:8080", token, context=context) as chat:
            await chat.join("general")
            await chat.send("general", "anybody here?")
            async for event in chat:
                print(event["from"], event.get("text"))

    What is sent is sent again, under the same `cid`, until it is acknowledged or refused: it is stored once. Entries
    come once and in order, across losses of the connection. Events have to be taken: while `buffer` of them wait,
    nothing is read.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        context: ssl.SSLContext | None = None,
        cursors: dict[str, Cursor] | None = None,
        save: Callable[[str, Cursor], object] = lambda place, cursor: None,
        buffer: int = 1000,
        backoff: Iterable[float] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
        timeout: float = 60.0,
        jitter: Callable[[], float] = random.random,
        make_cid: Callable[[], str] = secrets.token_urlsafe,
        renew: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:
        """`cursors`: where to go on, by room (INBOX: the inbox), as `save` is told them with each entry handed out.

        `backoff`: seconds between tries, the last for ever, each times 0.5 to 1.5. `timeout`: seconds of silence, pings
        included, after which the connection counts as lost. `renew` gives a later token for one that will soon
        expire (default: as the server gives one); what it raises ends the renewing, not the connection.
        """
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 443
        self._token = token
        self._context = context or ssl.create_default_context()
        self._cursors = dict(cursors or {})
        self._save = save
        self._backoff = tuple(backoff)
        self._timeout = timeout
        self._jitter = jitter
        self._make_cid = make_cid
        self._renew = renew or partial(refresh, url, context=self._context)
        self._renewing: asyncio.Task[None] | None = None
        self._rooms: dict[str, asyncio.Future[dict[str, Any]]] = {}  # that one wants to be in: the answer to the join
        self._calls: dict[int, _Call] = {}  # what has no answer yet, oldest first
        self._numbers = count(1)
        self._events: asyncio.Queue[_Shown | None] = asyncio.Queue(buffer)
        self._entering: set[str] = set()  # rooms on the way back into: what is said there has to wait
        self._early: list[dict[str, Any]] | None = None  # inbox entries that came before their replay is done
        self._task: asyncio.Task[None] | None = None
        self._line: _Line | None = None
        self._ready = asyncio.Event()
        self._fault: ClientError | None = None
        self.welcome: dict[str, Any] = {}
        """What the server said of itself and of this session, last."""

    # Connecting and going.

    async def __aenter__(self) -> Self:
        """Connected. Raises ClientError where no further try would help; waits for the server else."""
        self._task = asyncio.create_task(self._run())
        await self._ready.wait()
        if self._fault is not None:
            raise self._fault
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. What is not acknowledged by now may be stored or not. Twice is no error."""
        if self._line is not None:
            self._line.close()
        for task in (self._task, self._renewing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._give_up(ClientError("this client is closed"))

    async def _run(self) -> None:
        """Be connected, again and again."""
        tries = 0
        while True:
            self._ready.clear()
            try:
                await self._be_connected()
            except ClientError as error:
                self._give_up(error)
                return
            except Rejected as error:
                if error.status not in _AGAIN:
                    self._give_up(ConnectionRefused(error.status, "the server does not let this client in"))
                    return
            except Lost as error:
                if error.code in _FOR_GOOD:
                    self._give_up(ConnectionRefused(error.code, error.reason or "the server has sent this client away"))
                    return
            except (OSError, TimeoutError):
                pass
            tries = 0 if self._ready.is_set() else tries + 1
            seconds = self._backoff[min(tries, len(self._backoff) - 1)]
            await asyncio.sleep(seconds * (0.5 + self._jitter()))

    def _give_up(self, fault: ClientError) -> None:
        if self._fault is None:
            self._fault = fault
        for call in self._calls.values():
            _fail(call.answer, self._fault)
        for answer in self._rooms.values():
            _fail(answer, self._fault)
        self._calls.clear()
        self._ready.set()
        with suppress(asyncio.QueueFull):  # then whoever takes events will see it after the last
            self._events.put_nowait(None)

    async def _be_connected(self) -> None:
        """One connection, to its end. Raises what ended it."""
        async with asyncio.timeout(self._timeout):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        authorization = [("Authorization", f"Bearer {self._token}")]
        self._line = _Line(
            writer, WebSocketClient(f"{self._host}:{self._port}", "/ws", authorization, JSON.subprotocol)
        )
        try:
            self._line.flush()
            while True:
                async with asyncio.timeout(self._timeout):
                    data = await reader.read(65536)
                for text in self._line.websocket.receive(data):
                    await self._take(json.loads(text))
                self._line.flush()
        finally:
            self._line = None
            writer.transport.abort()

    # What comes.

    async def _take(self, said: dict[str, Any]) -> None:
        if "re" in said:
            await self._take_answer(said)
        elif said["event"] == "welcome":
            await self._begin(said)
        elif said["event"] in KINDS:
            if "room" not in said and self._early is not None:
                self._early.append(said)
            else:
                await self._take_entry(said)
        else:
            await self._events.put(_Shown(said))

    async def _begin(self, welcome: dict[str, Any]) -> None:
        """Say what has no answer yet again, and come back to where one was."""
        self.welcome = welcome
        self._ready.set()
        if welcome["expires_in"] is not None:
            if self._renewing is not None:
                self._renewing.cancel()
            self._renewing = asyncio.create_task(self._keep_renewing(welcome["expires_in"]))
        inbox = self._cursors.setdefault(INBOX, _cursor(welcome["inbox"]))
        if inbox.epoch == welcome["inbox"]["epoch"] and inbox.seq < welcome["inbox"]["last"]:
            self._early = []
            self._ask_replay("inbox", INBOX)
        elif inbox != _cursor(welcome["inbox"]):
            await self._lose(INBOX, welcome["inbox"])
        self._entering = set(self._rooms)
        for room in self._rooms:
            self._ask_replay("join", room)
        for call in [call for call in self._calls.values() if call.place is None]:
            self._say(call)

    async def _keep_renewing(self, seconds: float) -> None:
        """Show the server a later token in good time, over and over."""
        with suppress(ClientError, OSError):
            while True:
                await asyncio.sleep(seconds * (0.7 + 0.1 * self._jitter()))
                self._token = await self._renew(self._token)
                seconds = (await self.request("refresh", token=self._token))["expires_in"] or 1e9

    async def _take_answer(self, said: dict[str, Any]) -> None:
        call = self._calls.get(said["re"])
        if call is None:
            return
        error = said.get("error")
        if error is None:
            del self._calls[said["re"]]
            if call.place is None:
                _settle(call.answer, said["ok"])
            else:
                await self._take_replay(call, said["ok"])
        elif error["temporary"]:
            wait = error.get("retry_after_ms", 1000) / 1000 * (1 + self._jitter())
            asyncio.get_running_loop().call_later(wait, self._say, call)
        elif error["code"] == "history_fork":
            raise HistoryFork(error["message"])
        else:
            del self._calls[said["re"]]
            refused = RequestRefused(error["code"], error["message"])
            if call.place:
                self._entering.discard(call.place)
                _fail(self._rooms.pop(call.place, call.answer), refused)
            _fail(call.answer, refused)

    async def _take_replay(self, call: _Call, ok: dict[str, Any]) -> None:
        """The answer to a join, or of the inbox: what was missed, before anything that comes after it is taken."""
        place = call.place
        assert place is not None
        if not ok["recovered"]:
            await self._lose(place, ok)
        self._cursors.setdefault(place, _cursor(ok))
        for event in ok["events"]:
            await self._take_entry(event)
        if ok["more"]:
            self._ask_replay(call.request["op"], place)
        elif place == INBOX:
            early, self._early = self._early or [], None
            for event in early:
                await self._take_entry(event)
        else:
            self._entering.discard(place)
            if place in self._rooms:
                _settle(self._rooms[place], ok)
            for waiting in [
                one for one in self._calls.values() if one.place is None and one.request.get("room") == place
            ]:
                self._say(waiting)

    async def _lose(self, place: str, position: dict[str, Any]) -> None:
        """The server cannot tell what came since: say so, and go on from where the log is now."""
        self._cursors[place] = _cursor(position)
        lost = {"event": "gap", "room": place} if place else {"event": "gap"}
        await self._events.put(_Shown(lost, place, self._cursors[place]))

    async def _take_entry(self, event: dict[str, Any]) -> None:
        place = event.get("room", INBOX)
        if place not in self._cursors:
            raise HistoryFork("the server shows an entry of a room that was not joined")
        cursor = advanced(self._cursors[place], entry_of(event, self.welcome["username"]))
        self._cursors[place] = cursor
        await self._events.put(_Shown(event, place, cursor))

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        """The next event. `gap` is the client's own: the server could not tell what has happened in that `room`
        (without one, in the inbox). Raises the ClientError with which the client has given up."""
        if self._fault is not None and self._events.empty():
            raise self._fault
        shown = await self._events.get()
        if shown is None:
            assert self._fault is not None
            raise self._fault
        if shown.cursor is not None:
            self._save(shown.place, shown.cursor)
        return shown.event

    # What is asked.

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer to any request of the JSON protocol, as docs/protocol.md has it. Raises ClientError.

        It is sent again after a loss of the connection; a `cid` in it is what keeps it from being done twice."""
        call = self._call({"op": op, **fields}, None)
        self._say(call)
        return await call.answer

    async def join(self, room: str) -> dict[str, Any]:
        """Enter a room, and stay in it across losses of the connection. Raises RequestRefused."""
        if room not in self._rooms:
            self._rooms[room] = asyncio.get_running_loop().create_future()
            self._ask_replay("join", room)
        return await asyncio.shield(self._rooms[room])

    async def leave(self, room: str) -> None:
        self._rooms.pop(room, None)
        try:
            await self.request("leave", room=room)
        except RequestRefused as refused:
            if refused.code != "not_a_member":  # the connection was lost meanwhile, and the room with it
                raise

    async def send(self, room: str, text: str, *, cid: str | None = None, **fields: Any) -> dict[str, Any]:
        """Say it; returns once it is stored, with its `seq`. The same `cid` is stored once, also by another run."""
        return await self.request("send", room=room, text=text, cid=cid or self._make_cid(), **fields)

    async def private(self, to: str, text: str, *, cid: str | None = None) -> dict[str, Any]:
        """Say it to one alone; returns once it is stored."""
        return await self.request("private", to=to, text=text, cid=cid or self._make_cid())

    def _ask_replay(self, op: str, place: str) -> None:
        request: dict[str, Any] = {"op": op, "room": place} if place else {"op": op}
        if (cursor := self._cursors.get(place)) is not None:
            request["after"] = {"epoch": cursor.epoch, "seq": cursor.seq}
            if cursor.head is not None:
                request["after"]["head"] = base64url(cursor.head)
        for number in [number for number, call in self._calls.items() if call.place == place]:
            del self._calls[number]  # asked on a connection that is no more
        self._say(self._call(request, place))

    def _call(self, request: dict[str, Any], place: str | None) -> _Call:
        if self._fault is not None:
            raise self._fault
        number = next(self._numbers)
        self._calls[number] = call = _Call({**request, "id": number}, asyncio.get_running_loop().create_future(), place)
        if place is not None:
            call.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        return call

    def _say(self, call: _Call) -> None:
        """Now, if there is a connection, and one is in the room; else once that is so."""
        if call.place is None and call.request.get("room") in self._entering:
            return
        if self._line is not None and self._ready.is_set() and call.request["id"] in self._calls:
            self._line.send(json.dumps(call.request, ensure_ascii=False))


class _Call(NamedTuple):
    """A request on its way. `place`: whose replay it asks for."""

    request: dict[str, Any]
    answer: asyncio.Future[dict[str, Any]]
    place: str | None


class _Shown(NamedTuple):
    """An event to be handed out, and the cursor behind it."""

    event: dict[str, Any]
    place: str = INBOX
    cursor: Cursor | None = None


class _Line:
    """A WebSocket and the stream below it."""

    def __init__(self, writer: asyncio.StreamWriter, websocket: WebSocketClient) -> None:
        self._writer = writer
        self.websocket = websocket

    def send(self, text: str) -> None:
        if not self._writer.transport.is_closing():  # else it is sent again on the next line
            self._writer.write(self.websocket.send(text))

    def flush(self) -> None:
        """What the WebSocket itself has to say."""
        answer, self.websocket.answer = self.websocket.answer, b""
        if answer:
            self._writer.write(answer)

    def close(self) -> None:
        with suppress(OSError, LocalProtocolError):
            self._writer.write(self.websocket.close())


def _cursor(position: dict[str, Any]) -> Cursor:
    return Cursor(position["epoch"], position["last"], decoded(position["head"]))


def _settle(answer: asyncio.Future[dict[str, Any]], ok: dict[str, Any]) -> None:
    if not answer.done():
        answer.set_result(ok)


def _fail(answer: asyncio.Future[dict[str, Any]], error: ClientError) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # who does not wait for it need not be told that nobody did
