"""A slow reader hurts nobody but itself, and a slow store slows those who write. Over real TLS."""

from __future__ import annotations

import asyncio

from gochatsecure import ChatServer, Limits
from gochatsecure.chat.model import Draft, Stream
from gochatsecure.live.connection import Connection
from gochatsecure.live.stage import Hold
from gochatsecure.live.websocket_stage import WebSocketStage
from tests.live.fakes import HeldLog
from tests.live.support import LiveTestCase, eventually, frame, handshake, hear, read_on, server_end, stop_reading
from tests.support import Client, Raw, token

HIGH_WATER = 64 * 1024  # bytes that a transport holds before it says so
FOREVER = 3600.0
ASKED = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


def unsent(end: Connection) -> int:
    """Bytes that the server keeps for this peer."""
    stage = end._stage
    kept = stage._session.outbox._size if isinstance(stage, WebSocketStage) else 0
    return kept + end._transport.get_write_buffer_size()


class WhoStopsReading(LiveTestCase):
    async def busy_room(self, **limits: float) -> tuple[ChatServer, Client, Client, Connection]:
        """A server, somebody who talks, somebody who has stopped reading, and the server's side of that."""
        server = await self.start(limits=Limits(**limits))  # type: ignore[arg-type]
        talker = await self.connect(server, "talker")
        sleeper = await self.connect(server, "sleeper")
        await talker.until("sleeper joined the room")
        return server, talker, sleeper, stop_reading(server, sleeper.raw)

    async def talk(self, talker: Client, end: Connection, count: int = 1000) -> int:
        """Say 1000 bytes and hear them, until the server lets that peer go. Returns the most bytes that it kept."""
        most = 0
        for number in range(count):
            text = f"{number:04}" + "x" * 996
            self.assertEqual(await talker.ask(text), f"talker: {text}")
            most = max(most, unsent(end))
            if isinstance(end._stage, WebSocketStage) and end._stage._closing:
                break
        return most

    async def test_is_let_go_and_the_others_miss_nothing(self) -> None:
        server, talker, _, end = await self.busy_room(outbox=32 * 1024, linger_s=0.2)
        listener = await self.connect(server, "listener")
        await talker.until("listener joined the room")
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await self.talk(talker, end)
            await talker.until("sleeper left the room")
            await eventually(lambda: end._lost)
        self.assertIn("session_closed username=sleeper address=127.0.0.1 code=4408", "\n".join(logged.output))
        heard = [line[8:12] for line in (await listener.until("sleeper left the room"))[:-1]]
        self.assertEqual(heard, [f"{number:04}" for number in range(len(heard))])
        self.assertGreater(len(heard), 32)

    async def test_never_takes_more_than_its_share_of_memory(self) -> None:
        _, talker, _, end = await self.busy_room(outbox=32 * 1024, linger_s=FOREVER)
        most = await self.talk(talker, end)
        self.assertTrue(getattr(end._stage, "_closing", False), "it was never let go")
        self.assertLess(most, HIGH_WATER + 32 * 1024 + 4096)

    async def test_is_told_so_if_it_wakes_up_in_time(self) -> None:
        _, talker, sleeper, end = await self.busy_room(outbox=32 * 1024, linger_s=FOREVER)
        await self.talk(talker, end)
        await talker.until("sleeper left the room")
        read_on(sleeper.raw)
        heard = []
        while (text := await sleeper.receive()) is not None:
            heard.append(text[8:12])
        self.assertEqual(heard, [f"{number:04}" for number in range(len(heard))])
        self.assertEqual(sleeper.closed, (4408, "too slow: connect again and read on"))

    async def test_and_wakes_up_before_it_is_too_much_has_missed_nothing(self) -> None:
        _, talker, sleeper, end = await self.busy_room(outbox=1024 * 1024)
        await self.talk(talker, end, 600)
        self.assertGreater(unsent(end), HIGH_WATER)
        read_on(sleeper.raw)
        heard = [await sleeper.receive() or "" for _ in range(600)]
        self.assertEqual([line[8:12] for line in heard], [f"{number:04}" for number in range(600)])
        self.assertIsNone(sleeper.closed)

    async def test_of_its_own_words_is_let_go_too(self) -> None:
        server = await self.start(limits=Limits(outbox=32 * 1024, linger_s=0.2))
        alice = await self.connect(server, "alice")
        end = stop_reading(server, alice.raw)
        for _ in range(1000):
            alice.send("x" * 1000)
        await eventually(lambda: end._lost)

    async def test_before_it_upgrades_has_no_larger_share(self) -> None:
        server = await self.start(limits=Limits(outbox=32 * 1024))
        talker = await self.connect(server, "talker")
        ticket = await token(server, "sleeper")
        raw = await self.raw(server)
        end = await self.clogged(server, raw, HIGH_WATER // 2)
        raw.send(ASKED * 120 + handshake(server, f"/ws?token={ticket}"))
        await eventually(lambda: end.held)
        self.assertLess(await self.talk(talker, end, 300), 2 * HIGH_WATER + 32 * 1024)
        read_on(raw)
        await hear(raw, b"sleeper joined the room")

    async def test_while_it_upgrades_is_heard_when_it_has_woken_up(self) -> None:
        """The 101 itself is what the socket does not take any more."""
        server = await self.start()
        ticket = await token(server, "sleeper")
        raw = await self.raw(server)
        end = await self.clogged(server, raw, 1)
        end._transport.set_write_buffer_limits(high=end._transport.get_write_buffer_size() + 10)
        raw.send(handshake(server, f"/ws?token={ticket}"))
        await eventually(lambda: isinstance(end._stage, WebSocketStage))
        read_on(raw)
        raw.send(frame("good morning"))
        await hear(raw, b"sleeper: good morning")

    async def test_while_it_upgrades_has_no_larger_share(self) -> None:
        """The transport has said `pause_writing` to the HTTP stage, and will not say it again."""
        server = await self.start(limits=Limits(outbox=32 * 1024))
        talker = await self.connect(server, "talker")
        ticket = await token(server, "sleeper")
        raw = await self.raw(server)
        end = await self.clogged(server, raw, 1)
        end._transport.set_write_buffer_limits(high=end._transport.get_write_buffer_size() + 10)
        raw.send(handshake(server, f"/ws?token={ticket}"))
        await talker.until("sleeper joined the room")
        self.assertLess(await self.talk(talker, end, 300), HIGH_WATER + 32 * 1024)

    async def clogged(self, server: ChatServer, raw: Raw, least: int) -> Connection:
        """That many bytes of answers that the peer does not read wait in the server's transport."""
        await eventually(lambda: server_end(server, raw)._stage is not None)
        end = stop_reading(server, raw)
        while end._transport.get_write_buffer_size() < least:
            heard = end.heard
            raw.send(ASKED * 50)
            await eventually(lambda heard=heard: end.heard > heard and not end.held)  # type: ignore[misc]
        return end


class WhoReadsOn(LiveTestCase):
    async def test_is_not_slow_because_much_was_committed_at_once(self) -> None:
        """After a stall of the disk one commit brings all that everybody has said meanwhile."""
        log = HeldLog()
        server = await self.start(log=log, limits=Limits(outbox=32 * 1024))
        people = [await self.connect(server, f"guest{number}") for number in range(5)]
        for person in people:
            for _ in range(10):
                person.send("x" * 1000)
        await eventually(lambda: len(log.arrived) == 50)
        log.commit()
        for person in people:
            heard = 0
            while heard < 50:
                text = await person.receive()
                self.assertIsNotNone(text, person.closed)
                heard += ": x" in (text or "")


class CountingLog(HeldLog):
    """Remembers how many drafts ever waited at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def append(self, draft: Draft) -> None:
        super().append(draft)
        self.most = max(self.most, len(self.arrived))


class ASlowStore(LiveTestCase):
    async def test_makes_the_flooding_session_wait_and_nobody_else(self) -> None:
        log = CountingLog()
        server = await self.start(log=log, limits=Limits(pending=8))
        alice, bob = await self.connect(server, "alice"), await self.connect(server, "bob")
        await alice.until("bob joined the room")
        said = [f"{number}" for number in range(500)]
        for text in said:
            alice.send(text)
        end = server_end(server, alice.raw)
        await eventually(lambda: len(log.arrived) == 8)
        self.assertTrue(end.held)
        self.assertFalse(end._transport.is_reading())
        bob.send("I may")
        await eventually(lambda: len(log.arrived) == 9)
        self.assertEqual(log.most, 9)

        async def commit() -> None:
            while True:
                log.commit()
                await asyncio.sleep(0)

        committing = asyncio.create_task(commit())
        heard = await bob.until(f"alice: {said[-1]}")
        committing.cancel()
        self.assertEqual([line for line in heard if "alice" in line], [f"alice: {text}" for text in said])
        self.assertLessEqual(log.most, 9)

    async def test_makes_those_wait_too_whose_commands_have_to_be_looked_up_first(self) -> None:
        log = CountingLog()
        log.marked["carol"] = {"here": 0}  # she owns her name, and is away
        server = await self.start(log=log, limits=Limits(pending=4))
        alice = await self.connect(server, "alice")
        for number in range(50):
            alice.send(f"@carol {number}")
        end = server_end(server, alice.raw)
        await eventually(lambda: end.held == Hold.FULL)
        self.assertEqual(log.most, 4)
        while len(log.kept.get(Stream("inbox/carol"), ())) < 50:
            log.commit(2)
            await asyncio.sleep(0)
        self.assertEqual(log.most, 4)

    async def test_does_not_keep_the_session_from_ending(self) -> None:
        log = HeldLog()
        server = await self.start(log=log, limits=Limits(pending=4))
        alice, bob = await self.connect(server, "alice"), await self.connect(server, "bob")
        for number in range(20):
            alice.send(f"{number}")
        await eventually(lambda: len(log.arrived) == 4)
        await alice.abort()
        log.commit()
        heard = await bob.until("alice: 3")
        self.assertEqual([line for line in heard if ": " in line], [f"alice: {number}" for number in range(4)])

    async def test_that_answers_no_read_keeps_only_those_waiting_who_enter(self) -> None:
        log = HeldLog()
        server = await self.start(log=log)
        alice = await self.connect(server, "alice")
        log.readable.clear()
        bob = await self.open(server, await token(server, "bob"), "another")
        bob.send("/who")
        self.assertEqual(await alice.ask("/who"), "# in default: alice")
        log.readable.set()
        self.assertEqual(await bob.until("# in another: bob"), ["bob joined the room", "# in another: bob"])
