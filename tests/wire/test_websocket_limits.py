"""The bounds of one WebSocket (WS-4, WS-6): at the limit all is well, one past it the connection closes."""

from __future__ import annotations

import unittest
from collections.abc import Iterable

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from gochatsecure.limits import Limits
from gochatsecure.wire.websocket import (
    MESSAGE_TOO_BIG,
    POLICY_VIOLATION,
    Closed,
    Control,
    Received,
    Text,
    WebSocketServer,
)
from tests.wire.support import CONTINUATION, LIMITS, PING, PONG, TEXT, client_frame, pieces

SMALL = Limits(message=12, fragments=4, message_s=10.0, control_frames_per_s=3)


def fragmented(parts: Iterable[bytes]) -> bytes:
    """One message, a frame for each part."""
    *first, last = parts
    data = b"".join(
        client_frame(CONTINUATION if number else TEXT, part, fin=False) for number, part in enumerate(first)
    )
    return data + client_frame(CONTINUATION if first else TEXT, last)


class LimitsTestCase(unittest.TestCase):
    def received(self, data: bytes, limits: Limits = SMALL) -> list[Received]:
        """The same however the bytes arrive."""
        results: list[list[Received]] = []
        for size in (max(1, len(data)), 1, 5):
            server = WebSocketServer(limits)
            found: list[Received] = []
            for piece in pieces(data, size):
                if not server.ended:
                    server.feed(piece)
                    found += server.receive(0.0)
            results.append(found)
        self.assertEqual(results[1:], results[:1] * 2)
        return results[0]

    def assertCloses(self, data: bytes, code: int, limits: Limits = SMALL) -> None:
        (last,) = self.received(data, limits)
        assert isinstance(last, Closed)
        self.assertEqual(last.code, code)
        self.assertEqual(last.answer[2:4], code.to_bytes(2, "big"))
        self.assertEqual(last.answer[4:].decode(), last.fault)


class Size(LimitsTestCase):
    def test_the_longest_message_is_taken(self) -> None:
        for text in ("x" * 12, "é" * 6, "日" * 4, "😀" * 3, "é" * 5 + "xx"):
            self.assertEqual(self.received(client_frame(TEXT, text.encode())), [Text(text)])
            self.assertEqual(self.received(fragmented(pieces(text.encode(), 5))), [Text(text)])

    def test_one_byte_more_is_too_big(self) -> None:
        for text in ("x" * 13, "é" * 6 + "x", "日" * 4 + "x", "😀" * 3 + "x"):
            self.assertCloses(client_frame(TEXT, text.encode()), MESSAGE_TOO_BIG)
            self.assertCloses(fragmented(pieces(text.encode(), 5)), MESSAGE_TOO_BIG)

    def test_that_of_the_defaults_is_exact(self) -> None:
        for unit in (b"x", "é".encode()):
            whole = unit * (LIMITS.message // len(unit))
            for message in (client_frame(TEXT, whole), fragmented(pieces(whole, 4096))):
                server = WebSocketServer(LIMITS)
                server.feed(message)
                self.assertEqual(list(server.receive(0.0)), [Text(whole.decode())])
            server = WebSocketServer(LIMITS)
            server.feed(client_frame(TEXT, whole + b"x"))
            (last,) = server.receive(0.0)
            assert isinstance(last, Closed)
            self.assertEqual(last.code, MESSAGE_TOO_BIG)

    def test_it_is_too_big_before_it_ends(self) -> None:
        self.assertCloses(client_frame(TEXT, b"x" * 1000)[:30], MESSAGE_TOO_BIG)
        self.assertCloses(client_frame(TEXT, b"x" * 13, fin=False), MESSAGE_TOO_BIG)
        self.assertCloses(b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4 + 13), MESSAGE_TOO_BIG)

    def test_each_message_counts_by_itself(self) -> None:
        data = client_frame(TEXT, b"x" * 12) + fragmented([b"x" * 6, b"x" * 6])
        self.assertEqual(self.received(data * 50), [Text("x" * 12)] * 100)
        *_, last = self.received(data + client_frame(TEXT, b"x" * 13))
        self.assertIsInstance(last, Closed)

    def test_wsproto_has_no_limit_negative_control(self) -> None:
        naive = Connection(ConnectionType.SERVER)
        naive.receive_data(client_frame(TEXT, bytes(1024 * 1024)))
        self.assertEqual([len(event.data) for event in naive.events() if isinstance(event, TextMessage)], [1024 * 1024])


