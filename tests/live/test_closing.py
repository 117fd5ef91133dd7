"""The end of a server: what is under way is committed, everybody is told, nothing is left. Over real TLS."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import unittest
import warnings
from collections.abc import Awaitable

from gochatsecure import ChatServer, Limits
from tests.live.fakes import HeldLog, turns
from tests.live.support import LiveTestCase, eventually, handshake, stop_reading
from tests.support import Raw, temporary_folder, token

FOREVER = 3600.0
GOING_AWAY = (1001, "the server is going away; connect again soon")


class StuckLog(HeldLog):
    """One whose disk hangs: it closes only when let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def close(self) -> None:
        await self.let_go.wait()
        await super().close()


class ClosingAServer(LiveTestCase):
    async def bounded(self, closing: Awaitable[None]) -> None:
        """It ends, if not at once, then long before the limits that are set to be for ever."""
        await asyncio.wait_for(closing, 60)

    async def test_tells_every_session_so(self) -> None:
        server = await self.start()
        people = [await self.connect(server, f"guest{number}", f"room{number % 2}") for number in range(4)]
        closing = asyncio.create_task(server.close(30))
        self.assertEqual([await person.until_closed() for person in people], [GOING_AWAY] * 4)
        await self.bounded(closing)

    async def test_commits_and_shows_what_is_under_way_before_that(self) -> None:
        log = HeldLog()
        server = await self.start(log=log)
        alice, bob = await self.connect(server, "alice"), await self.connect(server, "bob")
        await alice.until("bob joined the room")
        alice.send("my last words")
        await eventually(lambda: log.arrived)
        closing = asyncio.create_task(server.close(30))
        for person in (alice, bob):
            self.assertEqual(await person.receive(), "alice: my last words")
            self.assertEqual(await person.until_closed(), GOING_AWAY)
        await self.bounded(closing)
        self.assertTrue(log.closed.is_set())

    async def test_keeps_on_disk_what_was_under_way(self) -> None:
        folder = temporary_folder() / "data"
        server = await self.start(store="sqlite:DATA/chat.db", data=folder)
        alice = await self.connect(server, "alice")
        for number in range(50):
            alice.send(f"{number}")
        shown = [await alice.receive() or ""]
        closing = asyncio.create_task(server.close(30))
        while (text := await alice.receive()) is not None:
            shown.append(text)
        await self.bounded(closing)
        again = await self.start(store="sqlite:DATA/chat.db", data=folder, history=100)
        bob = await self.open(again, await token(again, "bob"))
        kept = (await bob.until("bob joined the room"))[:-1]
        said = [text for text in shown if text.startswith("alice: ")]
        self.assertEqual(kept, said)
        self.assertTrue(said)

    async def test_takes_nothing_new_meanwhile(self) -> None:
        log = StuckLog()
        server = await self.start(log=log)
        alice = await self.connect(server, "alice")
        ticket = await token(server, "bob")
        keeping = await self.raw(server)
        asked = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        keeping.send(asked)
        self.assertEqual((await keeping.answer()).status, 200)
        closing = asyncio.create_task(server.close(30))
        await turns()
        with self.assertRaises(OSError):
            await Raw.open(server)
        keeping.send(asked)
        self.assertEqual((await keeping.answer()).status, 503)
        keeping.send(handshake(server, f"/ws?token={ticket}"))
        answer = await keeping.answer()
        self.assertEqual((answer.status, answer.json()["code"], answer.headers["retry-after"]), (503, "draining", "2"))
        going = "! the server is going away; nothing was sent; try again in 2.0 s"
        self.assertEqual(await alice.ask("too late"), going)
        log.let_go.set()
        self.assertEqual(await alice.until_closed(), GOING_AWAY)
        await self.bounded(closing)

    async def test_that_was_never_started_or_is_closed_already_is_no_error(self) -> None:
        await ChatServer().close()
        server = await self.start()
        await server.close()
        await server.close()

    async def test_does_not_wait_for_clients_that_do_not_leave(self) -> None:
        server = await self.start(limits=Limits(linger_s=FOREVER, handshake_s=FOREVER, head_s=FOREVER, idle_s=FOREVER))
        silent = await self.upgraded(server, await token(server, "silent"))
        sleeper = await self.connect(server, "sleeper")
        stop_reading(server, sleeper.raw)
        keeping, half = await self.raw(server), await self.raw(server)
        half.send(b"GET / HT")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        self.addAsyncCleanup(Raw(reader, writer).abort)
        await eventually(lambda: server._listener and len(server._listener._connections) == 5)
        await self.bounded(server.close(0.2))
        assert silent is not None and keeping is not None
        self.assertEqual(server._hub and server._hub.sessions, set())

    async def test_without_any_grace_ends_at_once(self) -> None:
        server = await self.start(limits=Limits(linger_s=FOREVER))
        alice = await self.connect(server, "alice")
        await self.bounded(server.close(0))
        await alice.until_closed()

    async def test_does_not_wait_for_a_store_that_hangs(self) -> None:
        log = StuckLog()
        server = await self.start(log=log)
        alice = await self.connect(server, "alice")
        alice.send("not committed, so not shown")
        await eventually(lambda: log.arrived)
        closing = asyncio.create_task(server.close(0.2))
        self.assertEqual(await alice.receive(), None)
        self.assertEqual(alice.closed, GOING_AWAY)
        await self.bounded(closing)

    async def test_does_not_wait_for_a_room_that_never_opens(self) -> None:
        log = HeldLog()
        log.readable.clear()
        server = await self.start(log=log)
        alice = await self.open(server, await token(server, "alice"))
        await eventually(lambda: log.reads)
        closing = asyncio.create_task(server.close(0.2))
        self.assertEqual(await alice.until_closed(), GOING_AWAY)
        await self.bounded(closing)
        await turns()
        self.assertEqual([task for task in asyncio.all_tasks() if "gochatsecure" in repr(task)], [])

    async def test_ends_a_session_that_connects_in_the_same_turn(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        raw = await self.raw(server)
        raw.send(handshake(server, f"/ws?token={ticket}"))
        await self.bounded(server.close(1))
        await raw.rest()

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "open files are counted in /proc")
    async def test_leaves_no_task_no_file_no_thread_and_no_warning(self) -> None:
        gc.collect()  # or it would be warned here of what tests before this one have left
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            before = len(os.listdir("/proc/self/fd"))
            for store in ("memory:", "sqlite:DATA/chat.db"):
                server = await self.start(store=store)
                alice = await self.connect(server, "alice")
                alice.send("hi")
                closing = asyncio.create_task(server.close(30))
                await alice.until_closed()
                await closing
                await alice.abort()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            self.assertEqual({task for task in others if "gochatsecure" in repr(task)}, set())
            del server, alice, closing
            gc.collect()
        self.assertEqual([str(warning.message) for warning in warned], [])
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
        await eventually(lambda: not [thread for thread in threading.enumerate() if "gochatsecure" in thread.name])

    async def test_ends_the_commands_that_wait(self) -> None:
        log = HeldLog()
        server = await self.start(log=log)
        alice = await self.connect(server, "alice")
        alice.send("hi")
        alice.send("/join elsewhere")
        await eventually(lambda: log.arrived)
        closing = asyncio.create_task(server.close(30))
        self.assertEqual(await alice.receive(), "alice: hi")
        self.assertEqual(await alice.until_closed(), GOING_AWAY)
        await self.bounded(closing)

    async def test_that_is_cancelled_can_be_done_again(self) -> None:
        """As `asyncio.wait_for(server.close(), 5)` does."""
        log = StuckLog()
        server = await self.start(log=log)
        alice = await self.connect(server, "alice")
        closing = asyncio.create_task(server.close(30))
        await turns()
        closing.cancel()
        await asyncio.wait([closing])
        log.let_go.set()
        await self.bounded(server.close(1))
        self.assertEqual(await alice.until_closed(), GOING_AWAY)
        self.assertTrue(log.closed.is_set())

    async def test_twice_at_the_same_time_is_awaited_twice(self) -> None:
        """A signal's handler closes, and so does the end of `async with`: whoever comes second ends the loop."""
        log = StuckLog()
        server = await self.start(log=log)
        first = asyncio.create_task(server.close(30))
        await turns()
        second = asyncio.create_task(server.close(30))
        await turns()
        done = second.done()
        log.let_go.set()
        await asyncio.gather(first, second)
        self.assertFalse(done)


class ClosedLog(HeldLog):
    """One that cannot be read once it is closed."""

    async def close(self) -> None:
        self.broken = True
        await super().close()


class WhatComesAtTheLastMoment(LiveTestCase):
    async def test_is_not_taken_for_our_bug(self) -> None:
        """A command that waited for its commit finds the log closed."""
        log = ClosedLog()
        server = await self.start(log=log, history=1)
        alice = await self.connect(server, "alice")
        for text in ("one", "two"):
            alice.send(text)
            await eventually(lambda: log.arrived)
            log.commit()
            await alice.receive()
        alice.send("three")
        alice.send("/history 3")
        await eventually(lambda: log.arrived)
        closing = asyncio.create_task(server.close(30))
        self.assertEqual(await alice.receive(), "alice: three")
        self.assertEqual(await alice.until_closed(), GOING_AWAY)
        await closing
