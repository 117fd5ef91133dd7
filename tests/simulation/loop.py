"""An event loop without sockets, threads or a clock: what happens next, and when, is chosen by a seed.

Time is virtual: it passes when nothing is left to do, and now and then before that, so that what comes from outside
falls between any two steps. Whose a callback is goes with its context: the end of a process is the end of all its
callbacks, tasks and timers, between any two of them.
"""

from __future__ import annotations

import asyncio
import heapq
import warnings
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

TICK = 0.001  # seconds: what happens within one tick, happens at once, in an order that the seed chooses
OWNER: ContextVar[str] = ContextVar("owner", default="")
OUTSIDE = Context()
"""Whose callbacks end with no process."""


class SimLoop(asyncio.AbstractEventLoop):
    """`wild`: the next of all that is ready is chosen by the seed; else they come in turn, as asyncio has them."""

    def __init__(self, random: Random, *, wild: bool) -> None:
        self._random = random
        self._wild = wild
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, float, int, asyncio.Handle]] = []
        self._count = 0
        self._dead: set[str] = set()
        self._tasks: dict[str, list[asyncio.Task[Any]]] = {}
        self._threads: dict[str, float] = {}  # when the last of what a thread has said arrives
        self._said: dict[tuple[str, str], deque[tuple[Any, Any]]] = {}  # by thread and owner, on its way
        self.thread = ""  # whose work is done now, if it is not the loop's
        self.steps = 0
        self.failed: Callable[[str], object] = lambda what: None
        self.connect: Callable[[], Coroutine[Any, Any, asyncio.Transport]] | None = None

    # Running.

    def step(self) -> bool:
        """One callback. False if there is nothing to do any more."""
        self.steps += 1
        if not self._ready and not self._pass_time():
            return False
        if self._ready and self._random.random() < 0.1 and self._timers and self._timers[0][0] < self._now + 10 * TICK:
            self._pass_time()
        chosen = self._random.randrange(len(self._ready)) if self._wild else 0
        handle = self._ready.pop(chosen)
        if not handle.cancelled() and self._owner(handle) not in self._dead:
            handle._run()
        return True

    def _pass_time(self) -> bool:
        """Until something is due."""
        timers = self._timers
        if not timers:
            return False
        self._now = max(self._now, timers[0][0])
        due: list[asyncio.Handle] = []
        while timers and timers[0][0] <= self._now:
            due.append(heapq.heappop(timers)[3])
        self._ready += due
        return True

    def _owner(self, handle: asyncio.Handle) -> str:
        context: Context = handle._context  # type: ignore[attr-defined]
        return context.get(OWNER, "")

    def until(self, holds: Callable[[], object], most: int) -> bool:
        """Steps until that holds, or as many as that; False then, or when there is nothing to do."""
        events._set_running_loop(self)
        try:
            for _ in range(most):
                if holds():
                    return True
                if not self.step():
                    break
            return bool(holds())
        finally:
            events._set_running_loop(None)

    @property
    def idle(self) -> bool:
        return not self._ready and not self._timers

    def kill(self, owner: str) -> None:
        """Nothing that this one has begun goes on."""
        self._dead.add(owner)
        with warnings.catch_warnings():  # the dead do not complain
            warnings.simplefilter("ignore")
            for task in self._tasks.pop(owner, ()):
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with suppress(Exception):
                        task.get_coro().close()

    def end(self) -> None:
        """As `kill`, of all."""
        for owner in list(self._tasks):
            self.kill(owner)
        self._ready.clear()
        self._timers.clear()

    # Scheduling.

    def at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None, rank: float = 0
    ) -> asyncio.Handle:
        """At the tick after that time; `rank` orders what happens at the same one."""
        ticks = -int(-when // TICK) * TICK
        handle = asyncio.Handle(callback, args, self, copy_context() if context is None else context)
        return self._due(ticks, rank, handle)

    def _due(self, when: float, rank: float, handle: asyncio.Handle) -> asyncio.Handle:
        self._count += 1
        heapq.heappush(self._timers, (when, rank, self._count, handle))
        return handle

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """What one thread says arrives in its order, some time later."""
        when = max(self._now + self._random.choice((0, 1, 5, 20, 100)) * TICK, self._threads.get(self.thread, 0.0))
        self._threads[self.thread] = when
        context = copy_context() if context is None else context
        said = self._said.setdefault((self.thread, context.get(OWNER, "")), deque())
        said.append((callback, args))
        return self.at(when, self._hear, said, context=context)

    def _hear(self, said: deque[tuple[Any, Any]]) -> None:
        callback, args = said.popleft()
        callback(*args)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, copy_context() if context is None else context)
        self._due(max(when, self._now), 0, handle)
        return handle

    def time(self) -> float:
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **options)
        owned = self._tasks.setdefault(OWNER.get(), [])
        owned.append(task)
        if len(owned) > 100:
            owned[:] = [task for task in owned if not task.done()]
        return task

    async def create_connection(self, protocol_factory: Any, *place: Any, **options: Any) -> Any:
        assert self.connect is not None
        transport = await self.connect()
        protocol = protocol_factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failed(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
