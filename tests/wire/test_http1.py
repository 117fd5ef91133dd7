"""Requests out of an HTTPServer, one after the other, and its answers."""

from __future__ import annotations

import json

import h11

from gochatsecure.wire.http1 import ALWAYS, HTTPError, HTTPServer, Response
from tests.wire.support import FINE, LIMITS, HTTPTestCase, cut, exchange, get, parsed, pieces, post


class Requests(HTTPTestCase):
    def test_a_request_is_read_whole(self) -> None:
        data = post(b"\x00any\r\n\r\nbytes\xff", "X-Mixed: Some Value", "ACCEPT: */*", target="/a/b.c?x=1&y=%C3%A9+%26")
        (request,) = self.assertRequests(data)
        self.assertEqual((request.method, request.path, request.version), ("POST", "/a/b.c", "1.1"))
        self.assertEqual(request.query, {"x": "1", "y": "é &"})
        self.assertEqual(request.body, b"\x00any\r\n\r\nbytes\xff")
        self.assertEqual(
            request.headers,
            (("host", "x"), ("content-length", "14"), ("x-mixed", "Some Value"), ("accept", "*/*")),
        )

    def test_it_is_the_same_wherever_it_is_cut_in_two(self) -> None:
        data = post(b"body", target="/?a=b") + get("/next")
        whole = exchange([data])
        self.assertEqual(len(whole.requests), 2)
        for place in range(len(data)):
            found = exchange(cut(data, [place]))
            self.assertEqual((found.outcome, found.sent), (whole.outcome, whole.sent), place)

    def test_all_lines_of_a_header_are_kept_in_their_order(self) -> None:
        (request,) = self.assertRequests(get("/", "A: 2", "B: x", "a: 1 ,, Zwei ", "A:"))
        self.assertEqual(request.values("a"), ["2", "1 ,, Zwei", ""])
        self.assertEqual(request.tokens("a"), ["2", "1", "zwei"])
        self.assertEqual((request.values("c"), request.tokens("c")), ([], []))

    def test_a_method_is_case_sensitive(self) -> None:
        (request,) = self.assertRequests(get(method="get"))
        self.assertEqual(request.method, "get")

    def test_an_empty_line_before_a_request_is_passed_over(self) -> None:
        """RFC 9112 2.2."""
        found = self.assertRequests(b"\r\n" + get("/a") + post(b"x", target="/b") + b"\r\n" + get("/c"), 3)
        self.assertEqual([request.path for request in found], ["/a", "/b", "/c"])

    def test_more_of_them_are_no_way_to_be_idle_for_ever(self) -> None:
        """Idle is who sends nothing: the second empty line is the start of a request, in a hurry as any other."""
        server = HTTPServer(LIMITS)
        for line, begun in ((b"\r\n", False), (b"\r\n", True)):
            server.feed(line)
            self.assertIsNone(server.next_request())
            self.assertIs(server.begun, begun)
        self.assertRefused(b"\r\n" * 100, 400, "malformed")
        self.assertRefused(b"\r\n" * 2 + get(), 400, "malformed")

    def test_it_has_begun_with_its_first_byte_and_ends_with_its_last(self) -> None:
        server = HTTPServer(LIMITS)
        self.assertFalse(server.begun)
        data = post(b"12")
        for place, byte in enumerate(pieces(data, 1)):
            self.assertIsNone(server.next_request())
            self.assertIs(server.begun, place > 0)
            self.assertIs(server.awaits_body, place >= len(data) - 2)
            server.feed(byte)
        self.assertIsNotNone(server.next_request())
        self.assertEqual((server.begun, server.awaits_body), (False, False))


class Pipelining(HTTPTestCase):
    """RFC 9112 9.3.2."""

    def test_requests_in_one_piece_come_and_are_answered_in_their_order(self) -> None:
        server = HTTPServer(LIMITS)
        server.feed(get("/a") + post(b"GET /body HTTP/1.1\r\nHost: x\r\n\r\n", target="/b") + get("/c"))
        for path, body in (("/a", b"1"), ("/b", b"2"), ("/c", b"3")):
            request = server.next_request()
            assert request is not None
            self.assertEqual(request.path, path)
            self.assertEqual(parsed(server.send(Response(200, body))).rest, body)
            self.assertTrue(server.keeps_alive)
        self.assertIsNone(server.next_request())
        self.assertFalse(server.begun)

    def test_a_hundred_are_all_answered(self) -> None:
        self.assertRequests(b"".join(get(f"/{number}") for number in range(100)), 100)

    def test_what_stands_behind_a_last_request_is_not_served(self) -> None:
        for first in (get("/a", "Connection: close"), get("/a", version="HTTP/1.0"), get("/a", "Connection: x, Close")):
            self.assertRequests(first + get("/b"))

    def test_what_stands_behind_a_refused_request_is_not_served(self) -> None:
        self.assertRefused(get("/..") + get("/b"), 400, "target_invalid")

    def test_requests_before_a_refused_one_are_answered(self) -> None:
        found = exchange([get("/a") + get("/b") + get("//")])
        self.assertEqual([request.path for request in found.requests], ["/a", "/b"])
        assert found.error is not None
        self.assertEqual(parsed(found.server.send(found.error.response(), close=True)).status, 400)


