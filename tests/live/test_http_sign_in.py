"""Signing in over real TLS: names, renewals, rates, where a token may travel, and whose pages may connect."""

from __future__ import annotations

import time
from typing import Any

from gochatsecure import ChatServer, Limits
from gochatsecure.auth.jwt import encode
from gochatsecure.auth.tokens import KeyRing
from tests.live.fakes import Clock
from tests.live.support import LiveTestCase
from tests.live.test_http import HTTPTestCase
from tests.support import Answer, Raw, Rejected, request, token

LINES = "gochatsecure.v1.lines"


def minted(server: ChatServer, name: str, *, life: float = 60, now: float | None = None, **fields: Any) -> str:
    """A token as a fronting site makes one, with the server's own secret."""
    keys = KeyRing.load(server.settings.key_path()[0])
    claims: dict[str, Any] = {"sub": name, "sid": "site", "exp": int((time.time() if now is None else now) + life)}
    if fields.pop("guest", False):
        claims["role"] = "guest"
    return encode(claims | {field: list(value) for field, value in fields.items()}, keys._keys[-1])


def bearing(ticket: str) -> list[str]:
    return [f"Authorization: Bearer {ticket}"]


class SigningIn(HTTPTestCase):
    async def test_needs_a_name(self) -> None:
        server = await self.start()
        for target in ("/auth", "/auth?username=", "/auth?"):
            self.assertRefused(await request(server, target), 400, "username_missing")

    async def test_needs_a_name_that_can_be_one(self) -> None:
        server = await self.start()
        for name in ("a%20b", "a:b", "admin", "x" * 33, "%E2%80%8Balice", "%D0%B0lice", "~", ".."):
            with self.subTest(name):
                self.assertRefused(await request(server, f"/auth?username={name}"), 400, "username_invalid")

    async def test_gives_the_canonical_name(self) -> None:
        answer = await request(await self.start(), "/auth?username=Alice")
        self.assertEqual(answer.json()["username"], "alice")

    async def test_under_a_name_that_is_connected_is_refused(self) -> None:
        server = await self.start()
        await self.connect(server, "alice")
        for name in ("alice", "ALICE", "a%6Cice", "%D0%B0%D3%8F%D1%96%D1%81%D0%B5"):
            with self.subTest(name):
                self.assertRefused(await request(server, f"/auth?username={name}"), 409, "name_in_use")

    async def test_under_a_name_that_has_just_left_is_refused_but_to_its_token(self) -> None:
        server = await self.start(limits=Limits(guest_grace_s=60))
        ticket = await token(server, "alice")
        alice = await self.open(server, ticket)
        alice.send("/quit")
        await alice.until_closed()
        self.assertRefused(await request(server, "/auth?username=alice"), 409, "name_in_use")
        again = await request(server, "/auth?username=alice", headers=bearing(ticket))
        self.assertEqual(again.status, 200)
        back = await self.open(server, again.json()["token"])
        await back.until("alice joined the room")

    async def test_with_its_token_renews_a_sign_in(self) -> None:
        server = await self.start()
        first = await token(server, "alice")
        alice = await self.open(server, first)
        await alice.until("alice joined the room")
        renewed = await request(server, "/auth?username=alice", headers=bearing(first))
        self.assertEqual(renewed.status, 200)
        tablet = await self.open(server, renewed.json()["token"], "two")
        await tablet.until("alice joined the room")

    async def test_with_somebody_elses_token_is_a_sign_in_of_ones_own(self) -> None:
        server = await self.start()
        bobs = await token(server, "bob")
        await self.connect(server, "alice")
        answer = await request(server, "/auth?username=alice", headers=bearing(bobs))
        self.assertRefused(answer, 409, "name_in_use")
        self.assertEqual((await request(server, "/auth?username=carol", headers=bearing(bobs))).status, 200)

    async def test_with_a_token_that_is_none_is_refused(self) -> None:
        server = await self.start()
        for header, code in (
            ("Authorization: Bearer x.y.z", "token_malformed"),
            ("Authorization: Basic eDp5", "token_missing"),
            ("Authorization: Bearer", "token_missing"),
        ):
            with self.subTest(header):
                answer = await request(server, "/auth?username=alice", headers=[header])
                self.assertRefused(answer, 401, code)
                self.assertTrue(answer.headers["www-authenticate"].startswith("Bearer"))

    async def test_too_often_is_refused_with_when_to_come_back(self) -> None:
        server = await self.start(sign_in_rate=3)
        for _ in range(3):
            await token(server, "alice")
        answer = await request(server, "/auth?username=alice")
        self.assertRefused(answer, 429, "rate_limited")
        self.assertIn(int(answer.headers["retry-after"]), range(1, 22))
        refresh = await request(server, "/auth/refresh", method="POST")
        self.assertRefused(refresh, 429, "rate_limited")
        self.assertEqual((await request(server, "/healthz")).status, 200)


