"""The client's signing in and out, and that it renews its token in time."""

from __future__ import annotations

import asyncio
import time
from unittest import mock

from gochatsecure import Limits
from gochatsecure.auth import passwords
from gochatsecure.auth.passwords import Parameters
from gochatsecure.client import (
    ChatClient,
    ConnectionRefused,
    change_password,
    refresh,
    register,
    sign_in,
    sign_out,
)
from tests.client.test_client import ClientTestCase
from tests.live.fakes import Clock
from tests.live.support import eventually
from tests.support import PATIENCE, client_context, token


class SigningIn(ClientTestCase):
    def setUp(self) -> None:
        cheap = mock.patch.object(passwords, "PARAMETERS", Parameters(1, 1, 1))
        cheap.start()
        self.addCleanup(cheap.stop)

    async def test_from_registering_to_signing_out(self) -> None:
        server, tls = await self.start(), client_context()
        guest = await sign_in(server.url, "alice", tls)
        first = await register(server.url, "alice", "correct horse", tls, token=guest)
        chat = await self.client(server, "alice", first)
        second = await change_password(server.url, first, "correct horse", "battery staple", tls)
        with self.assertRaisesRegex(ConnectionRefused, "4401"):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await chat.__anext__()
        third = await sign_in(server.url, "alice", tls, password="battery staple")
        await sign_out(server.url, await refresh(server.url, third, tls), tls)
        with self.assertRaises(ConnectionRefused):
            await refresh(server.url, third, tls)
        await self.client(server, "alice", second)

    async def test_what_is_refused_is_told_as_the_server_says_it(self) -> None:
        server, tls = await self.start(), client_context()
        await register(server.url, "alice", "correct horse", tls)
        for asked, code, words in (
            (sign_in(server.url, "alice", tls), 409, "is registered"),
            (sign_in(server.url, "alice", tls, password="wrong password"), 401, "the password is wrong"),
            (register(server.url, "bob", "short", tls), 400, "at least 8 characters"),
            (refresh(server.url, "x.y.z", tls), 401, "token"),
        ):
            with self.assertRaisesRegex(ConnectionRefused, words) as caught:
                await asked
            self.assertEqual(caught.exception.code, code)


class RenewingTheToken(ClientTestCase):
    async def begin(self, clock: Clock, **options: object) -> ChatClient:
        """A client that renews after a thousandth of the time, on a server whose clock the test turns."""
        self.server = await self.start(wall=clock, limits=Limits(token_s=100))
        bearer = await token(self.server, "alice")
        chat = ChatClient(
            self.server.url,
            bearer,
            context=client_context(),
            backoff=(0.01,),
            jitter=lambda: -6.99,
            **options,  # type: ignore[arg-type]
        )
        await asyncio.wait_for(chat.__aenter__(), PATIENCE)
        self.addAsyncCleanup(chat.close)
        await chat.join("den")
        return chat

    async def test_it_outlives_the_one_that_it_began_with(self) -> None:
        clock = Clock(time.time())
        chat = await self.begin(clock)
        for _ in range(3):
            clock.now += 60
            before = chat._token
            await eventually(lambda before=before: chat._token != before)  # type: ignore[misc]
        await self.drop(self.server)
        async with asyncio.timeout(PATIENCE):
            self.assertEqual((await chat.send("den", "still here"))["seq"], 1)

    async def test_a_renewal_that_fails_ends_nothing_before_its_time(self) -> None:
        async def fail(bearer: str) -> str:
            raise ConnectionRefused(403, "renewed elsewhere")

        clock = Clock(time.time())
        chat = await self.begin(clock, renew=fail)
        await eventually(lambda: chat._renewing is not None and chat._renewing.done())
        self.assertEqual((await chat.send("den", "still here"))["seq"], 1)
        clock.now += 180
        await self.drop(self.server)
        with self.assertRaises(ConnectionRefused):
            async with asyncio.timeout(PATIENCE):
                await chat.send("den", "too late")
