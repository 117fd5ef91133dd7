"""Requests that two parsers could read in two ways, and what is no HTTP/1.1 at all: refused, and no more is read."""

from __future__ import annotations

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from tests.wire.support import FINE, TEXT, HTTPTestCase, client_frame, exchange, get, post

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
CHUNKED = "Transfer-Encoding: chunked"


def plain_h11(data: bytes) -> tuple[h11.Connection, list[h11.Event]]:
    """What h11 by itself makes of it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    events: list[h11.Event] = []
    while isinstance(event := connection.next_event(), h11.Request | h11.Data | h11.EndOfMessage):
        events.append(event)
    return connection, events


class BodyLength(HTTPTestCase):
    """HTTP-3, HTTP-8."""

    def test_content_length_beside_transfer_encoding_is_refused(self) -> None:
        chunks = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        for headers in (("Content-Length: 4", CHUNKED), (CHUNKED, "Content-Length: 4"), ("Content-Length: 0", CHUNKED)):
            for version in ("HTTP/1.1", "HTTP/1.0"):
                self.assertRefused(get("/", *headers, method="POST", version=version) + chunks, 400, "malformed")

    def test_h11_takes_both_and_keeps_the_connection_negative_control(self) -> None:
        data = get("/", "Content-Length: 4", CHUNKED, method="POST") + b"0\r\n\r\n" + get("/smuggled")
        connection, events = plain_h11(data)
        self.assertEqual([type(event) for event in events], [h11.Request, h11.EndOfMessage])
        connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        connection.send(h11.EndOfMessage())
        connection.start_next_cycle()
        smuggled = connection.next_event()
        assert isinstance(smuggled, h11.Request)
        self.assertEqual(smuggled.target, b"/smuggled")

    def test_a_chunked_body_is_refused_for_want_of_a_length(self) -> None:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            self.assertRefused(get("/", CHUNKED, method=method) + b"1\r\nx\r\n0\r\n\r\n", 411, "length_required")
        self.assertRefused(get("/", "transfer-encoding:\tCHUNKED ", method="POST"), 411)

    def test_a_chunked_body_is_malformed_where_there_can_be_none(self) -> None:
        for method, version in (("GET", "1.1"), ("HEAD", "1.1"), ("POST", "1.0"), ("GET", "1.0")):
            data = get("/", CHUNKED, method=method, version=f"HTTP/{version}")
            error = exchange([data]).error
            assert error is not None
            self.assertEqual((error.status, error.code), (400, "malformed"))
        self.assertRefused(get("/ws", CHUNKED, *UPGRADE), 400)

    def test_other_transfer_codings_are_refused(self) -> None:
        for coding in (
            "gzip",
            "gzip, chunked",
            "chunked, chunked",
            "chunked, identity",
            "identity",
            "",
            "x",
            "chunked;a",
        ):
            for method in ("GET", "POST"):
                self.assertRefused(get("/", f"Transfer-Encoding: {coding}", method=method), 400)
        self.assertRefused(get("/", CHUNKED, CHUNKED, method="POST"), 400)

    def test_a_length_that_is_no_plain_number_is_refused(self) -> None:
        for length in (
            *("+5", "-5", "-0", "0x5", "5 5", "5;", "5.0", "1e1", "five", "", '"5"', "5_0", "\xb2", "\u0665"),
            *("5,6", "5,", ",5", "5\x0b", "\x0b5", "5\x00"),
            *("00000000000000005", "99999999999999999999", "9" * 5000),
        ):
            data = get(method="POST").replace(b"\r\n\r\n", b"\r\nContent-Length: %b\r\n\r\n" % length.encode())
            self.assertRefused(data + b"body.", 400)

    def test_two_lengths_that_differ_are_refused(self) -> None:
        self.assertRefused(get("/", "Content-Length: 5", "Content-Length: 6", method="POST") + b"body..", 400)
        self.assertRefused(get("/", "Content-Length: 5", "Content-Length: 05", method="POST") + b"body.", 400)

    def test_a_length_said_twice_is_refused(self) -> None:
        self.assertRefused(get("/", "Content-Length: 5", "content-length: 5", method="POST") + b"body.", 400)

    def test_a_list_of_lengths_is_refused(self) -> None:
        self.assertRefused(get("/", "Content-Length: 5, 5", method="POST") + b"body.", 400)

    def test_h11_takes_a_length_said_twice_negative_control(self) -> None:
        for headers in (("Content-Length: 5", "Content-Length: 5"), ("Content-Length: 5,5",)):
            _, events = plain_h11(get("/", *headers, method="POST") + b"body.")
            self.assertEqual(len(events), 3)

    def test_a_body_where_none_belongs_is_refused(self) -> None:
        for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "X"):
            error = exchange([get("/", "Content-Length: 5", method=method) + b"body."]).error
            assert error is not None, method
            self.assertEqual((error.status, error.code), (400, "body_unexpected"), method)
        self.assertRefused(get("/", "Content-Length: 5") + b"body.", 400, "body_unexpected")

    def test_a_body_on_an_upgrade_is_refused(self) -> None:
        for method in ("GET", "POST"):
            data = get("/ws", "Content-Length: 8", *UPGRADE, method=method) + client_frame(TEXT, b"hi")
            self.assertRefused(data, 400, "body_unexpected")

    def test_h11_takes_a_body_on_get_negative_control(self) -> None:
        _, events = plain_h11(get("/", "Content-Length: 5") + b"body.")
        self.assertEqual([type(event) for event in events], [h11.Request, h11.Data, h11.EndOfMessage])

    def test_wsproto_takes_a_body_on_an_upgrade_for_frames_negative_control(self) -> None:
        naive = WSConnection(ConnectionType.SERVER)
        naive.receive_data(get("/ws", "Content-Length: 8", *UPGRADE))
        self.assertIsInstance(next(iter(naive.events())), Request)
        naive.send(AcceptConnection())
        naive.receive_data(client_frame(TEXT, b"hi"))
        self.assertEqual([event.data for event in naive.events() if isinstance(event, TextMessage)], ["hi"])

    def test_an_empty_body_may_be_announced_anywhere(self) -> None:
        for method in ("GET", "DELETE", "POST"):
            (request,) = self.assertRequests(get("/", "Content-Length: 0", method=method))
            self.assertEqual(request.body, b"")
        self.assertRequests(get("/ws", "Content-Length: 0", *UPGRADE))

    def test_no_body_is_announced_by_no_header(self) -> None:
        first, second = self.assertRequests(get(method="POST") + get("/b"), 2)
        self.assertEqual((first.body, second.path), (b"", "/b"))

    def test_a_length_may_have_zeros_before_it(self) -> None:
        (request,) = self.assertRequests(get("/", "Content-Length:  0005 ", method="PUT") + b"body.")
        self.assertEqual(request.body, b"body.")


class Lines(HTTPTestCase):
    """RFC 9112 2.2, 5."""

    def test_a_line_ends_with_cr_and_lf(self) -> None:
        for data in (
            get("/", "A: b").replace(b"x\r\n", b"x\n"),
            get().replace(b"1.1\r\n", b"1.1\n"),
            get()[:-2] + b"\n" + get(),
            b"\n" + get(),
            get("/", "A: b\nTransfer-Encoding: chunked"),
            get("/", "A: b\n\nGET /smuggled HTTP/1.1"),
            get().replace(b"\r\n", b"\r") + b"\r\n\r\n",
            b"\r" + get(),
            get("/", "A: b\rTransfer-Encoding: chunked"),
            get("/", "A: b\r"),
            get("/", "\rA: b"),
        ):
            self.assertRefused(data, 400, "malformed")

    def test_without_any_cr_there_is_no_request(self) -> None:
        """But its time runs out."""
        found = exchange([get().replace(b"\r\n", b"\n") * 3])
        self.assertEqual(found.requests, [])
        self.assertTrue(found.error or found.server.begun)

    def test_one_that_is_continued_is_refused(self) -> None:
        for fold in (" folded", "\tfolded", " ", " Content-Length: 5", "\t: x"):
            self.assertRefused(get("/", "A: b", fold), 400)
            self.assertRefused(get("/", fold, host=None), 400)

    def test_h11_takes_bare_lf_and_continued_lines_negative_control(self) -> None:
        for data in (get().replace(b"\r\n", b"\n"), get("/", "A: b", " folded")):
            _, events = plain_h11(data)
            self.assertEqual(len(events), 2)

    def test_a_header_is_a_token_a_colon_and_a_value(self) -> None:
        for line in (
            *("A : b", "A\t: b", ": b", "A", "A b", "A b: c", " A: b", "A(: b", "A/b: c", "A\x00: b", "\xc4: b"),
            *("Content-Length : 5", "Transfer-Encoding : chunked", '"A": b', "A\x7f: b", "\x0bA: b"),
        ):
            self.assertRefused(get("/", line), 400)

    def test_a_value_holds_no_nul_nor_bytes_outside_ascii(self) -> None:
        for value in ("\x00", "a\x00b", "\x0b", "a\x0cb", "\xff", "caf\xe9", "\x80", "\xa0"):
            self.assertRefused(get("/", f"A: {value}"), 400, "malformed")

    def test_a_value_holds_no_control_characters(self) -> None:
        for code in (*range(1, 9), *range(14, 32), 127):
            self.assertRefused(get("/", f"A: b{chr(code)}c"), 400)
        self.assertRefused(get("/ws", *UPGRADE[2:], "Upgrade: \x1fwebsocket", "Connection: \x1cUpgrade"), 400)

    def test_h11_takes_control_characters_negative_control(self) -> None:
        _, events = plain_h11(get("/", "A: \x01\x1b[2J\x7f"))
        self.assertEqual(len(events), 2)

    def test_a_value_may_hold_tabs_and_be_padded_with_them(self) -> None:
        (request,) = self.assertRequests(get("/", "A:\t b\tc \t", "B:d"))
        self.assertEqual((request.values("a"), request.values("b")), (["b\tc"], ["d"]))

    def test_a_request_line_is_three_words_with_one_space_between(self) -> None:
        for line in (
            *("GET", "GET /", "GET / ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1"),
            *("GET\t/ HTTP/1.1", "GET / / HTTP/1.1", "GET / HTTP/1.1\t", "GET /\x00 HTTP/1.1", "G@T / HTTP/1.1"),
            *(
                "GET /caf\xe9 HTTP/1.1",
                "G\xe9T / HTTP/1.1",
                " / HTTP/1.1",
                "/ HTTP/1.1",
                "GET HTTP/1.1",
                ": x",
                "\x16\x03\x01",
            ),
        ):
            self.assertRefused(f"{line}\r\nHost: x\r\n\r\n".encode("latin-1"), 400)


class Version(HTTPTestCase):
    """HTTP-4."""

    def test_1_1_and_1_0_are_spoken(self) -> None:
        for version in ("1.1", "1.0"):
            (request,) = self.assertRequests(get(version=f"HTTP/{version}"))
            self.assertEqual(request.version, version)

    def test_others_are_refused_by_name(self) -> None:
        for version in ("0.9", "1.2", "1.9", "2.0", "3.0", "9.9", "0.0"):
            self.assertRefused(get(version=f"HTTP/{version}"), 505, "version_unsupported")
            self.assertRefused(get(version=f"HTTP/{version}", host=None), 505, "version_unsupported")

    def test_http_2_without_asking_is_refused(self) -> None:
        self.assertRefused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_unsupported")

    def test_what_is_no_version_is_malformed(self) -> None:
        for version in (
            "",
            "HTTP/1",
            "HTTP/1.",
            "HTTP/11",
            "HTTP/1.10",
            "HTTP/01.1",
            "http/1.1",
            "HTTP/1,1",
            "HTTP/-1.1",
        ):
            self.assertRefused(get(version=version), 400, "malformed")
        for version in ("HTTPS/1.1", "HTTP 1.1", "HTTP/1.1x", "HTTP/\xb2.0", "ICY/1.1"):
            self.assertRefused(get(version=version), 400, "malformed")

    def test_a_simple_request_of_http_0_9_is_malformed(self) -> None:
        self.assertRefused(b"GET /\r\n\r\n", 400, "malformed")

    def test_h11_takes_any_two_digits_negative_control(self) -> None:
        for version in ("9.9", "0.9", "2.0"):
            _, events = plain_h11(get(version=f"HTTP/{version}"))
            self.assertEqual(len(events), 2)


class Host(HTTPTestCase):
    """HTTP-5."""

    def test_good_ones(self) -> None:
        for host in (
            *("x", "localhost", "localhost:8443", "127.0.0.1:1", "[::1]", "[::1]:8443", "[::ffff:192.0.2.1]"),
            *("chat.example.org", "EXAMPLE.ORG.", "xn--caf-dma.example", "under_score", "a" * 253),
        ):
            (request,) = self.assertRequests(get(host=host))
            self.assertEqual(request.values("host"), [host])

    def test_bad_ones_are_refused(self) -> None:
        for host in (
            *(
                "",
                " ",
                "a b",
                "a/b",
                "a?b",
                "a#b",
                "user@host",
                "a,b",
                "a:b",
                "a:123456",
                "a:-1",
                "a:+1",
                "a:1:2",
                ":80",
            ),
            *(
                "::1",
                "[::1",
                "::1]",
                "[]",
                "[x]",
                "[::1]x",
                "[::1%25eth0]",
                "exa<mple",
                'a"b',
                "a\\b",
                "a;b",
                "http://a",
            ),
            *("a%2eb", "*", "a:\x31\x00"),
        ):
            self.assertRefused(get(host=host), 400)

    def test_there_is_exactly_one(self) -> None:
        self.assertRefused(get(host=None), 400)
        for second in ("x", "y", ""):
            self.assertRefused(get("/", f"Host: {second}"), 400)
            self.assertRefused(get("/", f"hOST: {second}", version="HTTP/1.0"), 400)

    def test_version_1_0_may_go_without(self) -> None:
        (request,) = self.assertRequests(get(host=None, version="HTTP/1.0"))
        self.assertEqual(request.values("host"), [])
        self.assertRefused(get(host="a b", version="HTTP/1.0"), 400, "host_invalid")

    def test_h11_takes_any_one_negative_control(self) -> None:
        for host in ("", "a b", "http://a/", "user@host"):
            _, events = plain_h11(get(host=host))
            self.assertEqual(len(events), 2)


class AfterARefusal(HTTPTestCase):
    def test_no_request_is_found_in_what_is_left(self) -> None:
        """A caller that reads on, against the rule, is not given the smuggled request."""
        for first in (
            get("/", "Content-Length: 4", CHUNKED, method="POST") + b"0\r\n\r\n",
            get("/", CHUNKED, method="POST") + b"0\r\n\r\n",
            get("/", "Content-Length: 40"),
            get("/.."),
            get(version="HTTP/2.0"),
        ):
            found = exchange([first + get("/smuggled")])
            assert found.error is not None
            found.server.send(found.error.response(), close=True)
            self.assertFalse(found.server.keeps_alive)
            for _ in range(3):
                try:
                    self.assertIsNone(found.server.next_request(), first)
                except type(found.error):
                    pass

    def test_an_answer_is_still_good_after_one_was_given(self) -> None:
        found = exchange([post(b"fine") + get("//")])
        self.assertEqual((len(found.requests), found.sent[0][-5:]), (1, FINE.body))
