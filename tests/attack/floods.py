"""Floods from outside: what a server's process takes in memory, and whether others are served: `make floods`.

Memory is the resident set of a server in a process of its own. Each flood comes three times, and what the third leaves
behind, beyond the second, is held to be a leak; the margins are wide, so that only what grows with the flood fails.
They take a minute, and so are not among those that `make test` finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import unittest
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.attack.support import AttackTestCase
from tests.live.support import eventually, frame, handshake, hear
from tests.scan import server
from tests.support import Raw, client_context, request, temporary_folder, token

KIB = 1024
MIB = 1024 * KIB
CROWD = 200  # connections of one flood
LEFT = 4 * MIB  # what a flood may leave behind: allocators keep pages, and a leak of 16 KiB a connection is more


class FloodTestCase(unittest.IsolatedAsyncioTestCase):
    """A server in another process. `port` is where it listens."""

    flags: tuple[str, ...] = ()

    def setUp(self) -> None:
        if not Path("/proc/self/statm").exists():
            self.skipTest("resident memory is read from /proc")
        self.folder = temporary_folder()
        self.address, self.process = self.enterContext(server(self.folder, *self.flags))
        self.port = int(self.address.rpartition(":")[2])
        self.listening = self.sockets()

    def tearDown(self) -> None:
        self.assertIsNone(self.process.poll(), "the server has ended")
        logged = (self.folder / "log").read_text()
        self.assertNotRegex(logged, "our bug|Traceback")

    def resident(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    async def tcp(self, said: bytes = b"") -> asyncio.StreamWriter:
        """A TCP connection that says this, which is no TLS or not all of it."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(said)
        return writer

    async def tls(self, said: bytes) -> asyncio.StreamWriter:
        raw = await Raw.open(self)
        raw.send(said)
        return raw.writer

    def sockets(self) -> int:
        """That the server has open."""
        found = 0
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found += str(descriptor.readlink()).startswith("socket:")
        return found

    async def gone(self) -> None:
        """Until the server has let go of every connection."""
        await eventually(lambda: self.sockets() <= self.listening)

    async def assertBounded(
        self, open_one: Callable[[int], Awaitable[asyncio.StreamWriter]], each: int, crowd: int = CROWD
    ) -> None:
        """A crowd of these takes at most `each` bytes apiece, is served beside, and leaves nothing behind."""
        await self.gone()
        self.assertEqual((await request(self, "/healthz")).status, 200)
        before, after = self.resident(), []
        for _ in range(3):
            writers = [await open_one(number) for number in range(crowd)]
            self.assertEqual((await request(self, "/healthz")).status, 200)
            taken = self.resident() - before
            self.assertLess(taken, crowd * each + LEFT)
            for writer in writers:
                writer.transport.abort()
            await self.gone()
            after.append(self.resident())
        self.assertLess(after[2] - after[1], LEFT, f"{before} before, {after} after each")


class Connections(FloodTestCase):
    """TLS-3, HTTP-1, HTTP-2: before anybody has signed in."""

    async def test_idle_ones(self) -> None:
        await self.assertBounded(lambda number: self.tcp(), 48 * KIB)

    async def test_half_a_hello(self) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        await self.assertBounded(lambda number: self.tcp(hello[:-1]), 64 * KIB)

    async def test_a_hello_that_is_followed_by_nothing(self) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        await self.assertBounded(lambda number: self.tcp(hello), 96 * KIB)

    async def test_heads_that_do_not_end(self) -> None:
        head = b"GET / HTTP/1.1\r\nX: " + b"x" * 15_000
        await self.assertBounded(lambda number: self.tls(head), 128 * KIB)

    async def test_bodies_that_do_not_end(self) -> None:
        head = b"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n" + b"x" * 7999
        await self.assertBounded(lambda number: self.tls(head), 128 * KIB)

    async def test_records_that_do_not_end(self) -> None:
        """A TLS record of 16 KiB of which the last byte never comes."""

        async def one(number: int) -> asyncio.StreamWriter:
            writer = await self.tls(b"")
            carrier = writer.transport._ssl_protocol._transport  # type: ignore[attr-defined]
            carrier.write(b"\x17\x03\x03\x40\x00" + bytes(16_000))
            return writer

        await self.assertBounded(one, 160 * KIB)