class RefreshingAToken(HTTPTestCase):
    async def refresh(self, server: ChatServer, *headers: str) -> Answer:
        return await request(server, "/auth/refresh", method="POST", headers=headers)

    async def test_gives_a_later_one_of_the_same_sign_in(self) -> None:
        clock = Clock(time.time())
        server = await self.start(wall=clock)
        first = await token(server, "alice")
        alice = await self.open(server, first)
        await alice.until("alice joined the room")
        clock.now += 3600
        answer = await self.refresh(server, *bearing(first))
        self.assertEqual((answer.status, answer.json()["username"], answer.json()["expires_in"]), (200, "alice", 86400))
        clock.now += 23.5 * 3600
        late = await self.open(server, answer.json()["token"])
        await late.until("alice joined the room")

    async def test_needs_one(self) -> None:
        answer = await self.refresh(await self.start())
        self.assertRefused(answer, 401, "token_missing")
        self.assertEqual(answer.headers["www-authenticate"], "Bearer")

    async def test_comes_too_late_for_an_expired_one(self) -> None:
        clock = Clock(time.time())
        server = await self.start(wall=clock)
        ticket = await token(server, "alice")
        clock.now += 86400 + 60
        answer = await self.refresh(server, *bearing(ticket))
        self.assertRefused(answer, 401, "token_expired")
        self.assertEqual(answer.headers["www-authenticate"], 'Bearer error="invalid_token"')

    async def test_is_refused_when_somebody_else_has_the_name_now(self) -> None:
        server = await self.start()
        mine, theirs = await token(server, "alice"), await token(server, "alice")
        other = await self.open(server, theirs)
        await other.until("alice joined the room")
        self.assertRefused(await self.refresh(server, *bearing(mine)), 409, "name_in_use")

    async def test_is_for_tokens_of_this_server_only(self) -> None:
        server = await self.start()
        for foreign in (minted(server, "alice"), minted(server, "alice", guest=True)):
            self.assertRefused(await self.refresh(server, *bearing(foreign)), 403, "sign_in_external")


class SigningInElsewhere(HTTPTestCase):
    """With `-sign-in external` tokens are made by the site that this server belongs to."""

    async def test_nobody_signs_in_here(self) -> None:
        server = await self.start(sign_in="external")
        self.assertRefused(await request(server, "/auth?username=alice"), 403, "sign_in_external")

    async def test_the_sites_tokens_are_good(self) -> None:
        server = await self.start(sign_in="external")
        alice = await self.open(server, minted(server, "alice"))
        await alice.until("alice joined the room")

    async def test_a_token_may_be_for_some_rooms_only(self) -> None:
        server = await self.start(sign_in="external")
        ticket = minted(server, "alice", rooms=("team-*",))
        with self.assertRaises(Rejected) as caught:
            await self.open(server, ticket, "secret")
        self.assertEqual((caught.exception.status, caught.exception.code), (403, "room_forbidden"))
        alice = await self.open(server, ticket, "team-red")
        await alice.until("alice joined the room")
        self.assertEqual(await alice.ask("/join secret"), "! your token does not let you into that room")

    async def test_the_owner_of_a_name_ends_the_guest_that_uses_it(self) -> None:
        server = await self.start()
        guest = await self.connect(server, "alice")
        owner = await self.open(server, minted(server, "alice"))
        self.assertEqual(await guest.until_closed(), (4401, "the owner of this name has come"))
        self.assertIn("alice joined the room", await owner.until("alice joined the room"))


