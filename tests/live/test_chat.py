"""The original's whole job, over real TLS; and a test for every fault that it had."""

from __future__ import annotations

from tests.support import Client, Rejected, ServerTestCase, request, token


class TheOriginalsJob(ServerTestCase):
    async def test_signing_in_gives_a_token_for_the_name(self) -> None:
        server = await self.start()
        answer = await request(server, "/auth?username=john")
        self.assertEqual(answer.status, 200)
        self.assertEqual(set(answer.json()), {"token", "username", "expires_in"})
        self.assertEqual((answer.json()["username"], answer.json()["expires_in"]), ("john", 86400))
        self.assertEqual(answer.headers["cache-control"], "no-store")

    async def test_the_room_is_default_unless_another_is_named(self) -> None:
        server = await self.start()
        alice = await Client.open(server, await token(server, "alice"))
        await alice.until("alice joined the room")
        self.assertEqual(await alice.ask("/who"), "# in default: alice")

    async def test_everybody_in_the_room_sees_what_is_said_oneself_included(self) -> None:
        server = await self.start()
        alice = await self.connect(server, "alice")
        bob = await self.connect(server, "bob")
        self.assertEqual(await alice.receive(), "bob joined the room")
        alice.send("hi")
        self.assertEqual(await alice.receive(), "alice: hi")
        self.assertEqual(await bob.receive(), "alice: hi")

    async def test_joining_and_leaving_is_shown(self) -> None:
        server = await self.start()
        alice = await self.connect(server, "alice")
        bob = await self.connect(server, "bob")
        bob.close()
        self.assertEqual(await alice.until("bob left the room"), ["bob joined the room", "bob left the room"])

    async def test_several_sessions_of_one_identity_are_one_member(self) -> None:
        server = await self.start()
        watcher = await self.connect(server, "watcher")
        ticket = await token(server, "alice")
        phone = await Client.open(server, ticket)
        await phone.until("alice joined the room")
        laptop = await Client.open(server, ticket)
        await laptop.until("alice joined the room")
        laptop.send("/quit")
        await laptop.until_closed()
        phone.send("still here")
        self.assertEqual(await watcher.until("alice: still here"), ["alice joined the room", "alice: still here"])

    async def test_one_identity_may_be_in_several_rooms(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        first = await Client.open(server, ticket, "one")
        second = await Client.open(server, ticket, "two")
        await first.until("alice joined the room")
        await second.until("alice joined the room")
        first.send("in one")
        second.send("in two")
        self.assertEqual(await first.receive(), "alice: in one")
        self.assertEqual(await second.receive(), "alice: in two")

    async def test_a_burst_arrives_whole_and_in_order(self) -> None:
        server = await self.start()
        alice = await self.connect(server, "alice")
        bob = await self.connect(server, "bob")
        said = [f"{number}" for number in range(500)]
        for text in said:
            alice.send(text)
        heard = await bob.until(f"alice: {said[-1]}")
        self.assertEqual(heard, [f"alice: {text}" for text in said])


class TheOriginalsFaults(ServerTestCase):
    async def test_a_message_is_not_delivered_once_per_member(self) -> None:
        """Its broadcast loop ran once for every client: in a room of N each message came N times."""
        server = await self.start()
        crowd = [await self.connect(server, f"guest{number}") for number in range(10)]
        crowd[0].send("once")
        crowd[0].send("end")
        for member in crowd:
            heard = await member.until("guest0: end")
            self.assertEqual(heard.count("guest0: once"), 1)

    async def test_a_message_does_not_leak_into_another_room(self) -> None:
        """It sent every message to every client, whatever room they were in."""
        server = await self.start()
        alice = await self.connect(server, "alice", "one")
        bob = await self.connect(server, "bob", "two")
        alice.send("for room one")
        await alice.until("alice: for room one")
        bob.send("for room two")
        self.assertEqual(await bob.receive(), "bob: for room two")
        self.assertEqual(await alice.ask("/who"), "# in one: alice")

    async def test_a_private_message_reaches_another_room(self) -> None:
        """It looked for the addressee in the sender's room only."""
        server = await self.start()
        alice = await self.connect(server, "alice", "one")
        bob = await self.connect(server, "bob", "two")
        carol = await self.connect(server, "carol", "two")
        alice.send("@bob psst")
        self.assertEqual(await alice.receive(), "(Private) to bob: psst")
        self.assertEqual(await bob.receive(), "carol joined the room")
        self.assertEqual(await bob.receive(), "(Private) alice: psst")
        carol.send("nothing for me")
        self.assertEqual(await bob.receive(), "carol: nothing for me")
        self.assertEqual(await carol.receive(), "carol: nothing for me")

    async def test_history_is_sent_on_joining(self) -> None:
        """It kept the history of each room and never sent it."""
        server = await self.start(history=3)
        alice = await self.connect(server, "alice")
        for text in ("one", "two", "three", "four"):
            alice.send(text)
        await alice.until("alice: four")
        bob = await Client.open(server, await token(server, "bob"))
        seen = await bob.until("bob joined the room")
        self.assertEqual(seen, ["alice: two", "alice: three", "alice: four", "bob joined the room"])

    async def test_a_token_of_the_well_known_secret_is_refused(self) -> None:
        """It signed with `supersecretkey`, which its own README told everybody."""
        server = await self.start()
        header_and_claims = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInVzZXJuYW1lIjoiam9obiJ9"
        forged = f"{header_and_claims}.{sign(header_and_claims, b'supersecretkey')}"
        with self.assertRaises(Rejected) as caught:
            await Client.open(server, forged)
        self.assertEqual((caught.exception.status, caught.exception.code), (401, "token_invalid"))

    async def test_a_page_of_another_origin_is_refused(self) -> None:
        """Its CheckOrigin answered yes to everybody."""
        server = await self.start()
        ticket = await token(server, "alice")
        for origin in ("https://evil.example", "null", f"http://localhost:{server.port}", "https://localhost:1"):
            with self.subTest(origin), self.assertRaises(Rejected) as caught:
                await Client.open(server, ticket, headers=[("Origin", origin)])
            self.assertEqual((caught.exception.status, caught.exception.code), (403, "origin_refused"))
        client = await Client.open(server, ticket, headers=[("Origin", f"https://localhost:{server.port}")])
        await client.until("alice joined the room")


def sign(text: str, secret: bytes) -> str:
    """HS256, written out here so that the test does not lean on what it tests."""
    import base64
    import hashlib
    import hmac

    return base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
