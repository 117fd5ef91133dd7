"""Raw bytes against HTTP, over real TLS: requests that two readers could read in two ways, and what is no request."""

from __future__ import annotations

from tests.attack.support import AttackTestCase
from tests.live.support import frame, frames, handshake, hear
from tests.support import Raw

SMUGGLED = b"GET /auth?username=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


def request(target: str, *headers: str, method: str = "GET", body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    """A head with a Host, and whatever is to follow it."""
    head = "\r\n".join([f"{method} {target} {version}", "Host: localhost", *headers, "", ""])
    return head.encode("latin-1") + body


def post(*headers: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    return request("/auth/refresh", *headers, method="POST", body=body, version=version)


class Smuggling(AttackTestCase):
    """HTTP-3. A front server that reads a request otherwise must never make us answer what its client has hidden."""

    async def assertNothingSmuggled(self, rows: dict[str, tuple[bytes, list[int]]]) -> None:
        for name, (sent, wanted) in rows.items():
            with self.subTest(name):
                found, received = await self.statuses(sent + SMUGGLED + LAST)
                self.assertEqual(found, wanted)
                self.assertNotIn(b"smuggled", received)
                await self.undisturbed()

    async def test_two_framings_of_one_body(self) -> None:
        hidden = b"0\r\n\r\n" + SMUGGLED
        size = f"Content-Length: {len(hidden)}"
        await self.assertNothingSmuggled(
            {
                "CL.TE": (post(size, CHUNKED, body=hidden), [400]),
                "TE.CL": (post(CHUNKED, "Content-Length: 4", body=b"5c\r\n" + hidden), [400]),
                "TE.CL on 1.0": (post(CHUNKED, "Content-Length: 4", body=hidden, version="HTTP/1.0"), [400]),
                "TE.0": (request("/healthz", CHUNKED, body=hidden), [400]),
                "CL on GET": (request("/healthz", size, body=hidden), [400]),
                "TE alone": (post(CHUNKED, body=hidden), [411]),
                "TE on 1.0": (post(CHUNKED, body=hidden, version="HTTP/1.0"), [400]),
            }
        )

    async def test_a_transfer_encoding_that_hides(self) -> None:
        """TE.TE: one of two readers overlooks it."""
        hidden = b"0\r\n\r\n" + SMUGGLED
        size = f"Content-Length: {len(hidden)}"
        for line in (
            *("Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked"),
            *("Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity", "Transfer-Encoding: x, chunked"),
            *("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "X: x\nTransfer-Encoding: chunked"),
            *("X: x\rTransfer-Encoding: chunked", "Transfer-Encoding\r\n : chunked", "Transfer-Encoding:\r\n chunked"),
            *("\tTransfer-Encoding: chunked", "Transfer-Encoding: 'chunked'", "Transfer-Encoding: chunked;a=b"),
            *("transfer-encoding:chunked", "TRANSFER-ENCODING: Chunked", "Transfer_Encoding : chunked"),
            *("Transfer-Encoding: chunked\x00", "Transfer-Encoding: \xffchunked", "Transfer-Encoding:"),
        ):
            await self.assertNothingSmuggled({line: (post(size, line, body=hidden), [400])})

    async def test_a_length_that_two_readers_read_otherwise(self) -> None:
        for lines in (
            *(["Content-Length: 0", "Content-Length: 58"], ["Content-Length: 58", "Content-Length: 0"]),
            *(["Content-Length: 58", "Content-Length: 58"], ["Content-Length: 58, 58"], ["Content-Length: 0, 58"]),
            *(["Content-Length: +58"], ["Content-Length: -58"], ["Content-Length: 0x3a"], ["Content-Length: 58 0"]),
            *(["Content-Length: 5\r\n 8"], ["Content-Length: 58\x0b"], ["Content-Length : 58"], ["Content-Length:"]),
            *(["Content-Length: 58;"], ["Content-Length: 1e2"], ["Content-Length: \xb2"], ["Content-Length: 5_8"]),
            *(["Content-Length: " + "9" * 40], ["Content-Length: 58", "\tContent-Length: 0"]),
        ):
            await self.assertNothingSmuggled({str(lines): (post(*lines, body=SMUGGLED), [400])})
        await self.assertNothingSmuggled({"too large": (post("Content-Length: 999999", body=SMUGGLED), [413])})

    async def test_a_body_is_never_taken_for_a_request(self) -> None:
        found, received = await self.statuses(post(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED) + LAST)
        self.assertEqual(found, [400, 200])
        self.assertNotIn(b"smuggled", received)

    async def test_lines_that_end_or_begin_otherwise(self) -> None:
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        await self.assertNothingSmuggled(
            {
                "bare LF": (head.replace(b"\r\n", b"\n") + b"\n", [400]),
                "bare LF at the end": (head + b"\n", [400]),
                "LF CR": (head.replace(b"\r\n", b"\n\r") + b"\n\r", [400]),
                "bare CR": (head + b"X: a\rb\r\n\r\n", [400]),
                "CR CR LF": (head + b"X: a\r\r\n\r\n", [400]),
                "folded": (head + b"X: a\r\n b\r\n\r\n", [400]),
                "folded with a tab": (head + b"X: a\r\n\tb\r\n\r\n", [400]),
                "folded at first": (b"GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n", [400]),
                "no colon": (head + b"X\r\n\r\n", [400]),
                "no name": (head + b": x\r\n\r\n", [400]),
                "a space in a name": (head + b"X Y: z\r\n\r\n", [400]),
                "a space behind a name": (head + b"X : z\r\n\r\n", [400]),
                "NUL": (head + b"X: a\x00b\r\n\r\n", [400]),
                "NUL in a name": (head + b"X\x00: b\r\n\r\n", [400]),
                "not ASCII": (head + b"X: \xe9\r\n\r\n", [400]),
                "not ASCII in a name": (head + b"\xe9: x\r\n\r\n", [400]),
                "DEL": (head + b"X: \x7f\r\n\r\n", [400]),
            }
        )

    async def test_what_stands_behind_a_fault_is_not_read(self) -> None:
        """Not what comes in the same bytes, nor what comes later."""
        found, _ = await self.statuses(request("/healthz") * 3 + request("//") + LAST * 3)
        self.assertEqual(found, [200, 200, 200, 400])
        raw = await self.raw(self.server)
        raw.send(request("/..") + SMUGGLED)
        self.assertEqual((await raw.answer()).status, 400)
        raw.send(SMUGGLED)
        self.assertEqual(await raw.rest(), b"")


class RequestLines(AttackTestCase):
    """HTTP-4 to HTTP-7."""

    async def assertAnswered(self, rows: dict[bytes, int]) -> None:
        for line, status in rows.items():
            with self.subTest(line):
                found, received = await self.statuses(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.assertEqual(found, [status])
                self.assertNotIn(b"Traceback", received)

    async def test_targets(self) -> None:
        for target in (
            *("//evil/ws", "///", "/a//b", "/./healthz", "/../healthz", "/a/../healthz", "/healthz/.."),
            *("/%2e%2e/healthz", "/healthz%00", "/%68ealthz", "/healthz%2f", "/healthz\\", "/healthz;%0d%0aX:%20x"),
            *("*", "healthz", "?", "http://localhost/healthz", "https://localhost:1/healthz", "localhost:443"),
            *("/healthz#x", "/healthz?x#y", "//healthz", "/http://evil/", "/{}", "/a|b", "/a^b", '/a"b', "/<x>"),
        ):
            await self.assertAnswered({f"GET {target} HTTP/1.1".encode(): 400})
        for target in ("/healthz?", "/healthz"):
            await self.assertAnswered({f"GET {target} HTTP/1.1".encode(): 200})
        for target in (
            "/healthz/",
            "/HEALTHZ",
            "/healthz;x",
            "/favicon.ico",
            "/.well-known/x",
            "/.git/config",
            "/~root",
        ):
            await self.assertAnswered({f"GET {target} HTTP/1.1".encode(): 404})

    async def test_queries(self) -> None:
        for query in (
            *("a=1", "username=a&username=b", "username=a&admin=1", "username=%", "username=%zz", "username=%00"),
            *("username=%0d%0aSet-Cookie:%20x", "username=%ff", "username=%ed%a0%80", "username=%c0%af", "&", "=", "a"),
            *("username=a%26username%3Db&", "username=..%2f..%2fetc%2fpasswd", "username=%3Cscript%3E"),
            *("username=a;username=b", "&".join(["a=1"] * 100), "username=" + "a" * 3000),
        ):
            await self.assertAnswered({f"GET /auth?{query} HTTP/1.1".encode(): 400})

    async def test_lines_that_are_none(self) -> None:
        await self.assertAnswered(
            {
                b"GET  /healthz HTTP/1.1": 400,
                b"GET\t/healthz\tHTTP/1.1": 400,
                b" GET /healthz HTTP/1.1": 400,
                b"GET /healthz HTTP/1.1 ": 400,
                b"GET /healthz": 400,
                b"GET /healthz http/1.1": 400,
                b"GET /healthz HTTP/1.1 HTTP/1.1": 400,
                b"GET /healthz HTTP/1,1": 400,
                b"GET /healthz HTTP/11": 400,
                b"GET /healthz HTTP/1.10": 400,
                b"GET /healthz HTTP/+1.1": 400,
                b"GET /healthz HTTP/1.2": 505,
                b"GET /healthz HTTP/0.9": 505,
                b"GET /healthz HTTP/2.0": 505,
                b"PRI * HTTP/2.0": 505,
                b"GET /health\xffz HTTP/1.1": 400,
                b"GET /health\x00z HTTP/1.1": 400,
                b"G\x00T /healthz HTTP/1.1": 400,
                b"G(T /healthz HTTP/1.1": 400,
                b"\x16\x03\x01\x02\x00\x01\x00": 400,
                b"\x00" * 100: 400,
                b"GET " + b"/" * 9000 + b" HTTP/1.1": 414,
                b"A" * 9000: 414,
                b"TRACE /healthz HTTP/1.1": 405,
                b"CONNECT localhost:443 HTTP/1.1": 400,
                b"DEBUG /healthz HTTP/1.1": 405,
                b"get /healthz HTTP/1.1": 405,
            }
        )

    async def test_hosts(self) -> None:
        for host, status in {
            **dict.fromkeys(
                ("a b", "", "a/b", "a@b", "a,b", "a\\b", "a:b", "a:999999", "[::1", "::1", "a%00", "<a>"), 400
            ),
            **dict.fromkeys(("http://a", "a:80:80", "a?b", "a#b", "[::1]x", "\xe9", "a\tb", "'"), 400),
            **dict.fromkeys(("localhost", "a.example:443", "[::1]:8080", "127.0.0.1", "A"), 200),
        }.items():
            with self.subTest(host):
                sent = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
                self.assertEqual((await self.statuses(sent))[0], [status])
        for lines in ("", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n", "Host : a\r\n", "X-Host: a\r\n"):
            with self.subTest(lines):
                sent = f"GET /healthz HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode()
                self.assertEqual((await self.statuses(sent))[0], [400])

    async def test_what_proxies_say_counts_for_nothing(self) -> None:
        """HTTP-10: no proxy is configured, so that these headers are a stranger's words."""
        lines = ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;proto=https", "X-Real-IP: ::1"]
        lines += ["X-Forwarded-Host: evil", "X-Original-URL: /ws", "X-Rewrite-URL: /ws", "X-HTTP-Method-Override: POST"]
        found, received = await self.statuses(request("/healthz", *lines, "Connection: close"))
        self.assertEqual(found, [200])
        self.assertNotIn(b"evil", received)
        self.assertEqual((await self.statuses(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + LAST))[0], [400])


class Upgrades(AttackTestCase):
    """WS-2."""

    def ask(self, *headers: str) -> bytes:
        """A handshake with these headers in place of those of their names, and what follows it in the same bytes."""
        lines = handshake(self.server, f"/ws?token={self.ticket}").decode().split("\r\n")
        names = {header.partition(":")[0].lower() for header in headers}
        kept = [line for line in lines[:-2] if line.partition(":")[0].lower() not in names]
        given = [header for header in headers if header.partition(":")[2]]
        return "\r\n".join([*kept, *given, "", ""]).encode("latin-1")

    async def status(self, sent: bytes) -> int:
        raw = await self.raw(self.server)
        raw.send(sent)
        received = await hear(raw, b"\r\n\r\n")
        await raw.abort()
        return int(received[9:12])

    async def test_keys(self) -> None:
        good = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        for key in (
            *("", "AAAA", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ==x", "=" * 24),
            *("dGhlIHNhbXBsZSBub25jZ!==", "dGhlIHNhbXBs ZSBub25jZQ==", "A" * 24, "A" * 4000),
        ):
            self.assertEqual(await self.status(self.ask(f"Sec-WebSocket-Key: {key or ' '}")), 400, key)
        self.assertEqual(await self.status(self.ask(good, good)), 400)
        self.assertEqual(await self.status(self.ask("Sec-WebSocket-Key:")), 400)

    async def test_versions(self) -> None:
        for version in ("12", "14", "8, 13", "13, 13", "013", "13.0", "x", " ", "-13", "1" * 3000):
            self.assertEqual(await self.status(self.ask(f"Sec-WebSocket-Version: {version}")), 426, version)
        twice = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13")
        self.assertEqual(await self.status(self.ask(*twice)), 426)

    async def test_upgrade_and_connection(self) -> None:
        for headers, status in (
            (["Connection: keep-alive, upgrade"], 101),
            (["Connection: keep-alive", "Connection: Upgrade"], 101),
            (["Connection: ,, ,UPGRADE,"], 101),
            (["Upgrade: h2c, websocket"], 101),
            (["Upgrade: websocket", "Upgrade: websocket"], 101),
            (["Connection: close"], 426),
            (["Connection: upgraded"], 426),
            (["Connection: up grade"], 426),
            (["Upgrade: websocket/13"], 426),
            (["Upgrade: h2c"], 426),
            (["Upgrade:"], 426),
            (["Connection:"], 426),
            (["Connection: " + "," * 8000 + "Upgrade"], 101),
        ):
            with self.subTest(headers[:1]):
                self.assertEqual(await self.status(self.ask(*headers)), status)
        self.assertEqual(await self.status(self.ask().replace(b"HTTP/1.1", b"HTTP/1.0", 1)), 505)
        self.assertEqual(await self.status(self.ask().replace(b"GET", b"POST", 1)), 405)

    async def test_odd_bytes_in_any_header_are_never_our_bug(self) -> None:
        values = [bytes([byte]).decode("latin-1") for byte in (*range(32), 127, 128, 160, 192, 255)]
        values += ['"', '"\\', ",", ";", "=", "()", "\xff\xfe", "x" * 3000, "," * 3000, "a=\x22b", "%00", "\u00e9"]
        for name in (
            *("Host", "Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol"),
            *("Sec-WebSocket-Extensions", "Origin", "Authorization", "Content-Length", "Transfer-Encoding", "Expect"),
            *("Cookie", "Accept", "User-Agent", "X"),
        ):
            for value in values[:: 1 if name.startswith(("Sec", "Connection", "Host")) else 3]:
                status = await self.status(self.ask(f"{name}: a{value}b"))
                self.assertIn(status, (101, 400, 401, 403, 411, 413, 426), f"{name}: {value!r}")
        await self.undisturbed()

    async def test_origins(self) -> None:
        """WS-1."""
        port = self.server.port
        for origin in (
            *(
                "null",
                "https://evil",
                f"http://localhost:{port}",
                f"https://localhost:{port}.evil",
                "https://localhost",
            ),
            *(f"https://localhost:{port}/", f"https://evil/?https://localhost:{port}", f"https://a@localhost:{port}"),
            *(
                f"https://localhost:{port + 1}",
                "*",
                "file://",
                " ",
                f"https://localhost:{port} https://evil",
                "https://",
            ),
        ):
            self.assertEqual(await self.status(self.ask(f"Origin: {origin}")), 403, origin)
        ours = f"Origin: https://localhost:{port}"
        self.assertEqual(await self.status(self.ask(ours)), 101)
        self.assertEqual(await self.status(self.ask(ours, "Origin: https://evil")), 403)

    async def test_what_follows_a_refused_handshake_is_no_frame(self) -> None:
        """Who hopes that a front server lets it all through now (WebSocket smuggling) is not spoken to."""
        for asked in (
            self.ask("Sec-WebSocket-Version: 777"),
            self.ask("Sec-WebSocket-Key: x"),
            self.ask("Origin: https://evil"),
            handshake(self.server, "/ws?token=a.b.c"),
        ):
            found, received = await self.statuses(asked + SMUGGLED + frame("hi") * 3 + b"\r\n\r\n")
            self.assertEqual([status for status in found if status < 400], [200], "a request behind it is one")
            self.assertNotIn(b" 101 ", received)
            self.assertEqual(found[-1], 400)

    async def test_what_follows_a_good_handshake_is_no_request(self) -> None:
        raw = await self.raw(self.server)
        raw.send(self.ask() + SMUGGLED)
        received = await raw.rest()
        self.assertEqual(received.count(b"HTTP/1.1 "), 1)
        self.assertNotIn(b"smuggled", received)
        opcode, payload = frames(received.partition(b"\r\n\r\n")[2])[-1]
        self.assertEqual((opcode, payload[:2]), (8, (1002).to_bytes(2, "big")))

    async def test_http_2_is_not_spoken(self) -> None:
        """Neither by Upgrade (h2c smuggling) nor by its preface."""
        sent = request(
            "/healthz", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade, HTTP2-Settings"
        )
        found, received = await self.statuses(sent + LAST)
        self.assertEqual(found, [200, 200])
        self.assertNotIn(b"101", received)
        self.assertEqual((await self.statuses(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))[0], [505])


class ManyRequests(AttackTestCase):
    async def test_a_thousand_in_one_write_leave_room_for_others(self) -> None:
        raw = await self.raw(self.server)
        raw.send(request("/nowhere") * 1000 + LAST)
        for _ in range(3):
            await self.undisturbed()
        self.assertEqual((await raw.rest()).count(b"HTTP/1.1 404 "), 1000)

    async def test_heads_without_end_are_ended(self) -> None:
        """Of one line, of many, and of nothing but line ends."""
        for piece, status in ((b"x" * 100, 431), (b"X: x\r\n", 431), (b"\r\n", 400)):
            raw = await self.raw(self.server)
            head = b"" if piece == b"\r\n" else b"GET / HTTP/1.1\r\nX: "
            raw.send(head + piece * 20_000)
            self.assertTrue((await self.rest_of(raw)).startswith(b"HTTP/1.1 %d " % status), piece)
            await raw.abort()

    async def rest_of(self, raw: Raw) -> bytes:
        received = await raw.rest()
        await self.undisturbed()
        return received
