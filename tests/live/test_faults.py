"""Our own bugs, and what breaks beneath TLS: one connection ends, in good order, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, NoReturn

from gochatsecure import ChatServer
from gochatsecure.wire.tls import TLSFailure
from tests.live.support import LiveTestCase, beneath, eventually, frame, server_end
from tests.support import Raw, request, token


def bug(*_: object, **__: object) -> NoReturn:
    raise ValueError("a bug that a test has made")


class OurBug(LiveTestCase):
    """A traceback in the log, few words to the peer, and on with everybody else."""

    async def asyncSetUp(self) -> None:
        self.server = await self.start()
        self.bob = await self.connect(self.server, "bob")

    async def nobody_else_noticed(self) -> None:
        self.bob.send("/who")
        await self.bob.until("# in default: bob")
        self.assertEqual((await request(self.server, "/readyz")).status, 200)

    async def test_in_an_answer_is_a_500_without_a_word_about_it(self) -> None:
        assert self.server._routes is not None
        routes: Any = self.server._routes
        answer, routes.answer = routes.answer, bug
        raw = await self.raw(self.server)
        with self.assertLogs("gochatsecure", "ERROR") as logged:
            raw.send(b"GET /auth?username=alice HTTP/1.1\r\nHost: x\r\n\r\n")
            answered = await raw.answer()
            self.assertEqual(await raw.rest(), b"")
        self.assertEqual((answered.status, answered.json()["code"]), (500, "internal_error"))
        self.assertNotIn("ValueError", answered.body.decode())
        self.assertIn("a bug that a test has made", logged.output[0])
        routes.answer = answer
        await self.nobody_else_noticed()

    async def test_in_a_command_closes_its_session_with_1011(self) -> None:
        hub: Any = self.server._hub
        receive = hub.receive
        alice = await self.connect(self.server, "alice")
        hub.receive = bug
        with self.assertLogs("gochatsecure", "ERROR"):
            alice.send("hi")
            self.assertEqual(await alice.until_closed(), (1011, "server error"))
        hub.receive = receive
        await self.nobody_else_noticed()

    async def test_in_what_a_command_waits_for_closes_its_session_with_1011(self) -> None:
        hub: Any = self.server._hub
        alice = await self.connect(self.server, "alice")
        opening, hub._doors._open = hub._doors._open, bug
        with self.assertLogs("gochatsecure", "ERROR") as logged:
            alice.send("/join elsewhere")
            self.assertEqual(await alice.until_closed(), (1011, "server error"))
        self.assertIn("a bug that a test has made", logged.output[0])
        hub._doors._open = opening
        await self.nobody_else_noticed()

    async def test_in_writing_drops_that_connection(self) -> None:
        alice = await self.connect(self.server, "alice")
        end: Any = server_end(self.server, alice.raw)
        end._tls = Broken(end._tls, "write", ValueError("a bug that a test has made"))
        with self.assertLogs("gochatsecure", "ERROR"):
            self.bob.send("hi")
            self.assertEqual((await alice.until_closed())[0], 1006)
        await self.bob.until("alice left the room")
        await self.nobody_else_noticed()

    async def test_before_the_handshake_is_done_drops_that_connection(self) -> None:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self.addAsyncCleanup(raw.abort)
        await eventually(lambda: ends(self.server) == 2)
        assert self.server._listener is not None
        end: Any
        (end,) = (end for end in self.server._listener._connections if end._stage is None)
        end._tls = Broken(end._tls, "handshake", ValueError("a bug that a test has made"))
        with self.assertLogs("gochatsecure", "ERROR"):
            raw.send(b"\x16")
            self.assertEqual(await raw.rest(), b"")
        await raw.abort()
        await eventually(lambda: ends(self.server) == 1)
        await self.nobody_else_noticed()


class Broken:
    """TLS that fails in one of its methods."""

    def __init__(self, tls: Any, method: str, error: Exception) -> None:
        self._tls = tls
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._method else getattr(self._tls, name)

    def _fail(self, *_: object) -> NoReturn:
        raise self._error


def ends(server: ChatServer) -> int:
    assert server._listener is not None
    return len(server._listener._connections)


class BeneathTLS(LiveTestCase):
    async def asyncSetUp(self) -> None:
        self.server = await self.start()
        self.bob = await self.connect(self.server, "bob")

    async def test_a_forged_record_ends_the_connection(self) -> None:
        """Whoever is between us and the peer can do that, but no more."""
        alice = await self.connect(self.server, "alice")
        beneath(alice.raw).write(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertEqual((await alice.until_closed())[0], 1006)
        await self.bob.until("alice left the room")
        await eventually(lambda: ends(self.server) == 1)

    async def test_a_write_that_fails_ends_the_connection(self) -> None:
        alice = await self.connect(self.server, "alice")
        end: Any = server_end(self.server, alice.raw)
        end._tls = Broken(end._tls, "write", TLSFailure("gone"))
        self.bob.send("hi")
        await self.bob.until("alice left the room")
        await eventually(lambda: ends(self.server) == 1)

    async def test_a_reset_ends_the_connection(self) -> None:
        alice = await self.connect(self.server, "alice")
        linger = (1).to_bytes(4, "little") + bytes(4)
        alice.raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        beneath(alice.raw).abort()
        await self.bob.until("alice left the room")
        await eventually(lambda: ends(self.server) == 1)

    async def test_a_close_of_tls_without_a_close_frame_ends_the_session(self) -> None:
        alice = await self.connect(self.server, "alice")
        alice.raw.writer.close()
        await self.bob.until("alice left the room")
        await eventually(lambda: ends(self.server) == 1)

    async def test_an_end_of_tcp_in_mid_frame_ends_the_session(self) -> None:
        alice = await self.connect(self.server, "alice")
        alice.raw.send(frame("never whole")[:5])
        beneath(alice.raw).write_eof()
        await self.bob.until("alice left the room")
        await eventually(lambda: ends(self.server) == 1)

    async def test_one_that_goes_while_its_room_opens_is_missed_as_soon_as_that_is_done(self) -> None:
        """Nothing is read meanwhile, not even the end."""
        hub: Any = self.server._hub
        gate = asyncio.Event()
        opening = hub._doors._open

        async def slowly(name: str) -> Any:
            await gate.wait()
            return await opening(name)

        hub._doors._open = slowly
        raw = await self.upgraded(self.server, await token(self.server, "alice"))
        await eventually(lambda: len(hub.sessions) == 2)
        await raw.abort()
        gate.set()
        await eventually(lambda: len(hub.sessions) == 1)
        self.bob.send("/who")
        self.assertIn(await self.bob.until("# in default: bob"), HARDLY_THERE)


HARDLY_THERE = (["# in default: bob"], ["alice joined the room", "alice left the room", "# in default: bob"])
