"""Slow work in few threads: bounded, and never on the loop."""

from __future__ import annotations

import asyncio
import threading
import unittest

from gochatsecure.chat.errors import Temporary
from gochatsecure.live.hashing import Hashing
from tests.support import PATIENCE


class Hands(unittest.IsolatedAsyncioTestCase):
    def make(self, hashers: int = 2, queue: int = 8) -> Hashing:
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)
        hashing = Hashing(hashers, queue)

        async def close() -> None:
            hashing.close()

        self.addAsyncCleanup(close)
        return hashing

    def work(self) -> str:
        self.go_on.wait(PATIENCE)
        return threading.current_thread().name

    async def busy(self, hashing: Hashing, jobs: int) -> list[asyncio.Task[str]]:
        tasks = [asyncio.create_task(hashing.run(self.work, known=True)) for _ in range(jobs)]
        await asyncio.sleep(0)
        return tasks

    async def test_work_is_shared_by_so_many_threads_none_of_them_the_loops(self) -> None:
        hashing = self.make(hashers=2)
        tasks = await self.busy(hashing, 6)
        self.go_on.set()
        names = await asyncio.gather(*tasks)
        self.assertEqual({name: names.count(name) for name in names}, {f"gochatsecure-hasher-{n}": 3 for n in (0, 1)})

    async def test_more_than_may_wait_is_refused_with_when_to_come_back(self) -> None:
        hashing = self.make(queue=4)
        await self.busy(hashing, 4)
        with self.assertRaises(Temporary) as caught:
            await hashing.run(self.work, known=True)
        self.assertEqual((caught.exception.code, caught.exception.retry_after_ms), ("sign_in_busy", 2000))

    async def test_strangers_leave_half_the_places_to_who_is_known(self) -> None:
        hashing = self.make(queue=4)
        await self.busy(hashing, 2)
        with self.assertRaises(Temporary):
            await hashing.run(self.work)
        known = asyncio.create_task(hashing.run(self.work, known=True))
        await asyncio.sleep(0)
        self.go_on.set()
        self.assertIn("hasher", await known)

    async def test_who_gives_up_keeps_the_place_until_the_work_is_done(self) -> None:
        """Else a peer that comes and goes could fill the queue without end."""
        hashing = self.make(hashers=1, queue=2)
        for task in await self.busy(hashing, 2):
            task.cancel()
        await asyncio.sleep(0)
        with self.assertRaises(Temporary):
            await hashing.run(self.work, known=True)
        self.go_on.set()
        async with asyncio.timeout(PATIENCE):
            while sum(hashing._jobs):  # noqa: ASYNC110 - the threads know nothing of tests
                await asyncio.sleep(0.005)
        self.assertIn("hasher", await hashing.run(self.work))

    async def test_what_the_work_raises_comes_back_and_its_place_is_free(self) -> None:
        hashing = self.make(queue=2)
        for _ in range(5):
            with self.assertRaises(ZeroDivisionError):
                await hashing.run(lambda: 1 // 0)