class KeepAlive(HTTPTestCase):
    """RFC 9112 9.3."""

    def test_it_depends_on_the_version_and_the_connection_header(self) -> None:
        for data, kept in (
            (get(), True),
            (get("/", "Connection: keep-alive"), True),
            (get("/", "Connection: upgrade"), True),
            (get("/", "Connection: close"), False),
            (get("/", "Connection: CLOSE"), False),
            (get("/", "Connection: keep-alive, close"), False),
            (get("/", "Connection: keep-alive", "Connection: close"), False),
            (get(version="HTTP/1.0"), False),
            (get("/", "Connection: keep-alive", version="HTTP/1.0"), False),
            (get(method="HEAD"), True),
            (get(method="CONNECT"), True),
            (get("/", "Upgrade: websocket", "Connection: upgrade"), True),
            (post(b"body"), True),
        ):
            with self.subTest(data=data):
                server = HTTPServer(LIMITS)
                server.feed(data)
                request = server.next_request()
                assert request is not None
                self.assertFalse(server.keeps_alive)  # not before the answer
                refusal = Response(405, b"no\n")
                answer = parsed(server.send(refusal))
                self.assertIs(server.keeps_alive, kept)
                self.assertEqual(answer.header("connection"), None if kept else "close")

    def test_we_may_end_it(self) -> None:
        server = HTTPServer(LIMITS)
        server.feed(get())
        server.next_request()
        self.assertEqual(parsed(server.send(FINE, close=True)).header("connection"), "close")
        self.assertFalse(server.keeps_alive)


