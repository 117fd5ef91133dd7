"""The client's signing in and out, and that it renews its token in time."""

from __future__ import annotations

import asyncio
from unittest import mock

from gochatsecure.auth import passwords
from gochatsecure.auth.passwords import Parameters
from gochatsecure.client import (
    ConnectionRefused,
    change_password,
    refresh,
    register,
    sign_in,
    sign_out,
)
from tests.client.test_client import ClientTestCase
from tests.support import PATIENCE, client_context


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
