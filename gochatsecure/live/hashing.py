"""Slow work for few hands: passwords are hashed in threads of their own, and the loop goes on (ID-2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ..chat.errors import Temporary
from ..worker import Worker

_T = TypeVar("_T")


class Hashing:
    """`hashers` threads; at most `queue` jobs that are under way or wait. They begin with the first job."""

    def __init__(self, hashers: int, queue: int) -> None:
        self._workers = [Worker(f"gochatsecure-hasher-{number}") for number in range(max(1, hashers))]
        self._jobs = [0] * len(self._workers)
        self._queue = queue
        self._closed = False

    async def run(self, job: Callable[[], _T], *, known: bool = False) -> _T:
        """What the job returns. Raises Temporary when too many wait: for strangers half the places are enough, so that
        whoever has been here before (`known`) is not kept out by them."""
        if self._closed:
            raise Temporary("draining", "the server is going away; try again soon", 2000)
        if sum(self._jobs) >= (self._queue if known else max(1, self._queue // 2)):
            raise Temporary("sign_in_busy", "too many are signing in at once; try again in a moment", 2000)
        chosen = self._jobs.index(min(self._jobs))
        answer = self._workers[chosen].run(job)
        self._jobs[chosen] += 1
        answer.add_done_callback(lambda _: self._done(chosen))
        return await asyncio.shield(answer)  # who gives up waiting still has its place: the thread goes on

    def _done(self, chosen: int) -> None:
        self._jobs[chosen] -= 1

    def close(self) -> None:
        """What is under way comes to its end, and nobody waits for it."""
        self._closed = True
        for worker in self._workers:
            if worker.begun:  # else there is no thread to end
                worker.end(lambda: None)
