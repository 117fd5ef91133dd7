"""The attacks that our controls are there for, over real TLS. Each says so when it succeeds.

That they can succeed is shown with the control off: `make control ID=HTTP-3 OFF=1`. See docs/security/controls.toml.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from asyncio.subprocess import DEVNULL, PIPE

from gochatsecure import ChatServer, Limits
from gochatsecure.auth.keyfile import retire, rotate
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.live.http_stage import HTTPStage
from gochatsecure.live.websocket_stage import WebSocketStage
from tests.auth.forgery import signed
from tests.live.fakes import Clock
from tests.live.support import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    LiveTestCase,
    beneath,
    eventually,
    frame,
    frames,
    heard,
    server_end,
    skip,
    stop_reading,
)
from tests.live.test_accounts import PASSWORD, AccountsTestCase, post
from tests.live.test_http_sign_in import bearing, minted
from tests.live.test_slow_reader import HIGH_WATER, unsent
from tests.support import PATIENCE, Client, Raw, Rejected, temporary_folder, token

SUCCEEDED = "THE ATTACK SUCCEEDED"


class AttackTestCase(LiveTestCase):
    def assertRepelled(self, succeeded: object, gain: str) -> None:
        """`gain`: what the attacker has if it succeeds."""
        if succeeded:
            self.fail(f"{SUCCEEDED}: {gain}")

    async def tcp(self, server: ChatServer) -> Raw:
        """Connected, but without a byte of TLS."""
        raw = Raw(*await asyncio.open_connection("127.0.0.1", server.port))
        self.addAsyncCleanup(raw.abort)
        return raw

    async def assertHearsNothing(self, server: ChatServer, eve: Client, gain: str) -> None:
        """Of what is said from now on."""
        bob = await self.connect(server, "bob")
        bob.send("the plan")
        await bob.until("bob: the plan")
        heard = []
        while (line := await eve.receive()) is not None:
            heard.append(line)
            if line == "bob: the plan":
                break
        self.assertRepelled("bob: the plan" in heard, gain)


def connections(server: ChatServer) -> int:
    assert server._listener is not None
    return len(server._listener._connections)


class BeforeTheHandshake(AttackTestCase):
    """TLS-3."""

    async def test_a_handshake_that_never_ends_keeps_its_connection(self) -> None:
        server = await self.start()
        await self.tcp(server)
        await eventually(lambda: connections(server) == 1)
        await skip(3600)
        self.assertRepelled(connections(server), "an hour later the connection is still held")

    async def test_a_ticket_allows_early_data_that_can_be_sent_twice(self) -> None:
        """TLS-2. As OpenSSL's own client reads our tickets: Python's has no early data."""
        server = await self.start()
        kept = temporary_folder() / "session"
        asked = f"openssl s_client -connect 127.0.0.1:{server.port} -tls1_3 -sess_out {kept} -quiet"
        process = await asyncio.create_subprocess_exec(*asked.split(), stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
        await asyncio.wait_for(process.communicate(b"GET / HTTP/1.0\r\n\r\n"), PATIENCE)
        read = await asyncio.create_subprocess_exec(
            *f"openssl sess_id -in {kept} -noout -text".split(), stdout=PIPE, stderr=DEVNULL
        )
        ticket = (await read.communicate())[0].decode()
        self.assertIn("TLS session ticket", ticket)
        self.assertRepelled("Max Early Data: 0" not in ticket, "a request can be sent again by who has recorded it")

    async def test_connections_without_a_handshake_are_as_many_as_one_likes(self) -> None:
        server = await self.start(max_connections_per_address=3)
        crowd = [await self.tcp(server) for _ in range(10)]

        def dropped() -> int:
            return sum(raw.reader.at_eof() or raw.reader.exception() is not None for raw in crowd)

        await eventually(lambda: connections(server) > 3 or dropped() >= 7)
        self.assertRepelled(connections(server) > 3, f"{connections(server)} connections, where 3 are allowed")


class SlowAndEndlessRequests(AttackTestCase):
    """HTTP-1, HTTP-2."""

    async def test_a_head_without_an_end_fills_the_memory(self) -> None:
        server = await self.start()
        raw, end = await self.spoken(server)
        raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 995 + b"\r\n") * 1024)

        def kept() -> int:
            return len(end._stage._http._buffer) if isinstance(end._stage, HTTPStage) else 0

        await eventually(lambda: end._ended or kept() > 512 * 1024)
        self.assertRepelled(not end._ended, f"the server keeps {kept()} bytes of one request's head, and reads on")

    async def test_a_head_that_drips_in_holds_its_connection(self) -> None:
        """Slowloris: a byte every 4 s."""
        server = await self.start()
        raw, end = await self.spoken(server)
        await heard(end, raw, b"GET / HTTP/1.1\r\nX: ")
        for _ in range(10):
            if not end._ended:
                await skip(4)
                await heard(end, raw, b"x")
        self.assertRepelled(not end._ended, "after 40 s of one request's head the connection is still held")


class Smuggling(AttackTestCase):
    """HTTP-3."""

    async def test_a_request_inside_anothers_body_is_answered_in_the_place_of_the_next(self) -> None:
        """Its Content-Length says that all of this is body, its Transfer-Encoding that the body ends at once."""
        server = await self.start()
        body = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        raw = await self.raw(server)
        head = f"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode()
        raw.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        await raw.answer("POST")
        raw.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertRepelled(b" 200 OK" in await raw.read(), "the next request gets the answer to the smuggled one")


class OtherPages(AttackTestCase):
    """WS-1."""

    async def test_a_page_of_another_origin_talks_in_a_users_name(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        for origin in ("https://evil.example", f"https://localhost:{server.port}.evil.example", "null"):
            with self.subTest(origin):
                try:
                    await self.open(server, ticket, headers=[("Origin", origin)])
                except Rejected:
                    continue
                self.assertRepelled(True, "a page of the attacker's is connected")


class Messages(AttackTestCase):
    """WS-4, WS-7, WS-9."""

    async def is_heard_behind(self, server: ChatServer, sent: bytes) -> bool:
        """Whether the server still listens behind that."""
        raw = await self.upgraded(server, await token(server, "mallory"))
        raw.send(sent + frame("still there?", PING))
        received = b""
        while more := await raw.read():
            received += more
            if (PONG, b"still there?") in frames(received):
                return True
        return False

    async def test_a_message_of_fragments_without_end_is_kept(self) -> None:
        endless = frame("", final=False) + frame("", CONTINUATION, final=False) * 1000
        self.assertRepelled(await self.is_heard_behind(await self.start(), endless), "a message of 1001 frames")

    async def test_a_message_of_any_size_is_kept(self) -> None:
        endless = frame("x", final=False) + frame("x" * 60_000, CONTINUATION, final=False) * 20
        self.assertRepelled(await self.is_heard_behind(await self.start(), endless), "1.2 MB of one message are kept")

    async def test_what_comes_behind_a_protocol_error_is_kept(self) -> None:
        server = await self.start()
        raw = await self.upgraded(server, await token(server, "mallory"))
        end = server_end(server, raw)
        beneath(raw).pause_reading()  # it has seen no Close, and no end
        await heard(end, raw, frame("", BINARY))
        await eventually(lambda: end._ended)
        for _ in range(16):
            raw.send(frame("x" * 65_000))
            await asyncio.sleep(0.01)
        kept = end._tls._incoming.pending + len(end._tls._waiting)
        self.assertRepelled(kept > 64 * 1024, f"the server keeps {kept} bytes that came behind the error")

    async def test_who_has_broken_the_protocol_stays_connected(self) -> None:
        """It answers no Close, and closes nothing itself."""
        server = await self.start()
        raw = await self.upgraded(server, await token(server, "mallory"))
        end = server_end(server, raw)
        beneath(raw).pause_reading()
        await heard(end, raw, frame("", BINARY))
        await eventually(lambda: end._ended)
        await skip(3600)
        self.assertRepelled(connections(server), "an hour later the connection is still held")

    async def test_who_does_not_read_makes_the_server_keep_all_that_is_said(self) -> None:
        server = await self.start(limits=Limits(outbox=32 * 1024))
        talker, sleeper = await self.connect(server, "talker"), await self.connect(server, "sleeper")
        await talker.until("sleeper joined the room")
        end = stop_reading(server, sleeper.raw)
        bound = 32 * 1024 + 2 * HIGH_WATER
        for number in range(3000):
            text = f"{number:04}" + "x" * 3996
            self.assertEqual(await talker.ask(text), f"talker: {text}")
            gone = isinstance(end._stage, WebSocketStage) and end._stage._closing
            if gone or end._ended or unsent(end) > bound:
                break
        self.assertRepelled(unsent(end) > bound, f"the server keeps {unsent(end)} bytes for a peer that does not read")


class Tokens(AttackTestCase):
    """JWT-2, JWT-5, JWT-7."""

    async def assertNotLetIn(self, server: ChatServer, ticket: str, gain: str) -> None:
        try:
            await self.open(server, ticket)
        except Rejected as rejected:
            self.assertEqual((rejected.status, rejected.code), (401, "token_malformed"))
            return
        self.assertRepelled(True, gain)

    def forged(self, server: ChatServer, payload: str) -> str:
        """What a fronting site signs that lets its users choose a part of the claims."""
        (key,) = KeyRing.load(server.settings.key_path()[0])._keys

        def part(text: str) -> str:
            return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

        return signed(f"{part(json.dumps({'alg': 'HS256', 'kid': key.kid}))}.{part(payload)}", key.secret)

    async def test_one_token_has_another_spelling(self) -> None:
        """The last character of a MAC has two bits that mean nothing: who lists tokens by their text is evaded."""
        server = await self.start()
        ticket = await token(server, "alice")
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        other = ticket[:-1] + alphabet[alphabet.index(ticket[-1]) ^ 1]
        await self.assertNotLetIn(server, other, "another text is the same token")

    async def test_a_token_that_says_two_things_is_read_as_one_likes(self) -> None:
        server = await self.start()
        payload = f'{{"sub": "alice", "sid": "s", "exp": 1, "exp": {int(time.time()) + 3600}}}'
        await self.assertNotLetIn(server, self.forged(server, payload), "an expiry was hidden behind another")

    async def test_a_token_whose_end_is_no_number_never_ends(self) -> None:
        server = await self.start()
        payload = '{"sub": "alice", "sid": "s", "exp": NaN}'
        await self.assertNotLetIn(server, self.forged(server, payload), "a token for ever")

    async def test_a_session_outlives_its_token(self) -> None:
        clock = Clock(time.time())
        server = await self.start(wall=clock)
        eve = await self.open(server, minted(server, "eve", life=30))
        await eve.until("eve joined the room")
        clock.now += 36  # a clock that differs by 5 s is allowed for
        await skip(36)
        await self.assertHearsNothing(server, eve, "who has no valid token any more still hears what is said")


class Authority(AttackTestCase, AccountsTestCase):
    """JWT-9."""

    async def test_who_knew_the_old_password_listens_on(self) -> None:
        server = await self.start()
        ticket = await self.register(server)
        eve = await self.open(server, (await self.sign_in(server)).json()["token"])
        await eve.until("alice joined the room")
        changed = await post(
            server, "/auth/password", *bearing(ticket), password=PASSWORD, new_password="battery staple"
        )
        self.assertEqual(changed.status, 200)
        await self.assertHearsNothing(server, eve, "whom the new password was to shut out still hears what is said")

    async def test_who_has_stolen_a_key_listens_on(self) -> None:
        server = await self.start()
        eve = await self.open(server, minted(server, "eve"))
        await eve.until("eve joined the room")
        path = server.settings.key_path()[0]
        (stolen,) = KeyRing.load(path).kids
        rotate(path)
        retire(path, stolen)
        await server.reload()
        await self.assertHearsNothing(server, eve, "who signs with a key that was retired still hears what is said")


class Statements(AttackTestCase):
    """DB-1."""

    async def test_what_is_said_becomes_a_part_of_a_statement(self) -> None:
        server = await self.start(store=f"sqlite:{temporary_folder() / 'chat.db'}")
        alice = await self.connect(server, "alice")
        self.assertIn("alice: ", await alice.ask("x' || (SELECT 'stolen') || '"))
        alice.send("/quit")
        await alice.until_closed()
        await eventually(lambda: server._hub is not None and not server._hub._lobby.rooms)
        again = await self.open(server, minted(server, "bob"))  # reads the room's log
        backlog = await again.until("bob joined the room")
        self.assertRepelled("xstolen" in backlog[0], "the answer to one's own statement stands in one's message")
        self.assertEqual(backlog[0], "alice: x' || (SELECT 'stolen') || '")
