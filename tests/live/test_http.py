"""Plain HTTP over real TLS: every path, every refusal, and how requests follow one another on a connection."""

from __future__ import annotations

import asyncio
from unittest import mock

from gochatsecure import ChatServer, Limits, __version__
from tests.live.fakes import Clock
from tests.live.support import LiveTestCase, eventually, handshake, hear, read_on, stop_reading
from tests.support import Answer, Raw, request, token

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}


def get(target: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


class HTTPTestCase(LiveTestCase):
    def assertRefused(self, answer: Answer, status: int, code: str) -> None:
        """A problem of RFC 9457, with the headers that every answer has."""
        self.assertEqual((answer.status, answer.json()["code"]), (status, code), answer)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(set(answer.json()), {"status", "title", "code", "detail"})
        self.assertEqual(answer.json()["status"], status)
        self.assertEqual({name: answer.headers.get(name) for name in ALWAYS}, ALWAYS)


class EveryPath(HTTPTestCase):
    async def test_the_root_says_what_this_is(self) -> None:
        answer = await request(await self.start(), "/")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/plain; charset=utf-8"))
        self.assertIn(f"GoChatSecure {__version__}", answer.body.decode())

    async def test_healthz_is_alive_and_readyz_ready(self) -> None:
        server = await self.start()
        self.assertEqual((await request(server, "/healthz")).json(), {"status": "alive", "version": __version__})
        self.assertEqual((await request(server, "/readyz")).json(), {"status": "ready"})

    async def test_every_answer_forbids_keeping_guessing_and_telling(self) -> None:
        server = await self.start()
        for target in ("/", "/healthz", "/readyz", "/auth?username=alice", "/auth", "/ws", "/nowhere", "//"):
            with self.subTest(target):
                answer = await request(server, target)
                self.assertEqual({name: answer.headers.get(name) for name in ALWAYS}, ALWAYS)

    async def test_hsts_is_for_real_host_names_only(self) -> None:
        """On a loopback name it would hold for every port of the developer's machine."""
        server = await self.start()
        hosts = {"chat.example.org": True, "10.0.0.1:8443": True, "localhost": False, "127.0.0.1:1": False}
        for host, wanted in {**hosts, "[::1]:8080": False, "LOCALHOST": False}.items():
            with self.subTest(host):
                async with await Raw.open(server) as raw:
                    raw.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    answer = await raw.answer()
                self.assertEqual("strict-transport-security" in answer.headers, wanted)

    async def test_head_is_get_without_its_body(self) -> None:
        server = await self.start(wall=lambda: 1_700_000_000.0)  # else Date may differ between the two
        for target in ("/", "/healthz", "/readyz"):
            with self.subTest(target):
                wanted = await request(server, target)
                got = await request(server, target, method="HEAD")
                self.assertEqual((got.status, got.headers, got.body), (200, wanted.headers, b""))

    async def test_there_are_no_cors_headers(self) -> None:
        answer = await request(await self.start(), "/healthz", headers=["Origin: https://evil.example"])
        self.assertEqual([name for name in answer.headers if name.startswith("access-control")], [])


class WhatIsRefused(HTTPTestCase):
    async def test_an_unknown_path(self) -> None:
        server = await self.start()
        for target in ("/nowhere", "/auth/", "/AUTH", "/ws/x", "/metrics"):
            with self.subTest(target):
                self.assertRefused(await request(server, target), 404, "not_found")

    async def test_a_method_that_the_path_does_not_have(self) -> None:
        server = await self.start()
        for method, target, allowed in (
            ("POST", "/", "GET, HEAD"),
            ("DELETE", "/healthz", "GET, HEAD"),
            ("PUT", "/auth", "GET, POST"),
            ("GET", "/register", "POST"),
            ("GET", "/auth/password", "POST"),
            ("GET", "/auth/sign-out", "POST"),
            ("GET", "/auth/refresh", "POST"),
            ("POST", "/ws", "GET"),
            ("TRACE", "/", "GET, HEAD"),
            ("CONNECT", "/", "GET, HEAD"),
            ("OPTIONS", "/ws", "GET"),
        ):
            with self.subTest(f"{method} {target}"):
                answer = await request(server, target, method=method)
                self.assertRefused(answer, 405, "method_not_allowed")
                self.assertEqual(answer.headers["allow"], allowed)

    async def test_the_same_for_a_head_request_without_a_body(self) -> None:
        server = await self.start()
        for target, status in (("/nowhere", 404), ("/auth", 405), ("/healthz?x=1", 400)):
            with self.subTest(target):
                async with await Raw.open(server) as raw:
                    raw.send(get(target, "Connection: close", method="HEAD"))
                    self.assertEqual((await raw.answer("HEAD"))[::2], (status, b""))
                    self.assertEqual(await raw.rest(), b"")

    async def test_a_bad_head_request_is_answered_not_our_bug(self) -> None:
        server = await self.start()
        for bad in (b"HEAD / HTTP/1.2\r\nHost: x\r\n\r\n", b"HEAD // HTTP/1.1\r\nHost: x\r\n\r\n"):
            async with await Raw.open(server) as raw:
                with self.assertNoLogs("gochatsecure", "ERROR"):
                    raw.send(bad)
                    self.assertIn((await raw.answer("HEAD")).status, (400, 505))

    async def test_parameters_that_are_unknown_or_named_twice_or_not_pairs(self) -> None:
        server = await self.start()
        for target, code in (
            ("/healthz?x=1", "parameter_unknown"),
            ("/auth?username=alice&user=bob", "parameter_unknown"),
            ("/auth?username=alice&username=bob", "query_invalid"),
            ("/auth?username", "query_invalid"),
            ("/auth?username=%ff", "query_invalid"),
            ("/auth?" + "&".join(f"a{n}=1" for n in range(17)), "query_invalid"),
        ):
            with self.subTest(target):
                self.assertRefused(await request(server, target), 400, code)

    async def test_targets_that_are_no_plain_path(self) -> None:
        server = await self.start()
        for target in ("//evil/ws", "/a/../ws", "/./ws", "/%77s", "/ws%00", "*", "https://localhost/ws", "/ws#x"):
            with self.subTest(target):
                self.assertRefused(await request(server, target), 400, "target_invalid")

    async def test_a_body_where_none_is_taken(self) -> None:
        server = await self.start()
        self.assertRefused(await request(server, "/auth", body=b"x"), 400, "body_unexpected")
        self.assertRefused(await request(server, "/auth/refresh", method="POST", body=b"x"), 400, "body_unexpected")

    async def test_a_websocket_path_without_an_upgrade(self) -> None:
        answer = await request(await self.start(), "/ws")
        self.assertRefused(answer, 426, "upgrade_required")
        self.assertEqual((answer.headers["upgrade"], answer.headers["connection"]), ("websocket", "Upgrade"))

    async def test_a_websocket_of_another_version(self) -> None:
        server = await self.start()
        asked = handshake(server, "/ws").replace(b"Version: 13", b"Version: 8")
        async with await Raw.open(server) as raw:
            raw.send(asked)
            answer = await raw.answer()
        self.assertRefused(answer, 426, "version_unsupported")
        self.assertEqual(answer.headers["sec-websocket-version"], "13")

    async def test_heads_and_bodies_that_are_too_large_or_not_well_formed(self) -> None:
        """Each is answered, and then the connection ends: what follows could be read as another request."""
        server = await self.start()
        many = [f"X-{number}: 1" for number in range(70)]
        for asked, status, code in (
            (get("/" + "x" * 5000), 414, "target_too_long"),
            (get("/", "X-Long: " + "x" * 17000), 431, "headers_too_large"),
            (get("/", *many), 431, "headers_too_many"),
            (get("/auth/refresh", "Content-Length: 9000", method="POST"), 413, "body_too_large"),
            (get("/auth/refresh", "Transfer-Encoding: chunked", method="POST"), 411, "length_required"),
            (get("/auth", "Transfer-Encoding: chunked"), 400, "malformed"),
            (get("/auth/refresh", "Transfer-Encoding: chunked", "Content-Length: 3", method="POST"), 400, "malformed"),
            (get("/").replace(b"HTTP/1.1", b"HTTP/1.2"), 505, "version_unsupported"),
            (get("/").replace(b"HTTP/1.1", b"HTTP/2.0"), 505, "version_unsupported"),
            (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed"),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host_invalid"),
            (get("/", "X: \x80"), 400, "malformed"),
            (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed"),
            (b"no HTTP at all\r\n\r\n", 400, "malformed"),
        ):
            with self.subTest(asked[:60]):
                async with await Raw.open(server) as raw:
                    raw.send(asked + get("/healthz"))
                    answer = await raw.answer()
                    self.assertRefused(answer, status, code)
                    self.assertEqual(answer.headers.get("connection"), "close")
                    self.assertEqual(await raw.rest() + raw._left, b"")

    async def test_nothing_of_a_request_is_repeated_in_its_refusal(self) -> None:
        server = await self.start()
        marker = "zz<script>zz"
        plain = ("/zzpath", "/auth?zzname=1", "/auth?username=zz!")
        for target in (*plain, "/auth?username=zz%3Cscript%3Ezz", f"/{marker}", "/auth?zz%3C=1", "/ws?room=zz%3Czz"):
            with self.subTest(target):
                answer = await request(server, target, headers=[f"Authorization: Bearer {marker}"])
                self.assertGreaterEqual(answer.status, 400)
                self.assertNotIn("zz", answer.body.decode() + str(answer.headers))

    async def test_many_refusals_are_few_log_lines(self) -> None:
        server = await self.start()
        raw = await self.raw(server)
        standing = mock.patch.object(server._routes, "_monotonic", Clock())
        with standing, self.assertLogs("gochatsecure", "INFO") as logged:
            raw.send(get("/nowhere") * 1000)
            for _ in range(1000):
                self.assertEqual((await raw.answer()).status, 404)
        self.assertLess(len(logged.output), 110)  # 100 at once, and 10 a second, of which none passes here


class WhichNamesMayBeAskedFor(HTTPTestCase):
    async def asked(self, server: ChatServer, host: str, target: str = "/healthz") -> Answer:
        async with await Raw.open(server) as raw:
            raw.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return await raw.answer()

    async def test_those_on_the_operators_list(self) -> None:
        server = await self.start(host="Chat.example.org,[::1]")
        for host in ("chat.example.org", "CHAT.EXAMPLE.ORG:8443", "[::1]", "[::1]:8080"):
            with self.subTest(host):
                self.assertEqual((await self.asked(server, host)).status, 200)

    async def test_all_others_are_misdirected(self) -> None:
        server = await self.start(host="chat.example.org")
        for host in ("evil.example", "chat.example.org.evil.example", "evilchat.example.org", "127.0.0.1", "localhost"):
            for target in ("/healthz", "/auth?username=alice", "/nowhere"):
                with self.subTest(host + target):
                    self.assertRefused(await self.asked(server, host, target), 421, "host_unknown")

    async def test_no_name_at_all_is_misdirected_too(self) -> None:
        server = await self.start(host="chat.example.org")
        async with await Raw.open(server) as raw:
            raw.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertRefused(await raw.answer(), 421, "host_unknown")

    async def test_any_where_there_is_no_list(self) -> None:
        self.assertEqual((await self.asked(await self.start(), "anything.example")).status, 200)


class WhatAProxyWouldSay(HTTPTestCase):
    """No proxy is trusted: what one would say of a peer counts for nothing."""

    FORWARDED = (
        "Forwarded: for=192.0.2.1;host=other.example;proto=http",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Host: other.example",
        "X-Forwarded-Proto: http",
        "X-Real-IP: 192.0.2.1",
    )

    async def test_about_an_address_buys_no_further_sign_in(self) -> None:
        server = await self.start(sign_in_rate=1)
        statuses = []
        for number, claim in enumerate(self.FORWARDED):
            claim = claim.replace("192.0.2.1", f"192.0.2.{number + 1}")
            statuses.append((await request(server, f"/auth?username=guest{number}", headers=[claim])).status)
        self.assertEqual(statuses, [200, 429, 429, 429, 429])

    async def test_is_not_written_into_the_log(self) -> None:
        server = await self.start()
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await request(server, "/auth?username=alice", headers=self.FORWARDED)
            await request(server, "/nowhere", headers=self.FORWARDED)
        self.assertIn("sign_in username=alice address=127.0.0.1", logged.output[0])
        self.assertNotIn("192.0.2.1", "".join(logged.output))

    async def test_before_the_handshake_is_no_handshake(self) -> None:
        """The PROXY protocol, in both its versions."""
        server = await self.start()
        for said in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)):
            with self.subTest(said):
                raw = Raw(*await asyncio.open_connection("127.0.0.1", server.port))
                self.addAsyncCleanup(raw.abort)
                raw.send(said)
                self.assertNotIn(b"HTTP", await raw.rest())


