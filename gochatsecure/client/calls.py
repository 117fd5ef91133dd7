"""What the client has asked and has no answer to: said at the server's pace, and again on every new line."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any, NamedTuple

from .errors import ClientError, RequestRefused
from .line import Line

_WINDOW = 32  # requests said and not answered: more would only wait in the server
_CAUTION = 0.9  # of what the server allows: its clock is another, and other sessions of ours may ask, too


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
    """As many requests as a server takes: so many a second, so many at once."""

    def __init__(self) -> None:
        self._rate = 0.0  # a second; 0 for no limit
        self._burst = 0.0
        self._permits: float | None = None  # None: never asked
        self._since = 0.0

    def obey(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate * _CAUTION, max(1.0, burst * _CAUTION)

    def take(self, now: float) -> float:
        """0.0 if a request may be said now, else the seconds until one may."""
        if not self._rate:
            return 0.0
        if self._permits is None:
            self._permits, self._since = self._burst, now
        self._permits = min(self._burst, self._permits + max(0.0, now - self._since) * self._rate)
        self._since = now
        if self._permits < 1 - 1e-6:  # a sum of fractions may never be quite 1
            return (1 - self._permits) / self._rate
        self._permits -= 1
        return 0.0

    def empty(self, now: float) -> None:
        """The server says that it was too fast."""
        self._permits, self._since = 0.0, now


class Calls:
    """A request stays until it is answered, refused for good, or taken back. Replays belong to one line alone."""

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}  # oldest first
        self._numbers = count(1)
        self._line: Line | None = None
        self._said: set[int] = set()  # on this line, and without an answer
        self._waiting: deque[Call] = deque()  # what will be said as soon as it may
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._entering: set[str] = set()  # rooms on the way into: what is said there has to wait

    def begin(self, line: Line, entering: Iterable[str], limits: Mapping[str, Any]) -> None:
        """A line has taken us in, with these limits; we want to be in these rooms. MUST be followed by `repeat`."""
        self._pace.obey(limits.get("commands_per_s", 0), limits.get("commands_at_once", 0))
        for number in [number for number, call in self._calls.items() if call.place is not None]:
            del self._calls[number]
        self._line = line
        self._said.clear()
        self._waiting.clear()
        self._entering = set(entering)

    def repeat(self) -> None:
        """Say all that has no answer and was not said on this line yet."""
        self._waiting.extend(self._calls.values())
        self._go_on()

    def end(self) -> None:
        """The line is lost."""
        self._line = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail(self, fault: ClientError) -> None:
        for call in self._calls.values():
            fail(call.answer, fault)
        self._calls.clear()

    def ask(self, request: dict[str, Any], place: str | None = None) -> Call:
        number = next(self._numbers)
        call = Call({**request, "id": number}, asyncio.get_running_loop().create_future(), place)
        self._calls[number] = call
        self._waiting.append(call)
        self._go_on()
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

    def say_later(self, call: Call, seconds: float, *, too_fast: bool) -> None:
        """It was refused for so long. On another line it is said anyway."""
        loop = asyncio.get_running_loop()
        if too_fast:
            self._pace.empty(loop.time())
        loop.call_later(seconds, self._say_again, call, self._line)

    def _say_again(self, call: Call, line: Line | None) -> None:
        if line is self._line:
            self._said.discard(call.request["id"])
            self._waiting.appendleft(call)
            self._go_on()

    def enter(self, room: str) -> None:
        self._entering.add(room)

    def entered(self, room: str) -> None:
        """What has waited for it is said: one is in the room, or will not be."""
        self._entering.discard(room)
        self._waiting.extend(call for call in self._calls.values() if call.room == room)
        self._go_on()

    def _go_on(self) -> None:
        """Say what waits, as far as the window and the pace let it."""
        while self._line is not None and self._waiting and len(self._said) < _WINDOW:
            call = self._waiting[0]
            number = call.request["id"]
            if number in self._calls and number not in self._said and call.room not in self._entering:
                loop = asyncio.get_running_loop()
                if self._timer is None and (wait := self._pace.take(loop.time())):
                    self._timer = loop.call_later(wait, self._go_on_again)
                if self._timer is not None:
                    return
                self._said.add(number)
                self._line.send(json.dumps(call.request, ensure_ascii=False))
            self._waiting.popleft()

    def _go_on_again(self) -> None:
        self._timer = None
        self._go_on()


def settle(answer: asyncio.Future[dict[str, Any]], ok: dict[str, Any]) -> None:
    if not answer.done():
        answer.set_result(ok)


def fail(answer: asyncio.Future[dict[str, Any]], error: ClientError) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # who does not wait for it need not be told that nobody did
