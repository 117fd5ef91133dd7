"""What one peer may take: connections, sign-ins, sessions, messages, frames. Over real TLS."""

from __future__ import annotations

import asyncio
import ssl

from gochatsecure import ChatServer, Limits
from gochatsecure.log.port import busy, unavailable
from tests.live.fakes import HeldLog
from tests.live.support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    LiveTestCase,
    eventually,
    frame,
    frames,
    handshake,
    hear,
    skip,
    texts,
)
from tests.support import Raw, request, token


class Connections(LiveTestCase):
    async def tcp(self, server: ChatServer) -> Raw:
        """Connected, but without a byte of TLS."""
        raw = Raw(*await asyncio.open_connection("127.0.0.1", server.port))
        self.addAsyncCleanup(raw.abort)
        return raw

    async def refused(self, server: ChatServer) -> bool:
        """Whether the server drops another connection before its TLS handshake."""
        try:
            async with await Raw.open(server) as raw:
                raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                await raw.answer()
            return False
        except (ConnectionError, ssl.SSLError):
            return True

    def counted(self, server: ChatServer) -> tuple[int, int]:
        assert server._listener is not None
        return len(server._listener._connections), sum(server._listener._addresses.values())

    async def test_are_limited_in_total_before_any_tls(self) -> None:
        server = await self.start(max_connections=3)
        held = [await self.tcp(server) for _ in range(3)]
        await eventually(lambda: self.counted(server)[0] == 3)
        self.assertTrue(await self.refused(server))
        await held[0].abort()
        await eventually(lambda: self.counted(server)[0] == 2)
        self.assertFalse(await self.refused(server))

    async def test_are_limited_for_each_address_before_any_tls(self) -> None:
        server = await self.start(max_connections_per_address=2)
        held = [await self.tcp(server) for _ in range(2)]
        await eventually(lambda: self.counted(server)[0] == 2)
        self.assertTrue(await self.refused(server))
        await held[0].abort()
        await eventually(lambda: self.counted(server)[0] == 1)
        self.assertFalse(await self.refused(server))

    async def test_of_one_address_do_not_count_for_another(self) -> None:
        server = await self.start(addr="0.0.0.0:0", max_connections_per_address=1)
        await self.tcp(server)
        await eventually(lambda: self.counted(server)[0] == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        other = Raw(reader, writer)
        self.addAsyncCleanup(other.abort)
        await eventually(lambda: self.counted(server)[0] == 2)

    async def test_of_one_address_come_only_so_fast(self) -> None:
        """Whether they stay or not; before any TLS."""
        limits = Limits(connections_per_minute=1, connections_at_once=3)
        server = await self.start(max_connections_per_address=100, limits=limits)
        for _ in range(3):
            self.assertFalse(await self.refused(server))
        self.assertTrue(await self.refused(server))
        await skip(60)
        self.assertFalse(await self.refused(server))
        self.assertTrue(await self.refused(server))

    async def test_come_as_fast_as_they_like_where_their_number_is_not_limited(self) -> None:
        limits = Limits(connections_per_minute=1, connections_at_once=1)
        server = await self.start(max_connections_per_address=0, limits=limits)
        for _ in range(3):
            self.assertFalse(await self.refused(server))

    async def test_that_come_too_fast_are_told_of_and_leave_other_addresses_alone(self) -> None:
        limits = Limits(connections_per_minute=1, connections_at_once=1)
        server = await self.start(addr="0.0.0.0:0", max_connections_per_address=100, limits=limits)
        self.assertFalse(await self.refused(server))
        with self.assertLogs("gochatsecure", "WARNING") as logged:
            for _ in range(3):
                self.assertTrue(await self.refused(server))
        self.assertEqual(len(logged.output), 1)
        self.assertIn('connection_refused address=127.0.0.1 reason="address too fast"', logged.output[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        other = Raw(reader, writer)
        self.addAsyncCleanup(other.abort)
        await eventually(lambda: self.counted(server)[0] == 1)

    async def test_are_counted_down_however_they_end(self) -> None:
        server = await self.start(limits=Limits(linger_s=0.1))
        ticket = await token(server, "alice")
        plain = await self.tcp(server)
        plain.send(b"GET / HTTP/1.1\r\n\r\n")
        broken = await self.upgraded(server, ticket)
        broken.send(frame("", BINARY))
        aborted = await self.upgraded(server, ticket)
        await aborted.abort()
        quitting = await self.open(server, ticket)
        quitting.send("/quit")
        await quitting.until_closed()
        (await self.tcp(server)).writer.close()
        await eventually(lambda: self.counted(server) == (0, 0))
        assert server._listener is not None
        self.assertEqual(server._listener._addresses, {})

    async def test_that_are_refused_leave_the_others_alone(self) -> None:
        server = await self.start(max_connections=2)
        alice = await self.connect(server, "alice")
        await self.tcp(server)
        await eventually(lambda: self.counted(server)[0] == 2)
        with self.assertLogs("gochatsecure", "WARNING") as logged:
            for _ in range(3):
                self.assertTrue(await self.refused(server))
        self.assertIn('connection_refused address=127.0.0.1 reason="server full"', logged.output[0])
        self.assertEqual(await alice.ask("/who"), "# in default: alice")


class Frames(LiveTestCase):
    async def closed(self, sent: bytes, **limits: int | float) -> tuple[int, str]:
        """The code and reason with which the server answers that, after which it reads no more."""
        server = await self.start(limits=Limits(**limits))  # type: ignore[arg-type]
        bob = await self.connect(server, "bob")
        alice = await self.connect(server, "alice")
        alice.raw.send(sent)
        alice.raw.send(frame("not heard any more"))
        closed = await alice.until_closed()
        self.assertEqual(await bob.until("alice left the room"), ["alice joined the room", "alice left the room"])
        return closed

    async def test_a_message_is_limited(self) -> None:
        self.assertEqual(await self.closed(frame("x" * 101), message=100), (1009, "a message has at most 100 bytes"))

    async def test_it_is_limited_before_it_is_whole(self) -> None:
        """Its frame says 8 exabytes; nobody waits for them."""
        endless = bytes([0x81, 0xFF]) + (2**62).to_bytes(8, "big") + bytes(4) + b"x" * 200
        self.assertEqual((await self.closed(endless, message=100))[0], 1009)

    async def test_it_is_limited_in_fragments_together(self) -> None:
        parts = frame("x" * 60, final=False) + frame("x" * 60, CONTINUATION)
        self.assertEqual((await self.closed(parts, message=100))[0], 1009)

    async def test_it_is_measured_in_bytes_not_characters(self) -> None:
        self.assertEqual((await self.closed(frame("\u20ac" * 34), message=100))[0], 1009)

    async def test_one_of_the_largest_size_is_heard(self) -> None:
        server = await self.start(limits=Limits(message=100, text=100))
        alice = await self.connect(server, "alice")
        self.assertEqual(await alice.ask("x" * 100), "alice: " + "x" * 100)

    async def test_its_fragments_are_counted_even_if_empty(self) -> None:
        parts = frame("", final=False) + frame("", CONTINUATION, final=False) * 9
        self.assertEqual(await self.closed(parts, fragments=10), (1008, "a message has at most 10 frames"))

    async def test_a_message_in_fragments_is_one_message(self) -> None:
        server = await self.start()
        alice = await self.connect(server, "alice")
        euro = "\u20ac".encode()
        parts = frame(b"1 " + euro[:1], final=False) + frame(euro[1:2], CONTINUATION, final=False)
        alice.raw.send(parts + frame(b"", PING) + frame(euro[2:], CONTINUATION))
        self.assertEqual(await alice.receive(), "alice: 1 \u20ac")

    async def test_pings_are_answered_but_not_too_many(self) -> None:
        server = await self.start(limits=Limits(control_frames_per_s=5))
        raw = await self.upgraded(server, await token(server, "alice"))
        raw.send(b"".join(frame(f"{number}", PING) for number in range(6)))
        received = frames(await raw.rest())
        answers = [payload for opcode, payload in received if opcode == PONG]
        self.assertEqual(answers, [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(received[-1], (CLOSE, (1008).to_bytes(2, "big") + b"too many pings"))

    async def test_pongs_count_as_pings(self) -> None:
        self.assertEqual((await self.closed(frame("", PONG) * 11))[0], 1008)

    async def test_binary_is_refused(self) -> None:
        self.assertEqual(await self.closed(frame(b"\x00", BINARY)), (1003, "text messages only"))

    async def test_what_is_against_the_protocol_is_refused(self) -> None:
        for name, sent, code in (
            ("unmasked", b"\x81\x02hi", 1002),
            ("reserved bit, which a compressed message would have", frame("hi", reserved=4), 1002),
            ("unknown opcode", frame("hi", 0x3), 1002),
            ("continuation of nothing", frame("hi", CONTINUATION), 1002),
            ("text within a message", frame("a", final=False) + frame("b"), 1002),
            ("fragmented ping", frame("a", PING, final=False), 1002),
            ("long ping", frame("a" * 126, PING), 1002),
            ("close with half a code", frame(b"\x03", CLOSE), 1002),
            ("close with a code that is never sent", frame((1006).to_bytes(2, "big"), CLOSE), 1002),
            ("not UTF-8", frame(b"\xff"), 1007),
            ("close with a reason that is not UTF-8", frame(b"\x03\xe8\xff", CLOSE), 1007),
        ):
            with self.subTest(name):
                self.assertEqual((await self.closed(sent))[0], code)

    async def test_those_in_the_same_record_as_the_handshake_are_handled_after_joining(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        raw = await self.raw(server)
        raw.send(handshake(server, f"/ws?token={ticket}") + frame("/who") + frame("hi"))
        received = await hear(raw, b"alice: hi")
        head, _, rest = received.partition(b"\r\n\r\n")
        self.assertIn(b" 101 ", head)
        self.assertEqual(texts(rest), ["alice joined the room", "# in default: alice", "alice: hi"])

    async def test_half_a_frame_behind_the_handshake_is_kept_for_its_other_half(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        raw = await self.raw(server)
        sent = frame("hello")
        raw.send(handshake(server, f"/ws?token={ticket}") + sent[:5])
        await hear(raw, b"joined")
        raw.send(sent[5:])
        await hear(raw, b"alice: hello")

    async def test_that_ask_are_answered_before_a_close(self) -> None:
        """Ours as well as the peer's: whatever is still queued goes out first."""
        server = await self.start()
        quitting, leaving = frame("/quit"), frame(b"\x0f\xa0", CLOSE)
        for name, closing, answer in (("alice", quitting, b"\x03\xe8bye"), ("bob", leaving, b"\x0f\xa0")):
            raw = await self.upgraded(server, await token(server, name), f"{name}s-room")
            await hear(raw, b"joined the room")
            raw.send(frame("/who") + closing + frame("", PING))
            who = f"# in {name}s-room: {name}".encode()
            self.assertEqual(frames(await raw.rest()), [(TEXT, who), (CLOSE, answer)])

    async def test_that_come_byte_by_byte_are_handled(self) -> None:
        server = await self.start()
        alice = await self.connect(server, "alice")
        for byte in frame("hi") + frame("there"):
            alice.raw.send(bytes([byte]))
        self.assertEqual(await alice.until("alice: there"), ["alice: hi", "alice: there"])


class Commands(LiveTestCase):
    async def test_too_fast_is_refused_and_goes_on(self) -> None:
        server = await self.start(message_rate=0.001, limits=Limits(message_burst_s=3000))
        alice = await self.connect(server, "alice")
        for number in range(4):
            alice.send(f"{number}")
        seen = [await alice.receive() or "" for _ in range(4)]
        self.assertEqual(sorted(seen)[1:], ["alice: 0", "alice: 1", "alice: 2"])
        self.assertRegex(min(seen), r"^! that was too fast; nothing was sent; try again in [0-9]+\.[0-9] s$")

    async def test_far_too_fast_ends_the_session(self) -> None:
        server = await self.start(message_rate=0.001, limits=Limits(refusals=20))
        alice = await self.connect(server, "alice")
        for _ in range(40):
            alice.send("hi")
        self.assertEqual(await alice.until_closed(), (4429, "too many refused commands"))

    async def test_too_long_a_text_is_refused_and_the_session_stays(self) -> None:
        server = await self.start()
        alice = await self.connect(server, "alice")
        for text in ("x" * 4097, "\u20ac" * 1366, "@alice " + "x" * 4097, "/me " + "x" * 4097):
            self.assertEqual(await alice.ask(text), "! the text is too long; 4096 bytes are the most")
        self.assertEqual(await alice.ask("x" * 4096), "alice: " + "x" * 4096)

    async def test_a_full_queue_refuses_and_the_session_stays(self) -> None:
        log = HeldLog(queue=2)
        server = await self.start(log=log)
        alice, bob = await self.connect(server, "alice"), await self.connect(server, "bob")
        await alice.until("bob joined the room")
        for text in ("one", "two"):
            bob.send(text)
        await eventually(lambda: len(log.arrived) == 2)
        alice.send("three")
        self.assertEqual(await alice.receive(), f"! {busy().message}; try again in 1.0 s")
        log.commit()
        self.assertEqual(await alice.until("bob: two"), ["bob: one", "bob: two"])
        alice.send("four")
        await eventually(lambda: log.arrived)
        log.commit()
        self.assertEqual(await alice.receive(), "alice: four")

    async def test_a_failed_store_is_told_and_the_session_stays(self) -> None:
        log = HeldLog()
        server = await self.start(log=log)
        alice, bob = await self.connect(server, "alice"), await self.connect(server, "bob")
        await alice.until("bob joined the room")
        alice.send("lost")
        await eventually(lambda: log.arrived)
        log.fail()
        self.assertEqual(await alice.receive(), f"! {unavailable().message}; try again in 2.0 s")
        alice.send("kept")
        await eventually(lambda: log.arrived)
        log.commit()
        self.assertEqual((await alice.receive(), await bob.receive()), ("alice: kept", "alice: kept"))


class Identities(LiveTestCase):
    async def test_have_so_many_sessions_and_no_more(self) -> None:
        server = await self.start(limits=Limits(sessions_per_identity=2))
        ticket = await token(server, "alice")
        first, second = await self.open(server, ticket), await self.open(server, ticket)
        third = await self.open(server, ticket)
        self.assertEqual(await third.until_closed(), (4409, "too many sessions of one identity"))
        second.send("/quit")
        await second.until_closed()
        fourth = await self.open(server, ticket)
        await fourth.until("alice joined the room")
        self.assertIsNone(first.closed)

    async def test_that_are_closed_at_once_are_not_heard(self) -> None:
        """Not even what came with the handshake."""
        server = await self.start(limits=Limits(sessions_per_identity=1, linger_s=0.2))
        ticket = await token(server, "alice")
        alice = await self.open(server, ticket)
        raw = await self.raw(server)
        raw.send(handshake(server, f"/ws?token={ticket}") + frame("hi") + frame(b"\x03\xe8", CLOSE))
        rest = (await raw.rest()).partition(b"\r\n\r\n")[2]
        self.assertEqual(frames(rest), [(CLOSE, (4409).to_bytes(2, "big") + b"too many sessions of one identity")])
        alice.send("end")
        self.assertEqual(await alice.until("alice: end"), ["alice joined the room", "alice: end"])

    async def test_may_sign_in_so_often_from_one_address(self) -> None:
        server = await self.start(sign_in_rate=2)
        answers = [(await request(server, f"/auth?username=guest{number}")).status for number in range(4)]
        self.assertEqual(answers, [200, 200, 429, 429])


class OneBadPeer(LiveTestCase):
    async def test_disturbs_nobody_else(self) -> None:
        server = await self.start()
        bob = await self.connect(server, "bob")
        for number, sent in enumerate((frame("x" * 70_000), frame("", BINARY), b"\xff" * 100, frame("@@@"), b"\x00")):
            raw = await self.upgraded(server, await token(server, f"guest{number}"))
            raw.send(sent)
            await raw.abort()
        await eventually(lambda: server._hub and len(server._hub.sessions) == 1)
        bob.send("/who")
        await bob.until("# in default: bob")
