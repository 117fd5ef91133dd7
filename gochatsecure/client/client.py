"""ChatClient: connect, send until it is acknowledged, resume after a loss, check every chain. For asyncio programs."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from ..chat.model import KINDS, Cursor
from ..chat.table import STORED
from ..wire.closing import CLOSE_CODES
from ..wire.json_v1 import JSON
from ..wire.websocket_client import Lost, Rejected, WebSocketClient
from .calls import Call, Calls, Pace, fail, settle
from .chains import advanced, entry_of, left_by
from .errors import ClientError, ConnectionRefused, HistoryFork, RequestRefused
from .line import Line, Shown, canonical, cursor_of, told
from .requests import detail_of, refresh

INBOX = ""
"""What the inbox is called among the cursors, where the others have their room's name."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses after which another try may end otherwise
_EARLY = 0.8  # of a token's life; then it is renewed
_RENEW_AGAIN = 10.0  # seconds, when the server was not reached


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
        renew: Callable[[str], Awaitable[str]] | None = None,
        buffer: int = 1000,
        backoff: Iterable[float] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
        timeout: float = 60.0,
        jitter: Callable[[], float] = random.random,
        make_cid: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        """`cursors`: where to go on, by room (INBOX: the inbox), as `save` is told them with each entry handed out.

        `renew` gives a newer token for one that will expire; by default the server is asked. `backoff`: seconds
        between tries, the last for ever, each times 0.5 to 1.5. `timeout`: seconds of silence, pings included, after
        which the connection counts as lost.
        """
        parts = urlsplit(url)
        self._url = url
        self._host, self._port = parts.hostname or "localhost", parts.port or 443
        self._token = token
        self._context = context or ssl.create_default_context()
        self._cursors = dict(cursors or {})
        self._save = save
        self._renew = renew or self._refresh
        self._backoff = tuple(backoff)
        self._timeout = timeout
        self._jitter = jitter
        self._make_cid = make_cid
        self._rooms: dict[str, asyncio.Future[dict[str, Any]]] = {}  # that one wants to be in: the answer to the join
        self._leaving: dict[str, Call] = {}
        self._calls = Calls()
        self._events: asyncio.Queue[Shown | None] = asyncio.Queue(buffer)
        self._early: list[dict[str, Any]] | None = None  # inbox entries that came before their replay is done
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._line: Line | None = None
        self._ready = asyncio.Event()
        self._fault: ClientError | None = None
        self.welcome: dict[str, Any] = {}
        """What the server said of itself and of this session, last."""

    # Connecting and going.

    async def __aenter__(self) -> Self:
        """Connected. Raises ClientError where no further try would help; waits for the server else."""
        self._task = asyncio.create_task(self._run())
        try:
            await self._ready.wait()
        except BaseException:  # whoever does not wait any longer has nothing to close
            await self.close()
            raise
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
        self._give_up(ClientError("this client is closed"))
        ending = [task for task in (self._task, self._renewing) if task is not None]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    async def _run(self) -> None:
        """Be connected, again and again."""
        loop, tries = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await self._be_connected()
            except ClientError as error:
                self._give_up(error)
                return
            except Rejected as error:
                if error.status not in _AGAIN:
                    self._give_up(ConnectionRefused(error.status, detail_of(error.body)))
                    return
            except Lost as error:
                if error.code in CLOSE_CODES and not CLOSE_CODES[error.code].again:
                    self._give_up(ConnectionRefused(error.code, error.reason or "the server has sent this client away"))
                    return
            except ssl.SSLCertVerificationError as error:
                self._give_up(ConnectionRefused(1015, f"the server's certificate is not good: {error.verify_message}"))
                return
            except (OSError, TimeoutError):
                pass
            except Exception:
                self._give_up(ClientError("this client has made a mistake"))
                raise
            self._ready.clear()
            if loop.time() - began > self._backoff[-1]:
                tries = 0  # it held for a while: else a server that lets in and sends away would be asked without end
            seconds = self._backoff[min(tries, len(self._backoff) - 1)]
            tries += 1
            await asyncio.sleep(seconds * (0.5 + self._jitter()))

    def _give_up(self, fault: ClientError) -> None:
        if self._fault is None:
            self._fault = fault
        self._calls.fail(self._fault)
        for answer in self._rooms.values():
            fail(answer, self._fault)
        self._ready.set()
        if self._renewing is not None:
            self._renewing.cancel()
        if not self._events.full():  # else whoever takes events will see it after the last
            self._events.put_nowait(None)

    async def _be_connected(self) -> None:
        """One connection, to its end. Raises what ended it."""
        async with asyncio.timeout(self._timeout):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        authorization = [("Authorization", f"Bearer {self._token}")]
        self._line = Line(writer, WebSocketClient(f"{self._host}:{self._port}", "/ws", authorization, JSON.subprotocol))
        try:
            self._line.flush()
            while True:
                async with asyncio.timeout(self._timeout):
                    data = await reader.read(65536)
                for text in self._line.websocket.receive(data):
                    await self._take_text(text)
                self._line.flush()
        finally:
            self._line = None
            self._calls.end()
            writer.transport.abort()

    async def _refresh(self, token: str) -> str:
        return await refresh(self._url, token, self._context)

    async def _keep_token(self, seconds: float | None) -> None:
        """Go on under a newer token before this one expires. A server that gives none lets the session end with it."""
        try:
            while seconds is not None:
                await asyncio.sleep(seconds * _EARLY)
                try:
                    self._token = await self._renew(self._token)
                except OSError:
                    seconds = _RENEW_AGAIN
                else:
                    seconds = (await self.request("refresh", token=self._token))["expires_in"]
        except ClientError:
            return

    # What comes.

    async def _take_text(self, text: str) -> None:
        try:
            await self._take(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConnectionRefused(1002, "the server says what is not its protocol") from None

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
                if (room := left_by(said, self.welcome["username"])) in self._rooms and self._rooms[room].done():
                    await self._take_no_replay(room, RequestRefused(said["event"], "this client was taken out of it"))
        else:
            await self._events.put(Shown(said))

    async def _begin(self, welcome: dict[str, Any]) -> None:
        """Say what has no answer yet again, and come back to where one was."""
        assert self._line is not None
        self.welcome = welcome
        for call in self._leaving.values():  # a new session is in no room
            self._calls.take(call, {"ok": {}})
        limits = welcome["limits"]
        pace = Pace(limits["commands_per_s"], limits["commands_at_once"], asyncio.get_running_loop().time())
        self._calls.begin(self._line, self._rooms, pace)
        self._ready.set()
        await self._begin_inbox(welcome["inbox"])
        for room in self._rooms:
            if not self._calls.asks_for(room):  # it may have been asked for while the inbox was seen to
                self._ask_replay("join", room)
        self._calls.repeat()
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self._keep_token(welcome["expires_in"]))

    async def _begin_inbox(self, position: dict[str, Any]) -> None:
        self._early = None
        stands = cursor_of(position)
        kept = self._cursors.get(INBOX)
        if kept is None:
            await self._start(INBOX, stands)
        elif kept.epoch != stands.epoch:
            await self._lose(INBOX, position)
        elif kept.seq < stands.seq:
            self._early = []
            self._ask_replay("inbox", INBOX)
        elif kept.seq > stands.seq or kept.head not in (None, stands.head):
            raise HistoryFork("the inbox does not hold what this client has seen of it")

    async def _take_answer(self, said: dict[str, Any]) -> None:
        call = self._calls.get(said["re"])
        if call is None:
            return
        error = said.get("error")
        if error is not None and error["temporary"]:
            wait = error.get("retry_after_ms", 1000) / 1000 * (1 + self._jitter())
            self._calls.say_later(call, wait)
        elif error is not None and error["code"] == "history_fork":
            raise HistoryFork(error["message"])
        else:
            self._calls.take(call, said)
            if call.place is None:
                return
            if error is None:
                await self._take_replay(call, said["ok"])
            else:
                await self._take_no_replay(call.place, RequestRefused(error["code"], error["message"]))

    async def _take_replay(self, call: Call, ok: dict[str, Any]) -> None:
        """The answer to a join, or of the inbox: what was missed, before anything that comes after it is taken."""
        place = call.place
        assert place is not None
        if not ok["recovered"]:
            await self._lose(place, ok)
        elif place not in self._cursors:
            await self._start(place, cursor_of(ok))
        for event in ok["events"]:
            await self._take_entry(event)
        if ok["more"]:
            self._ask_replay(call.request["op"], place)
        elif place == INBOX:
            early, self._early = self._early or [], None
            for event in early:
                await self._take_entry(event)
        else:
            if place in self._rooms:
                settle(self._rooms[place], ok)
            self._calls.entered(place)

    async def _take_no_replay(self, place: str, refused: RequestRefused) -> None:
        """Not let in, or not again: then whoever takes the events is told that this client is there no more."""
        answer = self._rooms.pop(place, None)
        if answer is not None and answer.done():
            await self._events.put(Shown({"event": "removed", "room": place, "code": refused.code}))
        elif answer is not None:
            fail(answer, refused)
        self._calls.entered(place)

    async def _start(self, place: str, cursor: Cursor) -> None:
        """The first place in a log: it is saved in its turn, so that another run misses nothing from here on."""
        self._cursors[place] = cursor
        await self._events.put(Shown(None, place, cursor))

    async def _lose(self, place: str, position: dict[str, Any]) -> None:
        """The server cannot tell what came since: say so, and go on from where the log is now."""
        self._cursors[place] = cursor_of(position)
        lost = {"event": "gap", "room": place} if place else {"event": "gap"}
        await self._events.put(Shown(lost, place, self._cursors[place]))

    async def _take_entry(self, event: dict[str, Any]) -> None:
        place = event.get("room", INBOX)
        if place not in self._cursors:
            raise HistoryFork("the server shows an entry of a room that was not joined")
        cursor = advanced(self._cursors[place], entry_of(event, self.welcome["username"]))
        self._cursors[place] = cursor
        await self._events.put(Shown(event, place, cursor))

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        """The next event. Two are the client's own: `gap`: the server could not tell what has happened in that `room`
        (without one, in the inbox); `removed`: this client was taken out of that `room`, or is not let back into it.
        Raises the ClientError with which the client has given up."""
        while True:
            if self._fault is not None and self._events.empty():
                raise self._fault
            shown = await self._events.get()
            if shown is None:
                assert self._fault is not None
                raise self._fault
            if shown.cursor is not None:
                self._save(shown.place, shown.cursor)
            if shown.event is not None:
                return shown.event

    # What is asked.

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer to any request of the JSON protocol, as docs/protocol.md has it. Raises ClientError.

        It is sent again after a loss of the connection; its `cid`, made unless given, keeps it from being done twice.
        Who gives up waiting takes it back, if it is not on its way yet. `join` and `leave` are methods of their own."""
        if op in ("join", "leave"):
            raise ValueError(f"{op} is a method of its own, so that this client knows where it is")
        if isinstance(room := fields.get("room"), str):
            fields["room"] = canonical(room)
        fields |= {"cid": fields.get("cid") or self._make_cid()} if op in STORED else {}
        call = self._ask({"op": op, **fields})
        try:
            return await call.answer
        finally:
            self._calls.drop(call)

    async def join(self, room: str) -> dict[str, Any]:
        """Enter a room, and stay in it across losses of the connection. Raises RequestRefused."""
        room = canonical(room)
        while (leaving := self._leaving.get(room)) is not None:
            await asyncio.wait([leaving.answer])
        if self._fault is not None:
            raise self._fault
        if room not in self._rooms:
            self._rooms[room] = asyncio.get_running_loop().create_future()
            self._calls.enter(room)
            self._ask_replay("join", room)
        return await asyncio.shield(self._rooms[room])

    async def leave(self, room: str) -> None:
        """Leave a room; what was said there before is said. Whoever still waits to be in is refused."""
        room = canonical(room)
        if (answer := self._rooms.pop(room, None)) is not None:
            fail(answer, RequestRefused("not_a_member", "this client has left that room again"))
        if (call := self._leaving.get(room)) is None:
            call = self._leaving[room] = self._ask({"op": "leave", "room": room})
            call.answer.add_done_callback(lambda _: self._leaving.pop(room, None))
        try:
            await asyncio.shield(call.answer)
        except RequestRefused as refused:
            if refused.code != "not_a_member":  # the connection was lost meanwhile, and the room with it
                raise

    async def send(self, room: str, text: str, *, cid: str | None = None, **fields: Any) -> dict[str, Any]:
        """Say it; returns once it is stored, with its `seq`. The same `cid` is stored once, also by another run."""
        return await self.request("send", room=room, text=text, cid=cid, **fields)

    async def private(self, to: str, text: str, *, cid: str | None = None) -> dict[str, Any]:
        """Say it to one alone; returns once it is stored."""
        return await self.request("private", to=to, text=text, cid=cid)

    def _ask_replay(self, op: str, place: str) -> None:
        request: dict[str, Any] = {"op": op, "room": place} if place else {"op": op}
        if (cursor := self._cursors.get(place)) is not None:
            request["after"] = told(cursor)
        self._ask(request, place)

    def _ask(self, request: dict[str, Any], place: str | None = None) -> Call:
        if self._fault is not None:
            raise self._fault
        return self._calls.ask(request, place)
