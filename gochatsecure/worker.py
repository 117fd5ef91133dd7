"""A thread that does one thing after another for an event loop. Unlike an executor's, it never keeps a process alive:
a disk that hangs must not keep the server from ending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


class Worker:
    """Belongs to one event loop. Its thread begins with the first `run` and ends with `end`."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended = False
        self._thread = Thread(target=self._work, name=name, daemon=True)

    def run(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        """What `job` returns or raises, once all that was asked before is done. Cancelling does not stop it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()

        def work() -> None:
            try:
                settle = partial(_settle, answer, job(), None)
            except BaseException as error:
                settle = partial(_settle, answer, None, error)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle)

        if self._ended:
            raise RuntimeError("this worker has ended")
        if not self.begun:
            self._thread.start()
        self._jobs.put(work)
        return answer

    @property
    def begun(self) -> bool:
        return self._thread.ident is not None

    def end(self, last: Callable[[], None]) -> asyncio.Future[None]:
        """Do this, and then no more: later `run`s raise RuntimeError."""
        answer = self.run(last)
        self._ended = True
        self._jobs.put(None)
        return answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _settle(answer: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if answer.done():
        return  # it was cancelled
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
