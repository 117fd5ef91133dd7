"""A thread that works for an event loop, and keeps nobody alive."""

from __future__ import annotations

import asyncio
import threading
import unittest
from unittest import mock

from gochatsecure.worker import Worker
from tests.support import PATIENCE


def fail() -> None:
    raise ZeroDivisionError("so it is")


class Working(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.worker = Worker("a-worker")
        self.released = threading.Event()
        self.addCleanup(self.released.set)

    def hold(self) -> None:
        self.released.wait(PATIENCE)

    async def end(self) -> None:
        await asyncio.wait_for(self.worker.end(lambda: None), PATIENCE)

    async def test_a_job_is_done_in_a_thread_of_its_own_which_does_not_keep_the_process(self) -> None:
        thread = await self.worker.run(threading.current_thread)
        self.assertIsNot(thread, threading.current_thread())
        self.assertEqual((thread.name, thread.daemon), ("a-worker", True))
        await self.end()
        await asyncio.to_thread(thread.join, PATIENCE)
        self.assertFalse(thread.is_alive())

    async def test_no_thread_is_begun_for_nothing(self) -> None:
        Worker("an-idle-worker")  # a name of its own: the thread of the test before may still be on its way out
        self.assertNotIn("an-idle-worker", [thread.name for thread in threading.enumerate()])

    async def test_jobs_are_done_one_after_another_in_their_order(self) -> None:
        done: list[int] = []
        jobs = [self.worker.run(lambda number=number: done.append(number)) for number in range(50)]  # type: ignore[misc]
        await self.end()
        self.assertEqual(done, list(range(50)))
        self.assertTrue(all(job.done() for job in jobs))

    async def test_the_loop_goes_on_meanwhile(self) -> None:
        job = self.worker.run(self.hold)
        await asyncio.sleep(0)
        self.assertFalse(job.done())
        self.released.set()
        await asyncio.wait_for(job, PATIENCE)
        await self.end()

    async def test_what_a_job_raises_is_raised_here_and_the_next_is_done(self) -> None:
        with self.assertRaisesRegex(ZeroDivisionError, "so it is"):
            await self.worker.run(fail)
        self.assertEqual(await self.worker.run(lambda: 7), 7)
        await self.end()

    async def test_a_job_that_nobody_waits_for_any_more_is_done_all_the_same(self) -> None:
        done: list[str] = []
        errors: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        holding = self.worker.run(self.hold)
        given_up = [self.worker.run(lambda: done.append("done")), self.worker.run(fail)]
        for job in given_up:
            job.cancel()
        self.released.set()
        await asyncio.wait_for(holding, PATIENCE)
        await self.end()
        self.assertEqual((done, errors), (["done"], []))
        self.assertTrue(all(job.cancelled() for job in given_up))

    async def test_the_end_comes_after_what_was_asked_before_and_nothing_after_it(self) -> None:
        done: list[int] = []
        holding = self.worker.run(self.hold)
        first = self.worker.run(lambda: done.append(1))
        last = self.worker.end(lambda: done.append(2))
        for late in (self.worker.run, self.worker.end):
            with self.assertRaises(RuntimeError):
                late(lambda: done.append(3))
        self.released.set()
        await asyncio.wait_for(asyncio.gather(holding, first, last), PATIENCE)
        self.assertEqual(done, [1, 2])

    async def test_an_end_that_fails_says_so(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            await self.worker.end(fail)


class LoopGone(unittest.TestCase):
    def test_a_loop_that_closes_during_a_job_raises_nothing_in_the_thread(self) -> None:
        raised: list[object] = []
        begun, released = threading.Event(), threading.Event()
        threads: list[threading.Thread] = []

        def job() -> None:
            threads.append(threading.current_thread())
            begun.set()
            released.wait(PATIENCE)

        async def ask() -> None:
            worker = Worker("a-worker")
            worker.run(job)
            worker.end(lambda: None)

        with mock.patch("threading.excepthook", raised.append):
            asyncio.run(ask())
            self.assertTrue(begun.wait(PATIENCE))
            released.set()
            threads[0].join(PATIENCE)
        self.assertFalse(threads[0].is_alive())
        self.assertEqual(raised, [])