class Fragments(LimitsTestCase):
    def test_as_many_as_may_be_are_taken(self) -> None:
        self.assertEqual(self.received(fragmented([b"a", b"b", b"c", b"d"])), [Text("abcd")])
        self.assertEqual(self.received(fragmented([b""] * 4)), [Text("")])
        self.assertEqual(self.received(fragmented([b"x"] * 64), LIMITS), [Text("x" * 64)])

    def test_one_more_is_refused(self) -> None:
        self.assertCloses(fragmented([b"x"] * 5), POLICY_VIOLATION)
        self.assertCloses(fragmented([b"x"] * 65), POLICY_VIOLATION, LIMITS)

    def test_empty_ones_count(self) -> None:
        self.assertCloses(fragmented([b""] * 5), POLICY_VIOLATION)
        self.assertCloses(fragmented([b"x"] + [b""] * 63 + [b"x"]), POLICY_VIOLATION, LIMITS)

    def test_each_message_counts_by_itself(self) -> None:
        self.assertEqual(self.received(fragmented([b"x"] * 4) * 20), [Text("xxxx")] * 20)
        *_, last = self.received(fragmented([b"x"] * 4) + fragmented([b"x"] * 5))
        self.assertIsInstance(last, Closed)

    def test_pieces_of_one_frame_are_no_fragments(self) -> None:
        server = WebSocketServer(Limits(fragments=1))
        found: list[Received] = []
        for byte in pieces(client_frame(TEXT, b"x" * 100), 1):
            server.feed(byte)
            found += server.receive(0.0)
        self.assertEqual(found, [Text("x" * 100)])

    def test_wsproto_tells_of_each_empty_one_negative_control(self) -> None:
        naive = Connection(ConnectionType.SERVER)
        naive.receive_data(fragmented([b""] * 10_000))
        self.assertEqual(len(list(naive.events())), 10_000)


class ControlFrames(LimitsTestCase):
    def test_a_few_in_a_second_are_answered(self) -> None:
        self.assertEqual(self.received(client_frame(PING) * 3), [Control(b"\x8a\x00")] * 3)

    def test_one_more_is_refused(self) -> None:
        for opcodes in ([PING] * 4, [PONG] * 4, [PING, PONG, PING, PONG]):
            *first, last = self.received(b"".join(client_frame(opcode) for opcode in opcodes))
            self.assertEqual({type(one) for one in first}, {Control})
            assert isinstance(last, Closed)
            self.assertEqual((len(first), last.code), (3, POLICY_VIOLATION))

    def test_messages_between_them_change_nothing(self) -> None:
        found = self.received((client_frame(PING) + client_frame(TEXT, b"x")) * 4)
        self.assertEqual([type(one) for one in found], [Control, Text] * 3 + [Closed])

    def test_each_second_counts_by_itself(self) -> None:
        server = WebSocketServer(SMALL)
        for now in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1000.0):
            server.feed(client_frame(PING))
            self.assertEqual(list(server.receive(now)), [Control(b"\x8a\x00")], now)

    def test_a_new_second_begins_a_second_after_the_old_one(self) -> None:
        server = WebSocketServer(SMALL)
        for now in (100.0, 101.0):
            server.feed(client_frame(PING) * 3)
            self.assertEqual(len(list(server.receive(now))), 3)
        self.assertFalse(server.ended)

    def test_the_clock_may_begin_anywhere(self) -> None:
        for start in (0.0, 0.9, 1e9):
            server = WebSocketServer(SMALL)
            server.feed(client_frame(PING) * 4)
            self.assertEqual([type(one) for one in server.receive(start)], [Control] * 3 + [Closed])


class Lateness(LimitsTestCase):
    def test_a_message_may_take_its_time(self) -> None:
        server = WebSocketServer(SMALL)
        server.feed(client_frame(TEXT, b"a", fin=False))
        self.assertEqual(list(server.receive(100.0)), [])
        self.assertEqual(server.since, 100.0)
        self.assertFalse(server.is_late(110.0))
        server.feed(client_frame(CONTINUATION, b"b", fin=False))
        self.assertEqual(list(server.receive(110.0)), [])
        self.assertEqual(server.since, 100.0)
        server.feed(client_frame(CONTINUATION, b"c"))
        self.assertEqual(list(server.receive(110.0)), [Text("abc")])
        self.assertIsNone(server.since)
        self.assertFalse(server.is_late(1000.0))

    def test_one_that_takes_longer_is_refused(self) -> None:
        server = WebSocketServer(SMALL)
        server.feed(client_frame(TEXT, b"a", fin=False))
        self.assertEqual(list(server.receive(100.0)), [])
        self.assertTrue(server.is_late(110.5))
        server.feed(client_frame(CONTINUATION, b"b", fin=False))
        (last,) = server.receive(110.5)
        assert isinstance(last, Closed)
        self.assertEqual(last.code, POLICY_VIOLATION)

    def test_so_is_one_frame_that_drips_in(self) -> None:
        server = WebSocketServer(SMALL)
        found: list[Received] = []
        for second, byte in enumerate(pieces(client_frame(TEXT, b"x" * 12), 1)):
            if not server.ended:
                server.feed(byte)
                found += server.receive(float(second * 2))
        self.assertEqual([type(one) for one in found], [Closed])

    def test_pings_in_between_win_no_time(self) -> None:
        server = WebSocketServer(SMALL)
        server.feed(client_frame(TEXT, b"a", fin=False) + client_frame(PING))
        self.assertEqual(len(list(server.receive(100.0))), 1)
        server.feed(client_frame(PING))
        list(server.receive(109.0))
        self.assertTrue(server.is_late(111.0))

    def test_the_silence_between_two_messages_is_not_late(self) -> None:
        server = WebSocketServer(SMALL)
        for now in (0.0, 100.0, 200.0):
            server.feed(fragmented([b"a", b"b"]))
            self.assertEqual(list(server.receive(now)), [Text("ab")])
