"""What the client has asked and has no answer to: said as fast as the server takes it, and again on every new line."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Any, NamedTuple

from .errors import ClientError, RequestRefused
from .line import Line

_WINDOW = 32  # requests said and not answered: more would only be refused as too fast, or wait in the server


class Call(NamedTuple):
    """A request on its way. `place`: whose replay it asks for."""

    request: dict[str, Any]
    answer: asyncio.Future[dict[str, Any]]
    place: str | None

    @property
    def room(self) -> str | None:
        """Where one has to be for it."""
        return self.request.get("room") if self.place is None else None


class Pace:
    """As many requests as the server takes: `rate` a second, `burst` at once; a rate of 0: any number."""

    def __init__(self, rate: float = 0.0, burst: float = 1.0, now: float = 0.0) -> None:
        self._rate = rate
        self._burst = self._permits = max(1.0, burst)
        self._since = now

    def take(self, now: float) -> float:
        """0.0: one may be said now; else the seconds until one may."""
        if not self._rate:
            return 0.0
        self._permits = min(self._burst, self._permits + (now - self._since) * self._rate)
        self._since = now
        if self._permits < 1 - 1e-6:  # fractions may never sum up to 1
            return (1 - self._permits) / self._rate
        self._permits -= 1
        return 0.0

    def after(self, other: Pace) -> Pace:
        """The same, for a server that has counted what was said at the other pace: a new line is no new burst."""
        if other._rate:
            self._permits, self._since = min(self._burst, other._permits), other._since
        return self

    def slow_down(self, now: float) -> None:
        """The server takes less than we thought: others use the same permits."""
        self._permits, self._since = 0.0, now


class Calls:
    """A request stays until it is answered, refused for good, or taken back. Replays belong to one line alone."""

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}  # oldest first
        self._numbers = count(1)
        self._line: Line | None = None
        self._said: set[int] = set()  # on this line
        self._replays: deque[Call] = deque()  # what will be said as soon as it may: these first
        self._waiting: deque[Call] = deque()
        self._queued: set[int] = set()  # which these are
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._entering: set[str] = set()  # rooms on the way into: what is said there has to wait

    def begin(self, line: Line, entering: Iterable[str], pace: Pace) -> None:
        """A line has taken us in; we want to be in these rooms. MUST be followed by `repeat`."""
        self._pace = pace.after(self._pace)
        for number in [number for number, call in self._calls.items() if call.place is not None]:
            del self._calls[number]
        self._line = line
        self._said.clear()
        self._replays.clear()
        self._waiting.clear()
        self._queued.clear()
        self._entering = set(entering)

    def repeat(self) -> None:
        """Say all that has no answer and was not said on this line yet."""
        for number, call in list(self._calls.items()):
            if number not in self._said:
                self._say(call)

    def end(self) -> None:
        """The line is lost."""
        self._line = None

    def fail(self, fault: ClientError) -> None:
        for call in self._calls.values():
            fail(call.answer, fault)
        self._calls.clear()

    def ask(self, request: dict[str, Any], place: str | None = None) -> Call:
        number = next(self._numbers)
        call = Call({**request, "id": number}, asyncio.get_running_loop().create_future(), place)
        self._calls[number] = call
        self._say(call)
        return call

    def get(self, number: object) -> Call | None:
        return self._calls.get(number) if isinstance(number, int) else None

    def asks_for(self, place: str) -> bool:
        """Whether a replay of that place is on its way."""
        return any(call.place == place for call in self._calls.values())

    def drop(self, call: Call) -> None:
        """It is answered, or nobody wants the answer: something else may be said."""
        self._calls.pop(call.request["id"], None)
        self._said.discard(call.request["id"])
        self._go_on()

    def take(self, call: Call, said: dict[str, Any]) -> None:
        """Its answer."""
        if (error := said.get("error")) is not None:
            fail(call.answer, RequestRefused(error["code"], error["message"]))
        else:
            settle(call.answer, said["ok"])
        self.drop(call)

    def say_later(self, call: Call, seconds: float) -> None:
        """It was refused for so long. On another line it is said anyway."""
        loop = asyncio.get_running_loop()
        self._pace.slow_down(loop.time())
        loop.call_later(seconds, self._say_again, call, self._line)

    def _say_again(self, call: Call, line: Line | None) -> None:
        if line is self._line:
            self._say(call)

    def enter(self, room: str) -> None:
        self._entering.add(room)

    def entered(self, room: str) -> None:
        """What has waited for it is said: one is in the room, or will not be."""
        self._entering.discard(room)
        for call in [call for call in self._calls.values() if call.room == room]:
            self._say(call)

    def _say(self, call: Call) -> None:
        number = call.request["id"]
        if self._line is None or number not in self._calls or number in self._queued or call.room in self._entering:
            return
        self._queued.add(number)
        (self._waiting if call.place is None else self._replays).append(call)
        self._go_on()

    def _go_on(self) -> None:
        """Say what waits, as far as it may be said now."""
        loop = asyncio.get_running_loop()
        while self._line is not None and (queue := self._next_queue()) is not None:
            if queue[0].request["id"] in self._calls:  # else it was taken back
                if wait := self._pace.take(loop.time()):
                    self._wake(loop, wait)
                    return
                self._send(queue[0], self._line)
            self._queued.discard(queue.popleft().request["id"])

    def _next_queue(self) -> deque[Call] | None:
        if self._replays:
            return self._replays
        head = self._waiting[0].request["id"] if self._waiting else 0
        return self._waiting if head and (head in self._said or len(self._said) < _WINDOW) else None

    def _send(self, call: Call, line: Line) -> None:
        if call.place is None:
            self._said.add(call.request["id"])
        line.send(json.dumps(call.request, ensure_ascii=False))

    def _wake(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if self._timer is None:
            self._timer = loop.call_later(seconds, self._awake)

    def _awake(self) -> None:
        self._timer = None
        self._go_on()


def settle(answer: asyncio.Future[dict[str, Any]], ok: dict[str, Any]) -> None:
    if not answer.done():
        answer.set_result(ok)


def fail(answer: asyncio.Future[dict[str, Any]], error: ClientError) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # who does not wait for it need not be told that nobody did
