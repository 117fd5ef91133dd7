"""Registered names over real TLS: registering, signing in, changing the password, signing out."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest import mock

from gochatsecure import ChatServer, Limits
from gochatsecure.auth import passwords
from gochatsecure.auth.passwords import Parameters
from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import Role
from gochatsecure.log.accounts import Account, MemoryAccounts
from tests.live.fakes import Clock
from tests.live.support import eventually
from tests.live.test_http import HTTPTestCase
from tests.live.test_http_sign_in import bearing, minted
from tests.support import Answer, HasPort, Rejected, request, temporary_folder, token

PASSWORD = "correct horse"
LOOKS_LIKE_ALICE = "%D0%B0%D3%8F%D1%96%D1%81%D0%B5"
JSON = "Content-Type: application/json"


async def post(server: HasPort, target: str, *headers: str, **fields: object) -> Answer:
    return await request(server, target, method="POST", headers=[JSON, *headers], body=json.dumps(fields).encode())


class AccountsTestCase(HTTPTestCase):
    """Hashing costs nothing here; how often it is done is counted."""

    def setUp(self) -> None:
        super().setUp()
        cheap = mock.patch.object(passwords, "PARAMETERS", Parameters(1, 1, 1))
        counted = mock.patch.object(passwords, "_hash", wraps=passwords._hash)
        cheap.start()
        self.hashes = counted.start()
        self.addCleanup(cheap.stop)
        self.addCleanup(counted.stop)

    async def register(self, server: HasPort, name: str = "alice", *headers: str, password: str = PASSWORD) -> str:
        answer = await post(server, "/register", *headers, username=name, password=password)
        self.assertEqual(answer.status, 201, answer)
        return str(answer.json()["token"])

    async def sign_in(self, server: HasPort, name: str = "alice", password: str = PASSWORD) -> Answer:
        return await post(server, "/auth", username=name, password=password)

    def stand_still(self, server: ChatServer) -> None:
        """No second passes for what counts tries."""
        assert server._routes is not None
        server._routes._sign_in._monotonic = Clock()

    def accounts(self, server: ChatServer) -> dict[str, Account]:
        kept = server._accounts
        assert isinstance(kept, MemoryAccounts)
        return {account.name: account for _, account in kept._accounts.values()}

    async def change(self, server: ChatServer, name: str = "alice", **fields: Any) -> None:
        """As an operator's command does it."""
        account = self.accounts(server)[name]
        assert server._accounts is not None
        self.assertTrue(await server._accounts.replace(account._replace(**fields), account))


