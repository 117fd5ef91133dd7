"""The sizes of a request (HTTP-1, HTTP-8): exact to the byte, however the bytes arrive, and none a way to burn time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import unittest

import h11

from gochatsecure.limits import Limits
from tests.support import ROOT
from tests.wire.support import LIMITS, HTTPTestCase, exchange, get, pieces, post

SMALL = Limits(request_line=64, request_head=256, request_headers=4, request_body=32)


def with_line(size: int) -> bytes:
    return get("/" + "a" * (size - len("GET / HTTP/1.1")))


def with_head(size: int, line: str = "/") -> bytes:
    """In headers of at most 1000 bytes."""
    headers: list[str] = []
    while (missing := size - len(get(line, *headers))) > 1000:
        headers.append("X: " + "y" * 990)
    return get(line, *headers, "X: " + "y" * (missing - len("X: \r\n")))


class RequestLine(HTTPTestCase):
    def test_the_longest_is_read(self) -> None:
        for limits in (LIMITS, SMALL):
            self.assertRequests(with_line(limits.request_line), limits=limits)

    def test_one_byte_more_is_refused(self) -> None:
        for limits in (LIMITS, SMALL):
            self.assertRefused(with_line(limits.request_line + 1), 414, "target_too_long", limits)

    def test_it_is_refused_before_it_ends(self) -> None:
        for start in (b"x", b"GET /", b"GET / HTTP/1.1 "):
            self.assertRefused(start.ljust(LIMITS.request_line + 2, b"x"), 414, "target_too_long")

    def test_that_of_a_later_request_is_held_to_the_limit_too(self) -> None:
        for fed in (1, 4096):
            found = exchange(pieces(get() + with_line(LIMITS.request_line + 1), fed))
            self.assertEqual([len(found.requests), found.outcome[1]], [1, "target_too_long"])

    def test_an_empty_line_before_it_does_not_count(self) -> None:
        self.assertRequests(b"\r\n" + with_line(LIMITS.request_line))
        self.assertRefused(b"\r\n" + with_line(LIMITS.request_line + 1), 414)


class Head(HTTPTestCase):
    def test_the_longest_is_read(self) -> None:
        data = with_head(LIMITS.request_head)
        self.assertEqual(len(data), LIMITS.request_head)
        self.assertRequests(data)
        self.assertRequests(with_head(SMALL.request_head), limits=SMALL)

    def test_one_byte_more_is_refused(self) -> None:
        self.assertRefused(with_head(LIMITS.request_head + 1), 431, "headers_too_large")
        self.assertRefused(with_head(SMALL.request_head + 1), 431, "headers_too_large", SMALL)

    def test_it_is_refused_before_it_ends(self) -> None:
        data = with_head(2 * LIMITS.request_head)[: LIMITS.request_head + 1]
        self.assertRefused(data, 431, "headers_too_large")

    def test_what_stands_behind_it_does_not_count(self) -> None:
        self.assertRequests(with_head(LIMITS.request_head) + with_head(LIMITS.request_head), 2)

    def test_what_stood_before_it_does_not_count(self) -> None:
        body = bytes(LIMITS.request_body)
        self.assertRequests(post(body) + with_head(LIMITS.request_head) + post(body), 3)

    def test_h11s_own_limit_depends_on_how_much_is_fed_at_once_negative_control(self) -> None:
        data = with_head(40 * 1024)
        whole = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMITS.request_head)
        whole.receive_data(data)
        self.assertIsInstance(whole.next_event(), h11.Request)
        cut = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMITS.request_head)
        with self.assertRaises(h11.RemoteProtocolError):
            for piece in pieces(data, 4096):
                cut.receive_data(piece)
                cut.next_event()


class HeaderLines(HTTPTestCase):
    def test_as_many_as_may_be_are_read(self) -> None:
        (request,) = self.assertRequests(get("/", *["X: y"] * (LIMITS.request_headers - 1)))
        self.assertEqual(len(request.headers), LIMITS.request_headers)

    def test_one_more_is_refused(self) -> None:
        self.assertRefused(get("/", *["X: y"] * LIMITS.request_headers), 431, "headers_too_many")
        self.assertRefused(get("/", *["X:"] * SMALL.request_headers), 431, "headers_too_many", SMALL)

    def test_h11_takes_any_number_negative_control(self) -> None:
        plain = h11.Connection(h11.SERVER)
        plain.receive_data(get("/", *["X: y"] * 1000))
        self.assertIsInstance(plain.next_event(), h11.Request)


class Body(HTTPTestCase):
    def test_the_longest_is_read(self) -> None:
        body = bytes(range(256)) * (LIMITS.request_body // 256)
        (request,) = self.assertRequests(post(body))
        self.assertEqual(request.body, body)
        self.assertRequests(post(bytes(SMALL.request_body)), limits=SMALL)

    def test_one_byte_more_is_refused_by_its_head_alone(self) -> None:
        for length in (LIMITS.request_body + 1, 10**15, 9_999_999_999_999_999):
            head = get("/", f"Content-Length: {length}", method="POST")
            self.assertRefused(head, 413, "body_too_large")

    def test_the_heads_limit_is_not_the_bodys(self) -> None:
        large = Limits(request_head=1024, request_body=64 * 1024)
        for size in (1, 1024):
            found = exchange(pieces(post(bytes(64 * 1024)), size), large)
            self.assertEqual([len(request.body) for request in found.requests], [64 * 1024])


class Time(unittest.TestCase):
    """What a stranger sends costs time in proportion to its length: these would take minutes or years if it did not."""

    def reads_soon(self, *requests: str) -> None:
        """In another process, as what does not end cannot be stopped in this one."""
        script = f"""
            from tests.wire.support import exchange, get
            for request in [{", ".join(requests)}]:
                for _ in range(100):
                    exchange([request])
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=60)

    def test_a_long_path_with_a_fault_at_its_end(self) -> None:
        self.reads_soon("get('/' + 'a' * 4000 + '%')", "get('/' + 'a' * 4000 + '//')")

    def test_a_long_run_of_spaces_with_a_control_character_at_its_end(self) -> None:
        self.reads_soon("get('/', 'A:' + ' ' * 16000 + chr(0))")

    def test_a_long_query(self) -> None:
        self.reads_soon(*(f"get('/?' + {part!r} * {4000 // len(part)})" for part in ("%", "&", "a=&", "%ff", "=", "+")))

    def test_a_long_host(self) -> None:
        hosts = (
            "'a' * 16000 + '/'",
            "'1.' * 8000 + '!'",
            "'[' + ':' * 16000",
            "'a:' + '1' * 16000",
            "'-' * 16000 + ':'",
        )
        self.reads_soon(*(f"get(host={host})" for host in hosts))

    def test_a_long_list_in_a_header(self) -> None:
        self.reads_soon("get('/', 'Connection: ' + ',' * 16000)", "get('/', 'Connection: ' + 'a ' * 8000)")
