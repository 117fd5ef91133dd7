"""The frames that we read ourselves (WS-11): exactly those of which wsproto would make the same text."""

from __future__ import annotations

import random
import unittest
from unittest import mock

from wsproto.events import BytesMessage

from gochatsecure.wire.frames import frame, frame_size, take_text
from gochatsecure.wire.websocket import Closed, Control, Received, Text, WebSocketServer
from tests.wire.support import BINARY, CLOSE, CONTINUATION, LIMITS, PING, PONG, TEXT, client_frame, cut

MOST = LIMITS.message


def taken(data: bytes, most: int = MOST) -> tuple[str | None, bytes]:
    waiting = bytearray(data)
    return take_text(waiting, most), bytes(waiting)


class TakingATextOff(unittest.TestCase):
    def test_what_comes_behind_it_stays(self) -> None:
        for size in (0, 1, 3, 4, 5, 125, 126, 127, 65535):
            for behind in (b"", b"\x81", client_frame(TEXT, b"next")):
                self.assertEqual(taken(client_frame(TEXT, b"x" * size) + behind), ("x" * size, behind))

    def test_every_mask_is_taken_off_and_every_character_kept(self) -> None:
        text = "grüß dich, 日本 😀\x00"
        for mask in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04", b"\x00\x00\x00\x80"):
            payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text.encode()))
            self.assertEqual(taken(bytes((0x81, 0x80 + len(payload))) + mask + payload)[0], text)

    def test_nothing_is_taken_before_all_of_it_is_there(self) -> None:
        for size in (0, 5, 200):
            whole = client_frame(TEXT, b"x" * size)
            for end in range(len(whole)):
                self.assertEqual(taken(whole[:end]), (None, whole[:end]))

    def test_nothing_else_is_taken(self) -> None:
        simple = client_frame(TEXT, b"hello")
        for kind in (CONTINUATION, BINARY, CLOSE, PING, PONG, 3, 15):
            self._is_left(bytes((0x80 | kind,)) + simple[1:])
        self._is_left(client_frame(TEXT, b"hello", fin=False))
        for reserved in (0x40, 0x20, 0x10):
            self._is_left(bytes((simple[0] | reserved,)) + simple[1:])
        self._is_left(frame("hello"))  # unmasked, as a client's may not be
        self._is_left(frame("x" * 200))
        self._is_left(client_frame(TEXT, b"\xff\xfe"))
        self._is_left(client_frame(TEXT, "😀".encode()[:3]))
        self._is_left(b"\x81\xfe\x00\x05" + simple[2:])  # five bytes, and two for saying so
        self._is_left(b"\x81\xff" + bytes(7) + b"\x05" + bytes(4) + b"hello")
        self._is_left(client_frame(TEXT, b"x" * 65536))

    def _is_left(self, data: bytes) -> None:
        text, left = taken(data + b"behind it" * 30)
        self.assertIsNone(text)
        self.assertTrue(left == data + b"behind it" * 30)

    def test_a_text_has_at_most_so_many_bytes(self) -> None:
        self.assertEqual(taken(client_frame(TEXT, b"12345"), 5)[0], "12345")
        self.assertIsNone(taken(client_frame(TEXT, b"123456"), 5)[0])
        self.assertIsNone(taken(client_frame(TEXT, "ééé".encode()), 5)[0])


class TheSizeOfAFrame(unittest.TestCase):
    def test_it_is_known_from_its_header(self) -> None:
        for data in (client_frame(PING), client_frame(TEXT, b"x" * 200), client_frame(TEXT, b"x" * 70000), frame("x")):
            self.assertEqual(frame_size(bytearray(data + b"behind it")), len(data))

    def test_it_is_not_known_before(self) -> None:
        for data, header in ((client_frame(TEXT, b"x" * 200), 4), (client_frame(TEXT, b"x" * 70000), 10)):
            for end in range(header):
                self.assertIsNone(frame_size(bytearray(data[:end])))
            self.assertEqual(frame_size(bytearray(data[:header])), len(data))


def stream(chance: random.Random) -> bytes:
    """Frames as a client may send them, among them many that it may not."""
    made = bytearray()
    for _ in range(chance.randrange(1, 8)):
        kind = chance.choice([TEXT, TEXT, TEXT, CONTINUATION, PING, PONG, BINARY, CLOSE, 3])
        size = chance.choice([0, 1, 5, 125, 126, 300]) if kind < CLOSE else chance.choice([0, 2, 5])
        payload = "é".encode() * size if chance.random() < 0.3 else b"a" * size
        if kind == CLOSE:
            payload = chance.choice([b"", b"\x03\xe8bye", b"\x00"])
        one = bytearray(client_frame(kind, payload, fin=chance.random() < 0.8))
        if chance.random() < 0.05:
            one[chance.randrange(min(14, len(one)))] ^= 1 << chance.randrange(8)
        made += one
    return bytes(made)


def received(fed: list[bytes]) -> list[Received]:
    server = WebSocketServer(LIMITS)
    found: list[Received] = []
    for number, piece in enumerate(fed):
        if not server.ended:
            server.feed(piece)
            found += server.receive(float(number))
    return found


class BesideWsproto(unittest.TestCase):
    def test_wsproto_makes_the_same_of_all_that_a_client_may_send(self) -> None:
        ours = 0
        for seed in range(600):
            chance = random.Random(seed)
            data = stream(chance)
            fed = cut(data, [chance.randrange(10**6) for _ in range(chance.randrange(6))])
            with mock.patch("gochatsecure.wire.websocket.take_text", wraps=take_text) as taking:
                found = received(fed)
            ours += taking.called
            with mock.patch("gochatsecure.wire.websocket.take_text", return_value=None):
                self.assertEqual(found, received(fed), f"seed {seed}: {data!r}")
        self.assertGreater(ours, 200)

    def test_a_text_between_the_frames_of_another_is_not_taken_for_one(self) -> None:
        server = WebSocketServer(LIMITS)
        server.feed(client_frame(TEXT, b"half", fin=False) + client_frame(TEXT, b"whole"))
        (closed,) = server.receive(0.0)
        self.assertNotIsInstance(closed, Text)

    def test_a_text_between_the_frames_of_a_binary_message_is_not_taken_for_one(self) -> None:
        class TakesBinary(WebSocketServer):
            __slots__ = ()

            def _binary(self, event: BytesMessage) -> Received:
                return Control(b"")

        begun, text = client_frame(BINARY, b"a", fin=False), client_frame(TEXT, b"b")
        for data, ends in ((begun + client_frame(CONTINUATION, b"c") + text, Text), (begun + text, Closed)):
            server = TakesBinary(LIMITS)
            server.feed(data)
            self.assertIsInstance([*server.receive(0.0)][-1], ends)

    def test_the_end_of_a_frame_is_not_taken_for_the_next_one(self) -> None:
        inner = client_frame(TEXT, b"not a frame")
        mask = b"\x00\x00\x00\x00"
        outer = bytes((0x80 | BINARY, 0x80 + len(inner))) + mask + inner
        self.assertNotIn(Text("not a frame"), received([outer[:6], outer[6:]]))
        outer, behind = bytes((0x80 | TEXT, 0x80 + 60)) + mask + b"x" * 60, client_frame(TEXT, b"next")
        self.assertEqual(received([outer[:10], outer[10:] + behind]), [Text("x" * 60), Text("next")])