class OneConnection(HTTPTestCase):
    async def test_may_ask_again(self) -> None:
        server = await self.start()
        async with await Raw.open(server) as raw:
            for target, status in (("/healthz", 200), ("/nowhere", 404), ("/auth?username=alice", 200)):
                raw.send(get(target))
                self.assertEqual((await raw.answer()).status, status)

    async def test_may_not_after_connection_close(self) -> None:
        server = await self.start()
        async with await Raw.open(server) as raw:
            raw.send(get("/healthz", "Connection: close") + get("/nowhere"))
            self.assertEqual((await raw.answer()).status, 200)
            self.assertEqual(await raw.rest() + raw._left, b"")

    async def test_of_http_1_0_is_closed_after_its_answer(self) -> None:
        server = await self.start()
        async with await Raw.open(server) as raw:
            raw.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertEqual((await raw.answer()).status, 200)
            self.assertEqual(await raw.rest(), b"")

    async def test_may_ask_ahead_and_is_answered_in_order(self) -> None:
        server = await self.start()
        names = [f"guest{number}" for number in range(50)]
        async with await Raw.open(server) as raw:
            raw.send(b"".join(get(f"/auth?username={name}") for name in names))
            answered = [(await raw.answer()).json()["username"] for _ in names]
        self.assertEqual(answered, names)

    async def test_may_ask_byte_by_byte(self) -> None:
        server = await self.start()
        asked = get("/auth/refresh", "Content-Length: 3", method="POST") + b"abc" + get("/healthz")
        async with await Raw.open(server) as raw:
            for number in range(len(asked)):
                raw.send(asked[number : number + 1])
            self.assertEqual((await raw.answer("POST")).status, 400)
            self.assertEqual((await raw.answer()).status, 200)

    async def test_may_wait_for_100_continue_before_it_sends_a_body(self) -> None:
        server = await self.start()
        async with await Raw.open(server) as raw:
            raw.send(get("/auth/refresh", "Content-Length: 3", "Expect: 100-continue", method="POST"))
            self.assertEqual(await raw.reader.readuntil(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
            raw.send(b"abc")
            self.assertRefused(await raw.answer("POST"), 400, "body_unexpected")

    async def test_may_upgrade_behind_other_requests(self) -> None:
        server = await self.start()
        ticket = await token(server, "alice")
        async with await Raw.open(server) as raw:
            raw.send(get("/healthz") + handshake(server, f"/ws?token={ticket}"))
            self.assertEqual((await raw.answer()).status, 200)
            received = await hear(raw, b"joined the room", received=raw._left)
            self.assertTrue(received.startswith(b"HTTP/1.1 101 "))

    async def test_goes_on_when_its_reader_catches_up(self) -> None:
        """Who does not read its answers may not ask on; nothing of what it asked is lost."""
        server = await self.start(limits=Limits(idle_s=60, head_s=60))
        async with await Raw.open(server) as raw:
            end = stop_reading(server, raw)
            count = 2000
            raw.send(get("/nowhere") * count + get("/healthz"))
            await eventually(lambda: end.held)
            read_on(raw)
            received = await hear(raw, b"alive")
            self.assertEqual(received.count(b"HTTP/1.1 404"), count)

    async def test_that_breaks_off_in_mid_request_disturbs_nobody(self) -> None:
        server = await self.start()
        with self.assertNoLogs("gochatsecure", "ERROR"):
            for part in (b"", b"GET", get("/healthz")[:-2], get("/auth/refresh", "Content-Length: 9", method="POST")):
                async with await Raw.open(server) as raw:
                    raw.send(part)
            self.assertEqual((await request(server, "/healthz")).status, 200)
