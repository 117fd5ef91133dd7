"""Authority ends on time (JWT-7): whatever ends it closes live sessions, before they are shown anything more.

Each has its negative control: with the look at live sessions taken out, the same session goes on.
"""

from __future__ import annotations

import unittest
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

from gochatsecure import ChatServer
from gochatsecure.auth.keyfile import retire, rotate
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.chat.model import Role
from gochatsecure.live.hub import Hub
from gochatsecure.log.accounts import Revocation
from tests.live.fakes import World
from tests.live.test_accounts import PASSWORD, AccountsTestCase, post
from tests.live.test_http_sign_in import bearing
from tests.support import Client, Rejected, request

End = Callable[[ChatServer, str], Awaitable[object]]


class LiveSessions(AccountsTestCase):
    async def check(self, end: End, reason: str, *, others: bool = False) -> None:
        """`others`: it ends everybody's."""
        await self.check_closed(end, reason, others)
        await self.check_control(end)

    async def prepared(self) -> tuple[ChatServer, str, Client]:
        server = await self.start()
        ticket = await self.register(server)
        alice = await self.open(server, ticket)
        await alice.until("alice joined the room")
        return server, ticket, alice

    async def check_closed(self, end: End, reason: str, others: bool) -> None:
        server, ticket, alice = await self.prepared()
        bob = await self.connect(server, "bob")
        await alice.until("bob joined the room")
        await end(server, ticket)
        self.assertEqual(await alice.until_closed(), (4401, reason))
        if others:
            self.assertEqual((await bob.until_closed())[0], 4401)
        else:
            await bob.until("alice left the room")
        with self.assertRaises(Rejected) as caught:
            await self.open(server, ticket)
        self.assertEqual(caught.exception.status, 401)

    async def check_control(self, end: End) -> None:
        with mock.patch.object(Hub, "end", lambda *_: None):
            server, ticket, alice = await self.prepared()
            await end(server, ticket)
            alice.send("nobody has closed me")
            await alice.until("alice: nobody has closed me")

    async def test_signing_out(self) -> None:
        async def end(server: ChatServer, ticket: str) -> None:
            await request(server, "/auth/sign-out", method="POST", headers=bearing(ticket))

        await self.check(end, "this sign-in has ended; sign in again")

    async def test_another_password(self) -> None:
        async def end(server: ChatServer, ticket: str) -> None:
            new = {"password": PASSWORD, "new_password": "battery staple"}
            await post(server, "/auth/password", *bearing(ticket), **new)

        await self.check(end, "this sign-in has ended; sign in again")

    async def test_disabling(self) -> None:
        async def end(server: ChatServer, ticket: str) -> None:
            await self.change(server, disabled=True)
            await server.reload()

        await self.check(end, "this name has been disabled")

    async def test_another_generation_as_of_a_role_or_signing_out_everywhere(self) -> None:
        async def end(server: ChatServer, ticket: str) -> None:
            await self.change(server, role=Role.MODERATOR, generation=1)
            await server.reload()

        await self.check(end, "this sign-in has ended; sign in again")

    async def test_revocation(self) -> None:
        async def end(server: ChatServer, ticket: str) -> None:
            assert server._accounts is not None and server._routes is not None
            identity = server._routes._sign_in.identify(ticket)
            await server._accounts.revoke(Revocation("alice", identity.sid, 2**40), 0)
            await server.reload()

        await self.check(end, "this sign-in has ended; sign in again")

    async def test_a_retired_key(self) -> None:
        async def end(server: ChatServer, ticket: str) -> None:
            path = server.settings.key_path()[0]
            (kid,) = KeyRing.load(path).kids
            rotate(path)
            await server.reload()
            retire(path, kid)
            await server.reload()

        await self.check(end, "the key of this token has been retired; sign in again", others=True)

    async def test_a_new_key_ends_nobody(self) -> None:
        server, ticket, alice = await self.prepared()
        rotate(server.settings.key_path()[0])
        await server.reload()
        alice.send("still here")
        await alice.until("alice: still here")
        renewed = await request(server, "/auth/refresh", method="POST", headers=bearing(ticket))
        self.assertEqual(renewed.status, 200)


class BeforeTheNextDelivery(unittest.IsolatedAsyncioTestCase):
    """The hub alone: what was shown goes out, and nothing after it."""

    async def ended(self, **by: Any) -> tuple[list[str], list[str], tuple[int, str] | None]:
        world = World()
        alice, bob = await world.enter("alice"), await world.enter("bob")
        alice.seen()
        bob.types("before")
        world.log.commit()
        bob.types("on its way")
        world.hub.end(lambda identity: "ended" if identity.name == "alice" else None, **by)
        world.log.commit()
        bob.types("after")
        world.log.commit()
        return alice.seen(), alice.after_close, alice.closed

    async def test_nothing_is_shown_to_an_ended_session(self) -> None:
        self.assertEqual(await self.ended(), (["bob: before"], [], (4401, "ended")))

    async def test_it_is_an_event_with_whose_and_why(self) -> None:
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await self.ended()
        self.assertEqual(
            [one.getMessage() for one in logged.records], ['revoked username=alice address="" reason=ended']
        )

    async def test_those_that_look_like_a_name_are_looked_at(self) -> None:
        self.assertEqual((await self.ended(names={"a1ice"}))[2], (4401, "ended"))

    async def test_who_is_not_concerned_is_not_asked(self) -> None:
        self.assertIsNone((await self.ended(names={"bob", "carol"}))[2])
