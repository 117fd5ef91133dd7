"""An embedder's own way of telling who connects."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from gochatsecure import ChatServer, Handshake, Identity, Limits, Role
from gochatsecure.log.accounts import Revocation
from tests.live.fakes import Clock
from tests.live.support import LiveTestCase, eventually, frame, handshake, hear
from tests.support import Client, Rejected, certificate, temporary_folder, token


class Cookies:
    """Whoever has a cookie is who it says; `before` is awaited first."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.asked: list[Handshake] = []
        self.before: Callable[[], Any] | None = None

    async def authenticate(self, handshake: Handshake) -> Identity | None:
        self.asked.append(handshake)
        if self.before is not None:
            await self.before()
        name = handshake.header("Cookie")
        return Identity(name, sid="s", **self.fields) if name else None


class WhoConnects(LiveTestCase):
    async def begin(self, request_s: float = 20, **fields: Any) -> ChatServer:
        self.cookies = Cookies(**fields)
        self.clock = Clock(time.time())
        pair = certificate()
        server = ChatServer(
            addr="localhost:0",
            cert=pair.cert,
            key=pair.key,
            data=temporary_folder() / "data",
            store="memory:",
            limits=Limits(request_s=request_s, look_s=3600),
            authenticator=self.cookies,
            wall=self.clock,
        )
        await server.start()
        self.addAsyncCleanup(server.close, 1)
        return server

    async def come(self, server: ChatServer, cookie: str, **options: Any) -> Client:
        return await self.open(server, "", target="/ws?room=den", headers=[("Cookie", cookie)], **options)

    async def assertKeptOut(self, server: ChatServer, cookie: str, status: int, code: str) -> None:
        with self.assertRaises(Rejected) as caught:
            await self.come(server, cookie)
        self.assertEqual((caught.exception.status, caught.exception.code), (status, code))

    async def test_is_who_the_authenticator_says(self) -> None:
        server = await self.begin()
        alice = await self.come(server, "alice")
        await alice.until("alice joined the room")
        (asked,) = self.cookies.asked
        self.assertEqual((asked.address, dict(asked.query)), ("127.0.0.1", {"room": "den"}))
        self.assertIsNone(asked.header("authorization"))

    async def test_or_else_who_the_token_says(self) -> None:
        server = await self.begin()
        guest = await self.open(server, await token(server, "bob"), "den")
        await guest.until("bob joined the room")
        await self.assertKeptOut(server, "", 401, "token_missing")

    async def test_what_is_sent_behind_the_handshake_is_not_lost(self) -> None:
        server = await self.begin()
        raw = await self.raw(server)
        raw.send(handshake(server, "/ws?room=den", ["Cookie: alice"]) + frame("early") + frame("/who"))
        await hear(raw, b"alice: early")

    async def test_its_expiry_is_kept(self) -> None:
        server = await self.begin()
        self.cookies.fields["expires"] = self.clock.now + 0.05
        alice = await self.come(server, "alice", subprotocols=["gochatsecure.v1.json"])
        self.assertEqual(json.loads(await alice.receive() or "")["expires_in"], 0)
        self.clock.now += 1
        self.assertEqual(await alice.until_closed(), (4401, "the token has expired; sign in again"))

    async def test_a_guest_by_that_way_has_no_name_that_is_held(self) -> None:
        server = await self.begin(role=Role.GUEST)
        holder = await self.open(server, await token(server, "bob"), "den")
        await holder.until("bob joined the room")
        await self.assertKeptOut(server, "bob", 409, "name_in_use")

    async def test_of_two_guests_who_come_at_once_one_has_the_name(self) -> None:
        """While the one is asked about the other may have come."""
        server = await self.begin(role=Role.GUEST)
        ticket = await token(server, "bob")
        go_on = asyncio.Event()
        self.cookies.before = go_on.wait
        late = asyncio.create_task(self.come(server, "bob"))
        await eventually(lambda: self.cookies.asked)
        self.cookies.before = None
        first = await self.open(server, ticket, "den")
        await first.until("bob joined the room")
        go_on.set()
        with self.assertRaises(Rejected) as caught:
            await late
        self.assertEqual(caught.exception.code, "name_in_use")

    async def test_what_fails_lets_nobody_in(self) -> None:
        server = await self.begin()

        async def fail() -> None:
            raise LookupError("the embedder's own bug")

        self.cookies.before = fail
        with self.assertLogs("gochatsecure", "ERROR") as logged:
            await self.assertKeptOut(server, "alice", 500, "internal_error")
        self.assertIn("authenticator failed", logged.output[0])
        self.cookies.before = None
        for name in ("Alice", "a b", "admin"):
            with self.assertLogs("gochatsecure", "ERROR"):
                await self.assertKeptOut(server, name, 500, "internal_error")

    def setUp(self) -> None:
        """Errors are what some of these tests want, and they look at them."""

    async def test_one_that_does_not_answer_is_given_up(self) -> None:
        server = await self.begin(request_s=0.1)
        self.cookies.before = asyncio.Event().wait
        given_up = self.assertRaises((ConnectionError, asyncio.IncompleteReadError))
        with self.assertLogs("gochatsecure", "INFO") as logged, given_up:
            await self.come(server, "alice")
        self.assertIn("no answer in time", "\n".join(logged.output))

    async def test_revocation_ends_it_and_keeps_it_out(self) -> None:
        server = await self.begin()
        alice = await self.come(server, "alice")
        await alice.until("alice joined the room")
        assert server._accounts is not None
        await server._accounts.revoke(Revocation("alice", "s", 2**40), 0)
        await server.reload()
        self.assertEqual(await alice.until_closed(), (4401, "this sign-in has ended; sign in again"))
        await self.assertKeptOut(server, "alice", 401, "token_revoked")