class Sessions(FloodTestCase):
    flags = ("-message-rate=0", "-sign-in-rate=0")

    async def test_messages_that_do_not_end(self) -> None:
        """Each is of some 60 KiB, in the smallest pieces."""
        tickets = [await token(self, f"guest{number}") for number in range(CROWD // 10)]
        part = frame("x" * 1000, 0, final=False) * 58

        async def one(number: int) -> asyncio.StreamWriter:
            asked = handshake(self, f"/ws?token={tickets[number % len(tickets)]}&room=r{number}")
            return await self.tls(asked + frame("x", final=False) + part)

        await self.assertBounded(one, 256 * KIB, 50)

    async def test_sign_ins_and_rooms_that_come_and_go(self) -> None:
        async def one(number: int) -> asyncio.StreamWriter:
            raw = await Raw.open(self)
            raw.send(f"GET /auth?username=guest{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = await raw.answer()
            if answer.status == 200:  # else its name is held a while for its token
                raw.send(handshake(self, f"/ws?token={answer.json()['token']}&room=room{number}"))
                await hear(raw, b"joined the room")
            return raw.writer

        await self.assertBounded(one, 160 * KIB, 100)

    async def test_refused_commands_without_end(self) -> None:
        """One session after another is closed for it; none leaves anything behind."""
        ticket = await token(self, "mallory")

        async def one(number: int) -> asyncio.StreamWriter:
            raw = await Raw.open(self)
            raw.send(handshake(self, f"/ws?token={ticket}&room=den") + frame("/nonsense") * 150)
            await hear(raw, b"too many refused commands")
            return raw.writer

        await self.assertBounded(one, 64 * KIB, 50)


class Readers(FloodTestCase):
    flags = ("-message-rate=0", "-sign-in-rate=0")

    async def test_who_read_nothing_take_their_share_and_no_more(self) -> None:
        """WS-9: twenty of them in a room in which 40 MiB are said, which would be 800 MiB."""
        tickets = [await token(self, name) for name in ("speaker", "sleeper", "sleeper2")]
        sleepers = []
        for number in range(20):
            raw = await Raw.open(self)
            raw.send(handshake(self, f"/ws?token={tickets[1 + number % 2]}&room=den"))
            await hear(raw, b"joined the room" if number < 2 else b" 101 ")
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            sleepers.append(raw)
        speaker = await Raw.open(self)
        speaker.send(handshake(self, f"/ws?token={tickets[0]}&room=den"))
        await hear(speaker, b"speaker joined")
        before, most = self.resident(), 0
        text = "x" * 4000
        for _ in range(200):
            speaker.send(frame(text) * 50)
            await hear(speaker, b"speaker: ", 50)
            most = max(most, self.resident())
        # One MiB each of frames that are the same bytes for all, what the sockets were given, and the history.
        self.assertLess(most - before, 150 * MIB)
        for raw in (*sleepers, speaker):
            await raw.abort()


class Addresses(AttackTestCase):
    """RATE-1: what is remembered of addresses is bounded."""

    settings = {"addr": "127.0.0.1:0", "sign_in_rate": 60.0, "message_rate": 10.0}  # noqa: RUF012

    async def test_many_are_remembered_up_to_a_number(self) -> None:
        assert self.server._routes is not None
        sign_ins = self.server._routes._sign_in._sign_ins
        most = sign_ins._most = 20
        for number in range(2, 62):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                self.server.port,
                ssl=client_context(),
                server_hostname="localhost",
                local_addr=(f"127.0.0.{number}", 0),
            )
            raw = Raw(reader, writer)
            raw.send(f"GET /auth?username=guest{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual((await raw.answer()).status, 200)
            await raw.abort()
            self.assertLessEqual(len(sign_ins), most)
        listener = self.server._listener
        assert listener is not None
        await eventually(lambda: len(listener._addresses) == 1)


class Slowhttptest(FloodTestCase):
    """A tool that others use for it, where it is installed: the service stays available."""

    async def test_stays_available(self) -> None:
        """Under slow heads, slow bodies and slow readers at once, of 200 connections each."""
        program = shutil.which("slowhttptest")
        if program is None:
            self.skipTest("slowhttptest is not installed")
        await self.gone()
        shared = ["-c", "200", "-r", "200", "-l", "6", "-u", f"https://{self.address}/healthz"]
        ways = ["-H -i 1", "-B -i 1 -s 8000", "-X -w 1 -y 2 -n 1 -z 1 -k 10"]
        quiet = asyncio.subprocess.DEVNULL
        running = [await asyncio.create_subprocess_exec(program, *shared, *way.split(), stdout=quiet) for way in ways]
        attacked = asyncio.gather(*(process.wait() for process in running))
        served = most = 0
        while not attacked.done():
            self.assertEqual((await request(self, "/healthz")).status, 200)
            served, most = served + 1, max(most, self.sockets())
            await asyncio.sleep(0.2)
        self.assertGreater(served, 3)
        self.assertGreater(most, 100, "the attack has not reached us")
        await self.gone()
