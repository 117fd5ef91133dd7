"""Every wait has an end: for a handshake, a request, a message, a word, a Close. Over real TLS."""

from __future__ import annotations

import asyncio
import time

from gochatsecure import ChatServer, Limits
from gochatsecure.live.stage import Hold
from tests.live.fakes import Clock, HeldLog
from tests.live.support import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    LiveTestCase,
    eventually,
    frame,
    frames,
    handshake,
    hear,
    heard,
    server_end,
    skip,
    stop_reading,
)
from tests.support import PATIENCE, Raw, request, token

FOREVER = 3600.0


def connections(server: ChatServer) -> int:
    assert server._listener is not None
    return len(server._listener._connections)


class BeforeARequest(LiveTestCase):
    async def plain(self, server: ChatServer, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection without TLS."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        self.addAsyncCleanup(Raw(reader, writer).abort)
        writer.write(said)
        return reader, writer

    async def rest(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await asyncio.wait_for(reader.read(), PATIENCE)
        except ConnectionError:
            return b""

    async def test_who_only_connects_is_dropped(self) -> None:
        server = await self.start(limits=Limits(handshake_s=0.1))
        reader, _ = await self.plain(server, b"")
        self.assertEqual(await self.rest(reader), b"")
        await eventually(lambda: not connections(server))

    async def test_who_begins_a_handshake_and_no_more_is_dropped(self) -> None:
        """Each byte does not start the time anew."""
        server = await self.start(limits=Limits(handshake_s=50))
        raw = Raw(*await self.plain(server, bytes.fromhex("160301020001")))
        await eventually(lambda: connections(server))
        end = server_end(server, raw)
        for _ in range(10):
            await heard(end, raw, b"\0")
            await skip(10)
        self.assertTrue(end._ended, "100 seconds for a handshake, where the limit is 50")
        await eventually(lambda: not connections(server))

    async def test_who_speaks_plain_http_is_closed_and_forgotten(self) -> None:
        """Even if it never closes its side."""
        server = await self.start(limits=Limits(handshake_s=FOREVER, linger_s=0.1))
        with self.assertNoLogs("gochatsecure", "WARNING"):
            reader, _ = await self.plain(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertNotIn(b"HTTP/", await self.rest(reader))
            await eventually(lambda: not connections(server))

    async def test_who_asks_nothing_is_closed_without_a_word(self) -> None:
        server = await self.start(limits=Limits(handshake_s=FOREVER, head_s=0.1, idle_s=FOREVER))
        self.assertEqual(await (await self.raw(server)).rest(), b"")


class ARequest(LiveTestCase):
    async def late(self, raw: Raw, server: ChatServer) -> None:
        answer = await raw.answer("POST")
        self.assertEqual((answer.status, answer.json()["code"]), (408, "request_timeout"))
        self.assertEqual(await raw.rest(), b"")
        await eventually(lambda: not connections(server))

    async def test_whose_head_does_not_end_is_answered_408(self) -> None:
        server = await self.start(limits=Limits(head_s=100, idle_s=FOREVER))
        raw, end = await self.spoken(server)
        await heard(end, raw, b"GET / HTTP/1.1\r\nHost:")
        await skip(101)
        await self.late(raw, server)

    async def test_whose_head_comes_byte_by_byte_gets_no_more_time(self) -> None:
        server = await self.start(limits=Limits(head_s=100, idle_s=FOREVER))
        raw, end = await self.spoken(server)
        for _ in range(10):
            await heard(end, raw, b"G")
            await skip(20)
        self.assertTrue(end._ended, "200 seconds for one head, where the limit is 100")
        await self.late(raw, server)

    async def test_whose_head_is_in_time_has_as_long_as_the_limit_says(self) -> None:
        server = await self.start(limits=Limits(head_s=1000, idle_s=FOREVER))
        raw, end = await self.spoken(server)
        await heard(end, raw, b"GET /healthz HTTP/1.1\r\n")
        await skip(500)
        raw.send(b"Host: localhost\r\n\r\n")
        self.assertEqual((await raw.answer()).status, 200)

    async def test_whose_body_does_not_come_is_answered_408(self) -> None:
        server = await self.start(limits=Limits(head_s=100, request_s=300, idle_s=FOREVER))
        raw, end = await self.spoken(server)
        await heard(end, raw, b"POST /auth/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
        await skip(101)
        self.assertFalse(end._ended, "a body has more time than a head")
        await skip(200)
        await self.late(raw, server)

    async def test_whose_body_comes_byte_by_byte_gets_no_more_time(self) -> None:
        server = await self.start(limits=Limits(idle_s=FOREVER))
        raw, end = await self.spoken(server)
        await heard(end, raw, b"POST /auth/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000\r\n\r\n")
        for _ in range(10):
            await heard(end, raw, b"x")
            await skip(5)
        self.assertTrue(end._ended, "50 seconds for one request, where the limit is 20")

    async def test_after_an_answer_may_be_waited_for_but_not_for_ever(self) -> None:
        server = await self.start(limits=Limits(head_s=FOREVER, idle_s=0.1))
        raw = await self.raw(server)
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual((await raw.answer()).status, 200)
        self.assertEqual(await raw.rest(), b"")
        await eventually(lambda: not connections(server))

    async def test_that_begins_behind_another_has_its_own_time(self) -> None:
        server = await self.start(limits=Limits(head_s=1000, idle_s=FOREVER))
        raw = await self.raw(server)
        raw.send(b"GET /healthz HTT")
        for _ in range(4):
            raw.send(b"P/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTT")
            self.assertEqual((await raw.answer()).status, 200)
            await skip(400)

    async def test_whose_answer_is_not_read_ends_with_its_connection(self) -> None:
        server = await self.start(limits=Limits(head_s=FOREVER, request_s=100, idle_s=FOREVER))
        raw, end = await self.spoken(server)
        stop_reading(server, raw)
        raw.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        await eventually(lambda: end.held & Hold.WRITING)
        await skip(101)
        await eventually(lambda: not connections(server))


class AWebSocket(LiveTestCase):
    async def test_that_is_silent_is_asked_and_then_dropped(self) -> None:
        server = await self.start(limits=Limits(ping_s=100, silence_s=300))
        raw = await self.upgraded(server, await token(server, "alice"))
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await skip(101)
            received = frames(await hear(raw, b"\x89\x00"))
            self.assertEqual(connections(server), 1)
            await skip(200)
            received += frames(await raw.rest())
            await eventually(lambda: not connections(server))
        self.assertIn((PING, b""), received)
        self.assertNotIn(CLOSE, [opcode for opcode, _ in received])
        self.assertIn("reason=silent", "\n".join(logged.output))

    async def test_that_answers_pings_stays(self) -> None:
        server = await self.start(limits=Limits(ping_s=100, silence_s=300))
        raw = await self.upgraded(server, await token(server, "alice"))
        end = server_end(server, raw)
        for _ in range(5):
            await skip(150)
            await hear(raw, b"\x89\x00")
            await heard(end, raw, frame(b"", PONG))
        self.assertFalse(end._ended)

    async def test_that_speaks_is_not_asked(self) -> None:
        server = await self.start(limits=Limits(ping_s=300, silence_s=600))
        raw = await self.upgraded(server, await token(server, "alice"))
        end = server_end(server, raw)
        for _ in range(5):
            await skip(200)
            await heard(end, raw, frame("hi"))
        received = await hear(raw, b"alice: hi", 5)
        self.assertEqual({opcode for opcode, _ in frames(received)}, {TEXT})

    async def test_that_we_keep_waiting_is_not_silent(self) -> None:
        """A slow store slows those who write; it is not theirs to answer for."""
        log = HeldLog()
        server = await self.start(log=log)
        alice = await self.open(server, await token(server, "alice"))
        await alice.until("alice joined the room")
        alice.send("hi")
        alice.send("/who")
        await eventually(lambda: log.arrived)
        for _ in range(3):
            await skip(15)
            alice.raw.send(frame(b"", PONG))
        log.commit()
        self.assertEqual(await alice.until("# in default: alice"), ["alice: hi", "# in default: alice"])

    async def test_whose_message_does_not_end_is_closed(self) -> None:
        server = await self.start(limits=Limits(message_s=0.2))
        alice = await self.connect(server, "alice")
        alice.raw.send(frame("never", final=False))
        self.assertEqual(await alice.until_closed(), (1008, "the message took too long"))

    async def test_whose_message_comes_in_many_pieces_gets_no_more_time(self) -> None:
        server = await self.start(limits=Limits(message_s=10, ping_s=FOREVER, silence_s=FOREVER))
        alice = await self.connect(server, "alice")
        end = server_end(server, alice.raw)
        alice.raw.send(frame("never", final=False))
        for _ in range(4):
            await heard(end, alice.raw, frame("ending", opcode=0, final=False))
            await skip(3)
        code, reason = await alice.until_closed()
        self.assertEqual(code, 1008)
        self.assertRegex(reason, "took too long|takes at most")

    async def test_that_never_answers_our_close_is_aborted(self) -> None:
        server = await self.start(limits=Limits(linger_s=0.2))
        raw = await self.upgraded(server, await token(server, "alice"))
        with self.assertLogs("gochatsecure", "INFO") as logged:
            raw.send(frame("/quit"))
            self.assertEqual(frames(await raw.rest())[-1], (CLOSE, b"\x03\xe8bye"))
            await eventually(lambda: not connections(server))
        self.assertIn('reason="no close frame"', "\n".join(logged.output))

    async def test_that_talks_on_behind_our_close_is_not_heard_and_aborted_all_the_same(self) -> None:
        server = await self.start(limits=Limits(linger_s=0.3))
        bob = await self.connect(server, "bob")
        raw = await self.upgraded(server, await token(server, "alice"))
        raw.send(frame("/quit"))
        for _ in range(200):
            raw.send(frame("@bob still here"))
            await asyncio.sleep(0.02)
            if connections(server) == 1:
                break
        bob.send("end")
        self.assertEqual([line for line in await bob.until("bob: end") if "still" in line], [])
        self.assertEqual(connections(server), 1)

    async def test_that_answers_our_close_is_ended_at_once(self) -> None:
        server = await self.start(limits=Limits(linger_s=FOREVER))
        alice = await self.connect(server, "alice")
        alice.send("/quit")
        self.assertEqual(await alice.until_closed(), (1000, "bye"))
        await eventually(lambda: not connections(server))

    async def test_that_closes_is_answered_with_its_code(self) -> None:
        server = await self.start(limits=Limits(linger_s=FOREVER))
        for code in (1000, 1001, 3000, 4999):
            with self.subTest(code):
                alice = await self.connect(server, f"alice{code}")
                alice.close(code)
                self.assertEqual((await alice.until_closed())[0], code)
        await eventually(lambda: not connections(server))


class ATokensEnd(LiveTestCase):
    async def test_ends_its_session_and_no_other(self) -> None:
        clock = Clock(time.time())
        server = await self.start(wall=clock)
        alice = await self.connect(server, "alice")
        clock.now += 43200
        bob = await self.connect(server, "bob")
        clock.now += 43200 + 60
        await skip(25)
        self.assertEqual(await alice.until_closed(), (4401, "the token has expired; sign in again"))
        self.assertEqual(await bob.until("alice left the room"), ["alice left the room"])
        self.assertEqual(await bob.ask("/who"), "# in default: bob")

    async def test_comes_at_its_second_without_any_word_of_the_peer(self) -> None:
        server = await self.start(limits=Limits(token_s=1, ping_s=FOREVER, silence_s=FOREVER))
        alice = await self.connect(server, "alice")
        end = server_end(server, alice.raw)
        assert end._timer is not None
        left = end._timer.when() - asyncio.get_running_loop().time()
        self.assertLess(left, 10)

    async def test_is_checked_at_the_handshake(self) -> None:
        clock = Clock(time.time())
        server = await self.start(wall=clock)
        ticket = await token(server, "alice")
        clock.now += 86400 + 60
        raw = await self.raw(server)
        raw.send(handshake(server, f"/ws?token={ticket}"))
        answer = await raw.answer()
        self.assertEqual((answer.status, answer.json()["code"]), (401, "token_expired"))

    async def test_ends_a_session_that_has_not_entered_yet(self) -> None:
        clock = Clock(time.time())
        log = HeldLog()
        log.readable.clear()
        server = await self.start(wall=clock, log=log)
        alice = await self.open(server, await token(server, "alice"))
        clock.now += 86400 + 60
        await skip(25)
        self.assertEqual(await alice.until_closed(), (4401, "the token has expired; sign in again"))
        log.readable.set()
        self.assertEqual((await request(server, "/readyz")).status, 200)
