"""What changes while a password is hashed: what is answered then speaks of how it is, not of how it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

from gochatsecure import ChatServer
from gochatsecure.auth import passwords
from gochatsecure.auth.jwt import encode
from gochatsecure.auth.passwords import Parameters
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import Role
from gochatsecure.log.accounts import Account
from tests.live.test_accounts import PASSWORD, AccountsTestCase, post
from tests.live.test_http_sign_in import bearing
from tests.support import request

OTHER = Account("a1ice", "record", Role.MEMBER, 0, 1)


class Meanwhile(AccountsTestCase):
    def after_hash(self, server: ChatServer, then: Callable[[], Awaitable[object]], *, number: int = 1) -> Any:
        """Once so many hashes are made, this happens before anything is done with the last of them."""
        assert server._hashing is not None
        run, made = server._hashing.run, 0

        async def slow(job: Any, *, known: bool = False) -> Any:
            nonlocal made
            answer = await run(job, known=known)
            made += 1
            if made == number:
                await then()
            return answer

        return mock.patch.object(server._hashing, "run", slow)

    async def test_a_name_is_registered_by_another_process(self) -> None:
        server = await self.start()
        assert server._accounts is not None
        accounts = server._accounts
        with self.after_hash(server, lambda: accounts.add(OTHER)):
            answer = await post(server, "/register", username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_registered")

    async def test_a_name_is_taken_by_a_guest(self) -> None:
        server = await self.start()
        with self.after_hash(server, lambda: self.connect(server, "alice")):
            answer = await post(server, "/register", username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_in_use")

    async def test_the_password_is_changed_by_another_process(self) -> None:
        server = await self.start()
        ticket = await self.register(server)

        async def change() -> None:
            await self.change(server, password=passwords.record_of("battery staple", b"s" * 16), generation=5)
            await server.reload()

        with self.after_hash(server, change):
            self.assertRefused(await self.sign_in(server), 401, "bad_credentials")
        new = {"password": "battery staple", "new_password": "a third one"}
        ticket = (await self.sign_in(server, "alice", "battery staple")).json()["token"]

        async def end() -> None:
            await self.change(server, generation=6)

        with self.after_hash(server, end, number=2):
            answer = await post(server, "/auth/password", *bearing(ticket), **new)
        self.assertRefused(answer, 409, "account_changed")
        await server.reload()
        self.assertEqual((await self.sign_in(server, "alice", "battery staple")).status, 200)

    async def test_a_name_is_disabled(self) -> None:
        server = await self.start()
        await self.register(server)

        async def disable() -> None:
            await self.change(server, disabled=True, generation=5)
            await server.reload()

        with self.after_hash(server, disable):
            self.assertRefused(await self.sign_in(server), 403, "account_disabled")

    async def test_a_record_cannot_be_renewed_now(self) -> None:
        server = await self.start()
        await self.register(server)
        before = self.accounts(server)["alice"]
        assert server._accounts is not None
        failing = mock.AsyncMock(side_effect=Temporary("store_unavailable", "not now", 2000))
        dearer = mock.patch.object(passwords, "PARAMETERS", Parameters(2, 1, 1))
        with mock.patch.object(server._accounts, "replace", failing), dearer:
            self.assertEqual((await self.sign_in(server)).status, 200)
        failing.assert_awaited_once()
        self.assertEqual(self.accounts(server)["alice"], before)

    async def test_a_token_that_names_no_sign_in_cannot_sign_out(self) -> None:
        server = await self.start()
        keys = KeyRing.load(server.settings.key_path()[0])
        ticket = encode({"sub": "carol", "exp": 2**40}, keys._keys[-1])
        answer = await request(server, "/auth/sign-out", method="POST", headers=bearing(ticket))
        self.assertRefused(answer, 403, "sign_in_external")
