"""What makes a request a WebSocket handshake (WS-2, WS-5), and what is said to it."""

from __future__ import annotations

import unittest

from wsproto import ConnectionType, WSConnection

from gochatsecure.wire.http1 import HTTPError, Request
from gochatsecure.wire.websocket import acceptance, check_upgrade, offered
from tests.wire.support import HTTPTestCase, exchange, get, parsed

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3
GOOD = {
    "host": ["x"],
    "upgrade": ["websocket"],
    "connection": ["Upgrade"],
    "sec-websocket-version": ["13"],
    "sec-websocket-key": [KEY],
}


def handshake(version: str = "1.1", **changes: list[str]) -> Request:
    """A good one, with these lines of these headers instead of its own."""
    lines = GOOD | {name.replace("_", "-"): values for name, values in changes.items()}
    headers = tuple((name, value) for name, values in lines.items() for value in values)
    return Request("GET", "/ws", {}, headers, version)


def wire_handshake(*headers: str, host: str = "x") -> bytes:
    lines = [f"{name}: {value}" for name, values in GOOD.items() for value in values if name != "host"]
    return get("/ws", *lines, *headers, host=host)


class CheckUpgrade(unittest.TestCase):
    def assertRefused(self, request: Request, status: int, code: str) -> HTTPError:
        with self.assertRaises(HTTPError) as caught:
            check_upgrade(request)
        self.assertEqual((caught.exception.status, caught.exception.code), (status, code), request.headers)
        return caught.exception

    def test_a_good_one_passes(self) -> None:
        check_upgrade(handshake())

    def test_upgrade_and_connection_are_lists_over_all_their_lines(self) -> None:
        for upgrade, connection in (
            (["WebSocket"], ["upgrade"]),
            (["WEBSOCKET"], ["UPGRADE"]),
            (["h2c, websocket"], ["keep-alive, Upgrade"]),
            (["h2c", "websocket"], ["keep-alive", "x,Upgrade"]),
            ([" ,websocket, "], ["Upgrade,"]),
        ):
            check_upgrade(handshake(upgrade=upgrade, connection=connection))

    def test_without_them_an_upgrade_is_required(self) -> None:
        for upgrade in ([], [""], ["h2c"], ["websocket/13"], ["web socket"], ["xwebsocket"], ["websocket;q=1"]):
            error = self.assertRefused(handshake(upgrade=upgrade), 426, "upgrade_required")
            self.assertIn(("Upgrade", "websocket"), error.headers)  # RFC 9110 15.5.22
        for connection in ([], [""], ["keep-alive"], ["upgraded"], ["close"], ["up", "grade"]):
            self.assertRefused(handshake(connection=connection), 426, "upgrade_required")

    def test_the_answer_to_a_plain_request_names_the_upgrade(self) -> None:
        found = exchange([get("/ws")])
        error = self.assertRefused(found.requests[0], 426, "upgrade_required")
        fresh = exchange([])
        answer = parsed(fresh.server.send(error.response()))
        self.assertEqual((answer.status, answer.header("upgrade")), (426, "websocket"))

    def test_version_1_0_cannot_be_upgraded(self) -> None:
        self.assertRefused(handshake(version="1.0"), 505, "version_unsupported")

    def test_version_13_is_needed_and_named(self) -> None:
        for versions in ([], [""], ["8"], ["14"], ["013"], ["13, 8"], ["13", "8"], ["13", "13"], ["\u0661\u0663"]):
            error = self.assertRefused(handshake(sec_websocket_version=versions), 426, "version_unsupported")
            self.assertIn(("Sec-WebSocket-Version", "13"), error.headers)  # RFC 6455 4.4

    def test_the_key_is_sixteen_bytes_in_canonical_base64_once(self) -> None:
        for key in (KEY, "AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==", "+/+/+/+/+/+/+/+/+/+/+w=="):
            check_upgrade(handshake(sec_websocket_key=[key]))
        for keys in (
            *([], [""], [KEY, KEY], [KEY[:-1]], [KEY[:-2]], [KEY + "="], [KEY + KEY], [KEY + "AAAA"], ["A" * 24]),
            *(["dGhlIHNhbXBsZSBub25jZR=="], ["dGhlIHNhbXBsZSBub25jZT=="]),  # the same bytes, written otherwise
            *(["dGhlIHNhbXBsZSBub25j"], ["dGhlIHNhbXBsZSBub25jZXg="]),  # 15 and 17 bytes
            *(["_____________________w=="], ["dGhl IHNhbXBsZSBub25jZQ=="], ["dGhlIHNhbXBsZSBub25jZQ==\n"]),
            *(["x" * 10_000], [f"{KEY}, {KEY}"], ["===="], ["=" * 24]),
        ):
            with self.subTest(keys=keys):
                self.assertRefused(handshake(sec_websocket_key=keys), 400, "key_invalid")


class OddBytes(HTTPTestCase):
    """WS-2: in whatever header, a 400 and never an exception."""

    HEADERS = ("Connection", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "A")

    def test_a_good_handshake_is_read(self) -> None:
        (request,) = self.assertRequests(wire_handshake())
        check_upgrade(request)

    def test_bytes_outside_ascii_are_refused(self) -> None:
        for name in self.HEADERS:
            for odd in ("\xff", "a\x80", "\xc3\xa9", "permessage-deflate; x=\xff"):
                self.assertRefused(wire_handshake(f"{name}: {odd}"), 400)
        for host in ("\xff", "caf\xe9", "x\x80"):
            self.assertRefused(wire_handshake(host=host), 400)

    def test_wsproto_lets_a_unicode_error_out_negative_control(self) -> None:
        for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
            naive = WSConnection(ConnectionType.SERVER)
            with self.assertRaises(UnicodeDecodeError):
                naive.receive_data(wire_handshake(f"{name}: \xff"))


class Offered(unittest.TestCase):
    def test_subprotocols_come_in_the_clients_order_and_case(self) -> None:
        for lines, found in (
            ([], []),
            ([""], []),
            ([" , ,"], []),
            (["a"], ["a"]),
            (["a, B ,c"], ["a", "B", "c"]),
            (["b,a", "c"], ["b", "a", "c"]),
            (["bearer.x.y.z", "gochatsecure.v1.json"], ["bearer.x.y.z", "gochatsecure.v1.json"]),
        ):
            self.assertEqual(offered(handshake(sec_websocket_protocol=lines)), found)


class Acceptance(unittest.TestCase):
    def test_it_proves_the_key_as_in_the_rfc(self) -> None:
        """RFC 6455 1.3."""
        self.assertEqual(
            acceptance(handshake(), None),
            [
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ],
        )

    def test_it_names_the_chosen_subprotocol(self) -> None:
        headers = acceptance(handshake(sec_websocket_protocol=["a, b"]), "b")
        self.assertEqual(headers[-1], ("Sec-WebSocket-Protocol", "b"))

    def test_no_extension_is_ever_accepted(self) -> None:
        """WS-5."""
        request = handshake(sec_websocket_extensions=["permessage-deflate; client_max_window_bits"])
        check_upgrade(request)
        self.assertNotIn("sec-websocket-extensions", [name.lower() for name, _ in acceptance(request, None)])