class WhereATokenMayTravel(LiveTestCase):
    async def refusal(self, server: ChatServer, **options: Any) -> tuple[int, str]:
        with self.assertRaises(Rejected) as caught:
            await self.open(server, "", target="/ws", **options)
        return caught.exception.status, caught.exception.code

    async def test_in_the_authorization_header(self) -> None:
        server = await self.start()
        header = ("Authorization", f"Bearer {await token(server, 'alice')}")
        alice = await self.open(server, "", target="/ws", headers=[header])
        await alice.until("alice joined the room")

    async def test_in_a_subprotocol_which_is_never_echoed(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        alice = await self.open(server, "", target="/ws", subprotocols=[f"bearer.{ticket}", LINES])
        self.assertEqual(alice.subprotocol, LINES)
        await alice.until("alice joined the room")
        alone = await self.open(server, "", target="/ws?room=two", subprotocols=[f"bearer.{ticket}"])
        self.assertIsNone(alone.subprotocol)
        await alone.until("alice joined the room")

    async def test_in_the_query(self) -> None:
        server = await self.start()
        alice = await self.open(server, "", target=f"/ws?token={await token(server, 'alice')}")
        await alice.until("alice joined the room")

    async def test_the_safest_place_counts_whatever_is_in_the_others(self) -> None:
        server = await self.start()
        alices, bobs = await token(server, "alice"), await token(server, "bob")
        header = ("Authorization", f"Bearer {alices}")
        first = await self.open(
            server, "", target="/ws?token=nonsense", headers=[header], subprotocols=[f"bearer.{bobs}"]
        )
        await first.until("alice joined the room")
        second = await self.open(server, "", target="/ws?token=nonsense", subprotocols=[f"bearer.{bobs}"])
        await second.until("bob joined the room")

    async def test_nowhere_else(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        for name, value in (("Cookie", f"token={ticket}"), ("X-Token", ticket), ("Authorization", f"Basic {ticket}")):
            with self.subTest(name):
                self.assertEqual(await self.refusal(server, headers=[(name, value)]), (401, "token_missing"))

    async def test_twice_in_the_same_header_is_none(self) -> None:
        server = await self.start()
        header = ("Authorization", f"Bearer {await token(server, 'alice')}")
        self.assertEqual(await self.refusal(server, headers=[header, header]), (401, "token_missing"))

    async def test_it_is_never_logged(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        with self.assertLogs("gochatsecure", "DEBUG") as logged:
            await self.open(server, ticket)
            for target in (f"/ws?token={ticket}x", f"/auth?username=bob&token={ticket}", f"/healthz?t={ticket}"):
                await request(server, target, headers=bearing(ticket))
        self.assertGreaterEqual(len(logged.output), 4)
        self.assertNotIn(ticket.rpartition(".")[2], "\n".join(logged.output))

    async def test_nor_is_one_that_was_put_in_the_place_of_the_method_or_the_path(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        with self.assertLogs("gochatsecure", "INFO") as logged:
            async with await Raw.open(server) as raw:
                raw.send(f"{ticket} /{ticket} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                self.assertEqual((await raw.answer()).status, 404)
        self.assertIn('refused asked="other elsewhere"', logged.output[0])

    async def test_of_a_room_that_cannot_be_one_is_refused(self) -> None:
        server = await self.start()
        with self.assertRaises(Rejected) as caught:
            await self.open(server, await token(server, "alice"), "a%3Ab")
        self.assertEqual((caught.exception.status, caught.exception.code), (400, "room_invalid"))

    async def test_a_subprotocol_that_we_do_not_speak_is_refused(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        offers = ["mqtt", f"bearer.{ticket}"]
        self.assertEqual(await self.refusal(server, subprotocols=offers), (400, "subprotocol_unsupported"))

    async def test_of_several_subprotocols_the_first_that_we_speak_is_taken(self) -> None:
        server = await self.start()
        target = f"/ws?token={await token(server, 'alice')}"
        alice = await self.open(server, "", target=target, subprotocols=["mqtt", LINES])
        self.assertEqual(alice.subprotocol, LINES)

    async def test_a_name_that_somebody_else_has_taken_meanwhile_is_refused(self) -> None:
        """Two may sign in under a name that is free; the first to connect has it."""
        server = await self.start()
        mine, theirs = await token(server, "alice"), await token(server, "alice")
        await self.open(server, theirs)
        with self.assertRaises(Rejected) as caught:
            await self.open(server, mine)
        self.assertEqual((caught.exception.status, caught.exception.code), (409, "name_in_use"))


class WhosePagesMayConnect(LiveTestCase):
    async def refused(self, server: ChatServer, ticket: str, *origins: str) -> bool:
        try:
            client = await self.open(server, ticket, headers=[("Origin", origin) for origin in origins])
        except Rejected as rejected:
            self.assertEqual((rejected.status, rejected.code), (403, "origin_refused"))
            return True
        await client.abort()
        return False

    async def test_only_those_that_the_operator_has_named(self) -> None:
        server = await self.start(origin="https://chat.example.org,https://other.example:8443")
        ticket = await token(server, "alice")
        for origin, wanted in {
            "https://chat.example.org": False,
            "HTTPS://Chat.Example.Org": False,
            "https://chat.example.org:443": False,
            "https://other.example:8443": False,
            "https://other.example": True,
            "http://chat.example.org": True,
            "https://chat.example.org:8443": True,
            "https://chat.example.org.evil.example": True,
            "https://evilchat.example.org": True,
            "https://chat.example.org/": True,
            "null": True,
            "": True,
            f"https://localhost:{server.port}": True,
        }.items():
            with self.subTest(origin):
                self.assertEqual(await self.refused(server, ticket, origin), wanted)

    async def test_two_origins_are_none(self) -> None:
        server = await self.start()
        own = f"https://localhost:{server.port}"
        self.assertTrue(await self.refused(server, await token(server, "alice"), own, own))

    async def test_who_is_no_browser_sends_none_and_needs_its_token(self) -> None:
        server = await self.start(origin="https://chat.example.org")
        self.assertFalse(await self.refused(server, await token(server, "alice")))