class Registering(AccountsTestCase):
    async def test_gives_a_token_and_from_then_on_the_name_needs_its_password(self) -> None:
        server = await self.start()
        answer = await post(server, "/register", username="Alice", password=PASSWORD)
        self.assertEqual((answer.status, answer.json()["username"], answer.json()["expires_in"]), (201, "alice", 86400))
        alice = await self.open(server, answer.json()["token"])
        await alice.until("alice joined the room")
        self.assertRefused(await request(server, "/auth?username=alice"), 409, "name_registered")
        self.assertEqual((await self.sign_in(server)).status, 200)

    async def test_what_looks_like_the_name_is_nobodys_either(self) -> None:
        server = await self.start()
        await self.register(server)
        for name in ("a1ice", LOOKS_LIKE_ALICE, "ALICE"):
            self.assertRefused(await request(server, f"/auth?username={name}"), 409, "name_registered")
        for name in ("a1ice", "\u0430\u04cf\u0456\u0441\u0435", "alice"):
            answer = await post(server, "/register", username=name, password=PASSWORD)
            self.assertRefused(answer, 409, "name_registered")
        self.assertEqual((await request(server, "/auth?username=alicia")).status, 200)

    async def test_a_name_that_a_guest_uses_is_refused_but_to_that_guest(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        guest = await self.open(server, ticket)
        await guest.until("alice joined the room")
        answer = await post(server, "/register", username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_in_use")
        bobs = await token(server, "bob")
        answer = await post(server, "/register", *bearing(bobs), username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_in_use")
        carols = await self.register(server, "carol")  # the owner of a name may be sure of that one, and of no other
        answer = await post(server, "/register", *bearing(carols), username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_in_use")
        mine = await self.register(server, "alice", *bearing(ticket))
        self.assertEqual(await guest.until_closed(), (4401, "this name is registered now; sign in with its password"))
        self.assertRefused(await request(server, "/auth?username=alice", headers=bearing(ticket)), 401, "token_revoked")
        alice = await self.open(server, mine)
        await alice.until("alice joined the room")

    async def test_a_guest_that_looks_like_it_yields(self) -> None:
        server = await self.start()
        ticket = await token(server, "bob")
        guest = await self.open(server, ticket)
        await guest.until("bob joined the room")
        await self.register(server, "bob", *bearing(ticket))
        with self.assertRaises(Rejected) as caught:
            await self.open(server, ticket)
        self.assertEqual((caught.exception.status, caught.exception.code), (401, "token_revoked"))

    async def test_a_name_whose_owner_signs_in_elsewhere_is_not_given_away(self) -> None:
        """Or whoever registers it would read what was said to her."""
        server = await self.start()
        owner = await self.open(server, minted(server, "alice"))
        await owner.until("alice joined the room")
        owner.send("/quit")
        await owner.until_closed()
        with mock.patch.object(server._hub, "is_free", lambda name, bearer: True):
            answer = await post(server, "/register", username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_registered")

    async def test_private_messages_are_kept_from_then_on(self) -> None:
        server = await self.start()
        ticket = await self.register(server)
        bob = await self.connect(server, "bob")
        self.assertEqual(await bob.ask("@alice welcome"), "(Private) to alice: welcome")
        self.assertIn("nobody of that name", await bob.ask("@carol welcome"))
        alice = await self.open(server, ticket, subprotocols=["gochatsecure.v1.json"])
        welcome = json.loads(await alice.receive() or "")
        alice.send(json.dumps({"op": "inbox", "id": 1, "after": {"epoch": welcome["inbox"]["epoch"], "seq": 0}}))
        (event,) = json.loads(await alice.receive() or "")["ok"]["events"]
        self.assertEqual((event["from"], event["text"]), ("bob", "welcome"))

    async def test_passwords_that_are_none_are_refused_before_any_work(self) -> None:
        server = await self.start()
        for password in ("short", "password1", "x" * 1025, "alice", "alice123"):
            answer = await post(server, "/register", username="alice", password=password)
            self.assertRefused(answer, 400, "password_invalid")
        answer = await post(server, "/register", username="admin", password=PASSWORD)
        self.assertRefused(answer, 400, "username_invalid")
        self.assertEqual(self.hashes.call_count, 0)

    async def test_each_record_has_a_salt_of_its_own(self) -> None:
        server = await self.start()
        for name in ("alice", "bob"):
            await self.register(server, name)
        salts = {account.password.split("$")[4] for account in self.accounts(server).values()}
        self.assertEqual({len(bytes.fromhex(salt)) for salt in salts}, {16})
        self.assertEqual(len(salts), 2)

    async def test_may_be_the_operators_alone(self) -> None:
        server = await self.start(register="closed")
        answer = await post(server, "/register", username="alice", password=PASSWORD)
        self.assertRefused(answer, 403, "registration_closed")

    async def test_too_often_from_one_address_is_refused_with_when_to_come_back(self) -> None:
        server = await self.start(sign_in_rate=1000, limits=Limits(registrations_per_hour=2))
        for name in ("alice", "bob"):
            await self.register(server, name)
        answer = await post(server, "/register", username="carol", password=PASSWORD)
        self.assertRefused(answer, 429, "rate_limited")
        self.assertIn(int(answer.headers["retry-after"]), range(1700, 1802))
        answer = await post(server, "/register", username="alice", password=PASSWORD)
        self.assertRefused(answer, 409, "name_registered")

    async def test_no_more_names_are_taken_than_there_is_room_for(self) -> None:
        server = await self.start(limits=Limits(accounts=1))
        await self.register(server)
        answer = await post(server, "/register", username="bob", password=PASSWORD)
        self.assertRefused(answer, 503, "accounts_full")

    async def test_of_two_at_once_one_has_the_name(self) -> None:
        server = await self.start()
        asked = [post(server, "/register", username=name, password=PASSWORD) for name in ("alice", "a1ice")]
        self.assertEqual(sorted(answer.status for answer in await asyncio.gather(*asked)), [201, 409])
        self.assertEqual(len(self.accounts(server)), 1)


class SigningInWithAPassword(AccountsTestCase):
    async def test_gives_a_token_of_a_sign_in_of_its_own(self) -> None:
        server = await self.start()
        first = await self.register(server)
        answer = await self.sign_in(server, "ALICE")
        self.assertEqual((answer.status, answer.json()["username"]), (200, "alice"))
        phone, laptop = await self.open(server, first), await self.open(server, answer.json()["token"])
        await phone.until("alice joined the room")
        laptop.send("hi")
        await phone.until("alice: hi")

    async def test_an_unknown_name_and_a_wrong_password_are_one_answer_and_one_work(self) -> None:
        server = await self.start()
        await self.register(server)
        found = []
        for name in ("alice", "nobody"):
            self.hashes.reset_mock()
            answer = await self.sign_in(server, name, "wrong password")
            found.append((answer.status, answer.body, {**answer.headers, "date": ""}, self.hashes.call_count,
                          self.hashes.call_args[0][2], len(self.hashes.call_args[0][1])))  # fmt: skip
        self.assertEqual(found[0], found[1])
        self.assertEqual((found[0][0], found[0][3]), (401, 1))
        self.assertIn(b"bad_credentials", found[0][1])

    async def test_a_guest_has_no_password(self) -> None:
        server = await self.start()
        await self.connect(server, "alice")
        self.assertRefused(await self.sign_in(server), 401, "bad_credentials")

    async def test_of_a_disabled_name_is_refused_and_said_only_to_who_knows_the_password(self) -> None:
        server = await self.start()
        await self.register(server)
        await self.change(server, disabled=True)
        await server.reload()
        self.assertRefused(await self.sign_in(server), 403, "account_disabled")
        self.assertRefused(await self.sign_in(server, "alice", "wrong password"), 401, "bad_credentials")

    async def test_renews_a_record_of_other_parameters(self) -> None:
        server = await self.start()
        await self.register(server)
        before = self.accounts(server)["alice"].password
        with mock.patch.object(passwords, "PARAMETERS", Parameters(2, 1, 1)):
            answer = await self.sign_in(server)
            after = self.accounts(server)["alice"].password
            self.assertEqual((answer.status, before[:9], after[:9]), (200, "scrypt$1$", "scrypt$2$"))
            self.assertEqual((await self.sign_in(server)).status, 200)
        self.assertEqual((await request(server, "/auth/refresh", method="POST",
                                        headers=bearing(answer.json()["token"]))).status, 200)  # fmt: skip

    async def test_wrong_ones_have_to_wait_longer_and_longer(self) -> None:
        server = await self.start(limits=Limits(guesses=2))
        self.stand_still(server)
        await self.register(server)
        for _ in range(2):
            self.assertRefused(await self.sign_in(server, "alice", "wrong password"), 401, "bad_credentials")
        self.hashes.reset_mock()
        answer = await self.sign_in(server)
        self.assertRefused(answer, 429, "rate_limited")
        self.assertEqual((answer.headers["retry-after"], self.hashes.call_count), ("2", 0))  # more than 1 s

    async def test_a_stranger_who_guesses_does_not_keep_the_owner_out(self) -> None:
        server = await self.start(addr="0.0.0.0:0", limits=Limits(guesses=2, guesses_of_name_per_minute=4))
        await self.register(server)
        assert server._routes is not None
        attempts = server._routes._sign_in._attempts
        now = asyncio.get_running_loop().time()
        for number in range(50):
            attempts.begin(f"192.0.2.{number}", "alice", now)
        self.assertGreater(attempts.begin("192.0.2.99", "alice", now), 0)
        self.assertEqual((await self.sign_in(server)).status, 200)

    async def test_when_too_many_passwords_wait_is_refused_and_costs_no_try(self) -> None:
        server = await self.start(limits=Limits(guesses=1))
        await self.register(server)
        assert server._hashing is not None
        server._hashing._jobs[:] = [100, 100]
        for _ in range(5):
            answer = await self.sign_in(server)
            self.assertRefused(answer, 503, "sign_in_busy")
            self.assertIn(int(answer.headers["retry-after"]), range(1, 5))
        server._hashing._jobs[:] = [0, 0]
        self.assertEqual((await self.sign_in(server)).status, 200)

    async def test_the_loop_goes_on_meanwhile(self) -> None:
        """ID-2: what takes a third of a second is done by somebody else."""
        server = await self.start()
        await self.register(server)
        hold = asyncio.Event()
        assert server._hashing is not None
        held = server._hashing.run

        async def slow(job: Any, *, known: bool = False) -> Any:
            await hold.wait()
            return await held(job, known=known)

        with mock.patch.object(server._hashing, "run", slow):
            asked = asyncio.create_task(self.sign_in(server))
            for _ in range(3):
                self.assertEqual((await request(server, "/healthz")).status, 200)
            self.assertFalse(asked.done())
            hold.set()
            self.assertEqual((await asked).status, 200)

    async def test_a_request_behind_it_waits_for_its_answer(self) -> None:
        server = await self.start()
        await self.register(server)
        body = json.dumps({"username": "alice", "password": PASSWORD})
        first = f"POST /auth HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        raw = await self.raw(server)
        raw.send((first + "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + first).encode())
        answers = [await raw.answer(method) for method in ("POST", "GET", "POST")]
        self.assertEqual([answer.status for answer in answers], [200, 200, 200])
        self.assertEqual(["token" in answer.json() for answer in answers], [True, False, True])

    async def test_who_waits_while_the_server_goes_away_still_gets_an_answer(self) -> None:
        server = await self.start()
        await self.register(server)
        assert server._hashing is not None
        hold, held = asyncio.Event(), server._hashing.run

        async def slow(job: Any, *, known: bool = False) -> Any:
            await hold.wait()
            return await held(job, known=known)

        with mock.patch.object(server._hashing, "run", slow):
            asked = [asyncio.create_task(self.sign_in(server)) for _ in range(2)]
            assert server._listener is not None
            listener = server._listener
            await eventually(lambda: len([one for one in listener._connections if one.held]) == 2)
            closing = asyncio.create_task(server.close(20))
            await eventually(lambda: all(getattr(one._stage, "_dismissed", False) for one in listener._connections))
            hold.set()
            for answer in await asyncio.gather(*asked):
                self.assertRefused(answer, 503, "draining")
                self.assertEqual(answer.headers["connection"], "close")
            await closing

    async def test_who_leaves_meanwhile_is_nobodys_trouble(self) -> None:
        server = await self.start()
        await self.register(server)
        body = json.dumps({"username": "alice", "password": PASSWORD})
        for _ in range(5):
            raw = await self.raw(server)
            raw.send(f"POST /auth HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await raw.abort()
        assert server._listener is not None and server._hashing is not None
        listener, hashing = server._listener, server._hashing
        await eventually(lambda: not listener._connections and not any(hashing._jobs))
        self.assertEqual((await self.sign_in(server)).status, 200)


class WhatTheBodyMustBe(AccountsTestCase):
    async def test_json_and_said_to_be(self) -> None:
        server = await self.start()
        good = b'{"username": "alice", "password": "correct horse"}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
            headers = [f"Content-Type: {kind}"] if kind else []
            answer = await request(server, "/auth", method="POST", headers=headers, body=good)
            self.assertRefused(answer, 415, "content_type_unsupported")
        kind = "Content-Type: Application/JSON; charset=utf-8"
        answer = await request(server, "/register", method="POST", headers=[kind], body=good)
        self.assertEqual(answer.status, 201)

    async def test_one_object_that_all_readers_read_alike(self) -> None:
        server = await self.start()
        for body in (
            b"",
            b"null",
            b"[]",
            b"{",
            b"\xff",
            b'{"username": "alice"}',
            b'{"username": "alice", "password": 5}',
            b'{"username": null, "password": "correct horse"}',
            b'{"username": "alice", "username": "bob", "password": "correct horse"}',
            b'{"username": "alice", "password": "correct horse", "x": NaN}',
            b'{"username": "alice", "password": "correct horse", "x": ' + b"1" * 5000 + b"}",
            b"[" * 8000,
        ):
            with self.subTest(body[:60]):
                answer = await request(server, "/auth", method="POST", headers=[JSON], body=body)
                self.assertRefused(answer, 400, "body_invalid")
        self.assertEqual(self.hashes.call_count, 0)

    async def test_half_of_a_surrogate_pair_is_no_password_and_no_name(self) -> None:
        server = await self.start()
        for body, code in (
            (b'{"username": "alice", "password": "correct\\ud83d"}', "password_invalid"),
            (b'{"username": "al\\ud83dice", "password": "correct horse"}', "username_invalid"),
        ):
            for target in ("/auth", "/register"):
                answer = await request(server, target, method="POST", headers=[JSON], body=body)
                self.assertRefused(answer, 400, code)

    async def test_8_kib_at_most(self) -> None:
        server = await self.start()
        self.assertRefused(await self.sign_in(server, "alice", "x" * 9000), 413, "body_too_large")

    async def test_a_password_in_the_query_is_not_taken(self) -> None:
        server = await self.start()
        answer = await request(server, "/auth?username=alice&password=x", method="POST", headers=[JSON], body=b"{}")
        self.assertRefused(answer, 400, "parameter_unknown")


class ChangingThePassword(AccountsTestCase):
    async def change_password(
        self, server: HasPort, ticket: str, old: str = PASSWORD, new: str = "battery staple"
    ) -> Answer:
        return await post(server, "/auth/password", *bearing(ticket), password=old, new_password=new)

    async def test_ends_every_sign_in_and_gives_a_new_one(self) -> None:
        server = await self.start()
        first = await self.register(server)
        second = str((await self.sign_in(server)).json()["token"])
        sessions = [await self.open(server, ticket) for ticket in (first, second)]
        bob = await self.connect(server, "bob")
        answer = await self.change_password(server, first)
        self.assertEqual(answer.status, 200, answer)
        for session in sessions:
            self.assertEqual((await session.until_closed())[0], 4401)
        for old in (first, second):
            refresh = await request(server, "/auth/refresh", method="POST", headers=bearing(old))
            self.assertRefused(refresh, 401, "token_revoked")
        alice = await self.open(server, answer.json()["token"])
        await alice.until("alice joined the room")
        self.assertRefused(await self.sign_in(server), 401, "bad_credentials")
        self.assertEqual((await self.sign_in(server, "alice", "battery staple")).status, 200)
        await bob.until("alice left the room")

    async def test_needs_the_old_one(self) -> None:
        server = await self.start()
        ticket = await self.register(server)
        self.assertRefused(await self.change_password(server, ticket, "wrong password"), 401, "bad_credentials")
        self.assertEqual((await self.sign_in(server)).status, 200)

    async def test_counts_wrong_ones_as_signing_in_does(self) -> None:
        server = await self.start(limits=Limits(guesses=2, known_wait_s=900))
        self.stand_still(server)
        ticket = await self.register(server)
        for _ in range(2):
            self.assertRefused(await self.change_password(server, ticket, "wrong password"), 401, "bad_credentials")
        self.assertRefused(await self.change_password(server, ticket), 429, "rate_limited")

    async def test_needs_a_new_one_that_can_be_one(self) -> None:
        server = await self.start()
        ticket = await self.register(server)
        self.assertRefused(await self.change_password(server, ticket, new="short"), 400, "password_invalid")

    async def test_is_for_registered_names(self) -> None:
        server = await self.start()
        for ticket in (await token(server, "bob"), minted(server, "carol")):
            self.assertRefused(await self.change_password(server, ticket), 403, "no_account")
        answer = await post(server, "/auth/password", password="x", new_password="y")
        self.assertRefused(answer, 401, "token_missing")


class SigningOut(AccountsTestCase):
    async def sign_out(self, server: HasPort, ticket: str) -> Answer:
        return await request(server, "/auth/sign-out", method="POST", headers=bearing(ticket))

    async def test_ends_this_sign_in_and_no_other(self) -> None:
        server = await self.start()
        first = await self.register(server)
        second = str((await self.sign_in(server)).json()["token"])
        phone, laptop = await self.open(server, first), await self.open(server, second)
        await laptop.until("alice joined the room")
        answer = await self.sign_out(server, first)
        self.assertEqual((answer.status, answer.json()), (200, {}))
        self.assertEqual(await phone.until_closed(), (4401, "this sign-in has ended; sign in again"))
        self.assertRefused(await self.sign_out(server, first), 401, "token_revoked")
        laptop.send("still here")
        await laptop.until("alice: still here")

    async def test_ends_the_later_tokens_of_the_sign_in_too(self) -> None:
        server = await self.start()
        first = await self.register(server)
        later = await request(server, "/auth/refresh", method="POST", headers=bearing(first))
        await self.sign_out(server, first)
        self.assertRefused(await self.sign_out(server, later.json()["token"]), 401, "token_revoked")

    async def test_frees_a_guests_name_at_once(self) -> None:
        server = await self.start()
        ticket = await token(server, "bob")
        guest = await self.open(server, ticket)
        await guest.until("bob joined the room")
        await self.sign_out(server, ticket)
        await guest.until_closed()
        self.assertEqual((await request(server, "/auth?username=bob")).status, 200)

    async def test_of_a_token_made_elsewhere_ends_it_here(self) -> None:
        server = await self.start()
        ticket = minted(server, "carol")
        carol = await self.open(server, ticket)
        await carol.until("carol joined the room")
        self.assertEqual((await self.sign_out(server, ticket)).status, 200)
        self.assertEqual((await carol.until_closed())[0], 4401)

    async def test_a_store_that_fails_says_so_and_ends_nothing(self) -> None:
        server = await self.start()
        ticket = await self.register(server)
        alice = await self.open(server, ticket)
        await alice.until("alice joined the room")
        assert server._accounts is not None
        failing = mock.AsyncMock(side_effect=Temporary("store_unavailable", "not now", 2000))
        with mock.patch.object(server._accounts, "revoke", failing):
            answer = await self.sign_out(server, ticket)
        self.assertRefused(answer, 503, "store_unavailable")
        self.assertEqual(answer.headers["retry-after"], "3")
        alice.send("still here")
        await alice.until("alice: still here")

    async def test_is_bounded_for_guests(self) -> None:
        server = await self.start(limits=Limits(revocations=1))
        await self.sign_out(server, await token(server, "bob"))
        self.assertRefused(await self.sign_out(server, await token(server, "carol")), 503, "store_busy")
        self.assertEqual((await self.sign_out(server, await self.register(server))).status, 200)


class WaysToSignIn(AccountsTestCase):
    async def test_accounts_keeps_guests_out_and_lets_owners_in(self) -> None:
        server = await self.start(sign_in="accounts")
        self.assertRefused(await request(server, "/auth?username=bob"), 403, "guests_refused")
        ticket = await self.register(server)
        alice = await self.open(server, ticket)
        await alice.until("alice joined the room")

    async def test_accounts_refuses_a_guests_token_from_before(self) -> None:
        folder = temporary_folder() / "data"
        before = await self.start(data=folder)
        ticket = await token(before, "bob")
        after = await self.start(data=folder, sign_in="accounts")
        with self.assertRaises(Rejected) as caught:
            await self.open(after, ticket)
        self.assertEqual((caught.exception.status, caught.exception.code), (401, "token_revoked"))
        guest = await self.open(before, ticket)  # the control: where guests are let in, it is good
        await guest.until("bob joined the room")

    async def test_external_signs_nobody_in_here(self) -> None:
        server = await self.start(sign_in="external")
        for target in ("/auth", "/register"):
            answer = await post(server, target, username="alice", password=PASSWORD)
            self.assertRefused(answer, 403, "sign_in_external")

    async def test_the_operators_role_is_in_the_token(self) -> None:
        server = await self.start()
        await self.register(server)
        await self.change(server, role=Role.MODERATOR)
        await server.reload()
        answer = await self.sign_in(server)
        assert server._routes is not None
        identity = server._routes._sign_in.identify(answer.json()["token"])
        self.assertEqual(identity.role, Role.MODERATOR)

    async def test_a_token_of_an_account_that_is_gone_is_nobodys(self) -> None:
        """The memory engine forgets accounts with the process: an old token does not own the name, nor does it if
        somebody else registers it meanwhile."""
        folder = temporary_folder() / "data"
        ticket = await self.register(await self.start(data=folder))
        again = await self.start(data=folder)
        for _ in range(2):
            with self.assertRaises(Rejected) as caught:
                await self.open(again, ticket)
            self.assertEqual((caught.exception.status, caught.exception.code), (401, "token_revoked"))
            if not self.accounts(again):
                await self.register(again, password="somebody else's")


class WhatIsLogged(AccountsTestCase):
    async def test_one_line_for_each_and_no_secret(self) -> None:
        server = await self.start(limits=Limits(guesses=2))
        with self.assertLogs("gochatsecure", "INFO") as logged:
            first = await self.register(server)
            await self.sign_in(server, "alice", "wrong password 1")
            await self.sign_in(server, "hunter2hunter2", "wrong password 2")
            second = await post(
                server, "/auth/password", *bearing(first), password=PASSWORD, new_password="battery staple"
            )
            third = (await self.sign_in(server, "alice", "battery staple")).json()["token"]
            await request(server, "/auth/sign-out", method="POST", headers=bearing(third))
        lines = "\n".join(record.getMessage() for record in logged.records)
        for line in (
            "registered username=alice address=127.0.0.1",
            "sign_in_failed username=alice address=127.0.0.1 code=bad_credentials count=1",
            "sign_in_failed address=127.0.0.1 code=bad_credentials count=1",
            "password_changed username=alice address=127.0.0.1",
            "sign_in username=alice address=127.0.0.1",
            "signed_out username=alice address=127.0.0.1",
        ):
            with self.subTest(line):
                self.assertEqual(lines.split("\n").count(line), 1)
        self.assertIn("account_changed username=alice role=member disabled=False", lines)
        secrets = [PASSWORD, "wrong password", "battery staple", "hunter2hunter2", "scrypt$"]
        secrets += [ticket.rpartition(".")[2] for ticket in (first, second.json()["token"], third)]
        for secret in secrets:
            self.assertNotIn(secret, lines)

    async def test_failures_are_told_a_hundred_times_and_then_some_a_second(self) -> None:
        server = await self.start(limits=Limits(guesses=1000))
        self.stand_still(server)
        with self.assertLogs("gochatsecure", "INFO") as logged:
            for _ in range(130):
                assert server._routes is not None
                server._routes._sign_in._audit_failure("alice", "192.0.2.1", "bad_credentials")
        self.assertLess(len(logged.records), 125)