class Continue(HTTPTestCase):
    """RFC 9110 10.1.1."""

    def test_who_waits_for_it_before_the_body_is_told_once(self) -> None:
        server = HTTPServer(LIMITS)
        head, body = get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"), b"body"
        server.feed(head)
        self.assertIsNone(server.next_request())
        self.assertTrue(server.awaits_body)
        self.assertTrue(server.awaits_continue)
        self.assertEqual(server.send_continue(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertFalse(server.awaits_continue)
        server.feed(body)
        request = server.next_request()
        assert request is not None
        self.assertEqual(request.body, body)
        self.assertEqual(parsed(server.send(FINE)).status, 200)
        self.assertTrue(server.keeps_alive)

    def test_nobody_else_is(self) -> None:
        for data in (
            get("/", "Expect: 100-continue"),
            get("/", "Content-Length: 4", method="POST"),
            get("/", "Content-Length: 4", "Expect: 100-continue", method="POST", version="HTTP/1.0"),
            get("/", "Content-Length: 4", "Expect: tea", method="POST"),
        ):
            server = HTTPServer(LIMITS)
            server.feed(data)
            server.next_request()
            self.assertFalse(server.awaits_continue, data)

    def test_a_body_that_is_too_long_is_refused_before_it_is_sent(self) -> None:
        head = get("/", f"Content-Length: {LIMITS.request_body + 1}", "Expect: 100-continue", method="POST")
        self.assertRefused(head, 413, "body_too_large")


class Answers(HTTPTestCase):
    def answer(self, data: bytes, response: Response) -> bytes:
        server = HTTPServer(LIMITS)
        server.feed(data)
        self.assertIsNotNone(server.next_request())
        return server.send(response)

    def test_they_carry_the_headers_of_every_answer_and_their_own(self) -> None:
        answer = parsed(self.answer(get(), Response(200, b"{}", (("Content-Type", "application/json"),))))
        self.assertEqual((answer.status, answer.reason, answer.rest), (200, "OK", b"{}"))
        for name, value in (*ALWAYS, ("Content-Type", "application/json"), ("Content-Length", "2")):
            self.assertEqual(answer.header(name.lower()), value)
        self.assertIsNone(answer.header("server"))

    def test_an_empty_one_says_so(self) -> None:
        answer = parsed(self.answer(get(), Response(404)))
        self.assertEqual((answer.header("content-length"), answer.rest), ("0", b""))

    def test_one_to_head_is_that_to_get_without_the_body(self) -> None:
        """RFC 9110 9.3.2."""
        to_get = parsed(self.answer(get(), FINE))
        to_head = parsed(self.answer(get(method="HEAD"), FINE))
        self.assertEqual((to_head.headers, to_head.rest), (to_get.headers, b""))

    def test_a_refused_head_request_is_answered_without_a_body(self) -> None:
        for data in (
            get("/..", method="HEAD"),
            get("/", "Content-Length: 1", method="HEAD"),
            get("/?a", method="HEAD"),
        ):
            found = exchange([data])
            assert found.error is not None
            answer = parsed(found.server.send(found.error.response(), close=True))
            self.assertEqual((answer.status, answer.rest), (400, b""))

    def test_what_follows_a_head_request_is_answered_with_a_body_again(self) -> None:
        for data in (get("/b"), get("/.."), b"\n\r\n\r\n", get("/", "A : b"), get(version="HTTP/2.0")):
            found = exchange([get(method="HEAD") + data])
            response = found.error.response() if found.error else FINE
            sent = found.server.send(response, close=True) if found.error else found.sent[1]
            self.assertEqual((parsed(found.sent[0]).rest, parsed(sent).rest), (b"", response.body), data)

    def test_no_header_can_smuggle_another_in(self) -> None:
        """HTTP-11."""
        for name, value in (
            ("Location", "/\r\nX: y"),
            ("Location", "/\ny"),
            ("A\r\nB", "c"),
            ("A", "\x00"),
            ("A B", ""),
        ):
            with self.subTest(name=name, value=value), self.assertRaises(h11.LocalProtocolError):
                self.answer(get(), Response(200, b"", ((name, value),)))

    def test_a_reason_is_the_standards_phrase(self) -> None:
        for status, reason in (
            (200, "OK"),
            (400, "Bad Request"),
            (426, "Upgrade Required"),
            (503, "Service Unavailable"),
        ):
            self.assertEqual(parsed(self.answer(get(), Response(status))).reason, reason)

    def test_there_is_one_for_each_request(self) -> None:
        server = HTTPServer(LIMITS)
        server.feed(get())
        server.next_request()
        server.send(FINE)
        with self.assertRaises(h11.LocalProtocolError):
            server.send(FINE)

    def test_none_follows_that_to_a_refused_request(self) -> None:
        for data in (b"\n\r\n\r\n", get("//"), get(version="HTTP/2.0"), b"x" * (LIMITS.request_line + 2)):
            found = exchange(pieces(data, 4096))
            assert found.error is not None
            found.server.send(found.error.response(), close=True)
            with self.assertRaises(h11.LocalProtocolError):
                found.server.send(FINE)

    def test_one_can_be_given_before_the_request_is_whole(self) -> None:
        for data in (b"GET", get()[:-2], get("/", "Content-Length: 4", method="POST") + b"bod"):
            server = HTTPServer(LIMITS)
            server.feed(data)
            self.assertIsNone(server.next_request())
            error = HTTPError(408, "request_timeout", "too slow")
            answer = parsed(server.send(error.response(), close=True))
            self.assertEqual((answer.status, answer.header("connection")), (408, "close"))
            self.assertFalse(server.keeps_alive)


class Errors(HTTPTestCase):
    def test_they_are_problem_details(self) -> None:
        """RFC 9457."""
        found = exchange([get("/..")])
        assert found.error is not None
        answer = parsed(found.server.send(found.error.response(), close=True))
        self.assertEqual(answer.header("content-type"), "application/problem+json")
        problem = json.loads(answer.rest)
        self.assertEqual(set(problem), {"status", "title", "code", "detail"})
        self.assertEqual((problem["status"], problem["title"]), (400, "Bad Request"))
        self.assertEqual(problem["code"], "target_invalid")

    def test_their_headers_come_along(self) -> None:
        error = HTTPError(405, "method_not_allowed", "use GET here", (("Allow", "GET"),))
        self.assertEqual(error.response().headers[-1], ("Allow", "GET"))

    def test_they_repeat_nothing_of_the_request(self) -> None:
        evil = "evil<script>"
        seen = set()
        for data in (
            get(f"/{evil}"),
            get(f"/?{evil}"),
            get(f"/?a={evil}&a={evil}"),
            get("/", host=evil),
            get("/", f"Content-Length: {evil}"),
            get("/", f"Transfer-Encoding: {evil}"),
            get("/", f"{evil}: x"),
            get("/", "X: evil\xff"),
            get(method=evil),
            get(version="HTTP/evil"),
            get(version="HTTP/6.6", target="/evil"),
            get("/evil", "Transfer-Encoding: chunked", method="POST"),
            b"evil" * 2000,
            get("/", *["Evil: evil"] * 100),
        ):
            with self.subTest(data=data[:60]):
                found = exchange(pieces(data, 4096))
                assert found.error is not None
                self.assertNotIn(b"evil", found.server.send(found.error.response(), close=True).lower())
                seen.add(found.error.code)
        self.assertGreater(len(seen), 6)


class Switch(HTTPTestCase):
    def test_the_new_protocol_gets_what_has_come_behind_the_request(self) -> None:
        """WS-3."""
        data = get("/ws", "Upgrade: websocket", "Connection: Upgrade")
        for trailing in (b"", b"\x81", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", bytes(3000)):
            with self.subTest(trailing=trailing[:20]):
                server = HTTPServer(LIMITS)
                server.feed(data + trailing)
                self.assertIsNotNone(server.next_request())
                sent, rest = server.send_switch([("Upgrade", "websocket"), ("Connection", "Upgrade")])
                answer = parsed(sent)
                self.assertEqual((answer.status, answer.reason), (101, "Switching Protocols"))
                self.assertEqual(answer.headers, [("upgrade", "websocket"), ("connection", "Upgrade")])
                self.assertEqual((answer.rest, rest), (b"", trailing))

    def test_it_needs_a_request_for_it(self) -> None:
        server = HTTPServer(LIMITS)
        server.feed(get())
        server.next_request()
        with self.assertRaises(h11.LocalProtocolError):
            server.send_switch([])
