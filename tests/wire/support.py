"""What the tests of `wire` share: bytes cut into pieces, requests driven through a server, frames as clients send."""

from __future__ import annotations

import itertools
import random
import unittest
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gochatsecure.limits import Limits
from gochatsecure.wire.http1 import HTTPError, HTTPServer, Request, Response

try:
    import hypothesis
except ImportError:
    hypothesis = None  # type: ignore[assignment]

LIMITS = Limits()
FINE = Response(200, b"fine\n")
NO_TUNNEL = Response(405, b"no\n")
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data cut at these places, wherever they are."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


def ways(data: bytes, most: int = LIMITS.request_head) -> Iterator[list[bytes]]:
    """The same bytes whole (or as nearly as `most` allows), byte by byte, in between, and cut at random."""
    for size in (most, 1, 2, 7, 1000):
        yield pieces(data, min(size, most))
    chance = random.Random(2616)
    for _ in range(3):
        yield [small for part in cut(data, chance.sample(range(10**6), 9)) for small in pieces(part, most)]


class Exchange(NamedTuple):
    """What became of some bytes: the requests in them, what was sent for these, what ended it, and the state left."""

    requests: list[Request]
    sent: list[bytes]
    error: HTTPError | None
    server: HTTPServer

    @property
    def outcome(self) -> tuple[list[Request], str]:
        return self.requests, self.error.code if self.error else ""


def exchange(fed: Iterable[bytes], limits: Limits = LIMITS) -> Exchange:
    """Answer every request as a live connection would, up to an error, or to an answer after which it would close."""
    server = HTTPServer(limits)
    requests: list[Request] = []
    sent: list[bytes] = []
    try:
        for piece in fed:
            server.feed(piece)
            while (request := server.next_request()) is not None:
                requests.append(request)
                response = NO_TUNNEL if request.method == "CONNECT" else FINE
                sent.append(server.send(response))
                if not server.keeps_alive:
                    return Exchange(requests, sent, None, server)
    except HTTPError as error:
        return Exchange(requests, sent, error, server)
    return Exchange(requests, sent, None, server)


class Answer(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]  # names in lower case
    rest: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that comes once, or not at all."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, values
        return values[0] if values else None


def parsed(answer: bytes) -> Answer:
    head, _, rest = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    version, status, reason = line.split(" ", 2)
    assert version == "HTTP/1.1", version
    headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    return Answer(int(status), reason, headers, rest)


class HTTPTestCase(unittest.TestCase):
    def assertRequests(self, data: bytes, count: int = 1, limits: Limits = LIMITS) -> list[Request]:
        """So many requests and no error, however the bytes arrive."""
        first: list[Request] | None = None
        for fed in ways(data, limits.request_head):
            found = exchange(fed, limits)
            self.assertIsNone(found.error, f"{data[:80]!r} in pieces of {len(fed[0])}: {found.error!r}")
            self.assertEqual(len(found.requests), count, f"{data[:80]!r} in pieces of {len(fed[0])}")
            first = found.requests if first is None else first
            self.assertEqual(found.requests, first)
        assert first is not None
        return first

    def assertRefused(self, data: bytes, status: int, code: str = "", limits: Limits = LIMITS) -> None:
        """This error and no request, however the bytes arrive; after its answer the connection has to close."""
        for fed in ways(data, limits.request_head):
            found = exchange(fed, limits)
            context = f"{data[:80]!r} in pieces of {len(fed[0])}"
            self.assertEqual(found.requests, [], context)
            assert found.error is not None, context
            self.assertEqual(found.error.status, status, context)
            if code:
                self.assertEqual(found.error.code, code, context)
            answer = parsed(found.server.send(found.error.response(), close=True))
            self.assertEqual((answer.status, answer.header("connection")), (status, "close"), context)
            self.assertFalse(found.server.keeps_alive)


def get(
    target: str = "/", *headers: str, version: str = "HTTP/1.1", method: str = "GET", host: str | None = "x"
) -> bytes:
    """A request's head."""
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([f"{method} {target} {version}", *hosts, *headers, "", ""]).encode("latin-1")


def post(body: bytes, *headers: str, target: str = "/") -> bytes:
    return get(target, f"Content-Length: {len(body)}", *headers, method="POST") + body


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes | None = b"\x37\xfa\x21\x3d"
) -> bytes:
    """A frame as a client sends it (RFC 6455 5.2), written without wsproto; `reserved` are the three bits."""
    size, masked = len(payload), 0 if mask is None else 0x80
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


@unittest.skipUnless(hypothesis, "hypothesis is not installed")
class PropertyTestCase(unittest.TestCase):
    def check(self, property_: Any, *, examples: int = 200, **given: Any) -> None:
        """`property_` holds of whatever these strategies draw; the same draws each time."""
        settings = hypothesis.settings(
            deadline=None,
            database=None,
            derandomize=True,
            max_examples=examples,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        settings(hypothesis.given(**given)(property_))()
