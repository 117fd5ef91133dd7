"""Frames in, texts out, and what is answered to all else (WS-3, WS-5 to WS-7); texts in, frames out."""

from __future__ import annotations

import unittest
from collections.abc import Iterable

from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, TextMessage

from gochatsecure.wire import websocket
from gochatsecure.wire.frames import PING as OUR_PING
from gochatsecure.wire.frames import frame
from gochatsecure.wire.websocket import Closed, Control, Received, Text, WebSocketServer
from tests.wire.support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LIMITS,
    PING,
    PONG,
    TEXT,
    PropertyTestCase,
    client_frame,
    cut,
    get,
    pieces,
)

try:
    from hypothesis import strategies as st
except ImportError:
    pass

NOW = 1000.0


def receive_all(server: WebSocketServer, fed: Iterable[bytes], now: float = NOW) -> list[Received]:
    """What these bytes mean; none is fed after Closed."""
    received: list[Received] = []
    for piece in fed:
        if server.ended:
            break
        server.feed(piece)
        received.extend(server.receive(now))
    return received


def received(*frames: bytes) -> list[Received]:
    return receive_all(WebSocketServer(LIMITS), [b"".join(frames)])


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


def decoded(data: bytes) -> list[Event]:
    """What a client makes of our frames."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


class WebSocketTestCase(unittest.TestCase):
    def assertCloses(self, data: bytes, code: int, fault: str | None = None, before: Iterable[Received] = ()) -> None:
        """With this code in a Close frame of ours, however the bytes arrive; a text behind them is not read."""
        after = client_frame(TEXT, b"after")
        for fed in ([data + after], [*pieces(data, 1), after], [*pieces(data, 3), after]):
            server = WebSocketServer(LIMITS)
            *first, last = receive_all(server, fed)
            self.assertEqual(first, list(before))
            assert isinstance(last, Closed), last
            self.assertEqual(last.code, code)
            if fault is not None:
                self.assertEqual(last.fault, fault)
            (answer,) = decoded(last.answer)
            assert isinstance(answer, CloseConnection)
            self.assertEqual(answer.code, code if code != 1005 else 1000)
            self.assertTrue(server.ended)
            self.assertEqual(server.close(1000, ""), b"")  # that was our Close


class Texts(unittest.TestCase):
    def test_a_text_comes_in_one_frame(self) -> None:
        for text in ("", "hi", "é", "日本語 😀", "a" * 125, "a" * 126, "a" * 65535, "a" * 65536, "\x00\u2028"):
            self.assertEqual(received(client_frame(TEXT, text.encode())), [Text(text)])

    def test_it_comes_in_several_frames(self) -> None:
        parts = client_frame(TEXT, b"a", fin=False), client_frame(CONTINUATION, b"", fin=False)
        self.assertEqual(received(*parts, client_frame(CONTINUATION, b"bc")), [Text("abc")])
        self.assertEqual(received(client_frame(TEXT, fin=False), client_frame(CONTINUATION)), [Text("")])

    def test_it_comes_byte_by_byte(self) -> None:
        data = client_frame(TEXT, "grüß".encode()) + client_frame(TEXT, b"x" * 200)
        self.assertEqual(receive_all(WebSocketServer(LIMITS), pieces(data, 1)), [Text("grüß"), Text("x" * 200)])

    def test_a_character_may_be_split_over_frames(self) -> None:
        whole = "é日😀".encode()
        *parts, last = pieces(whole, 1)
        frames = [client_frame(CONTINUATION if number else TEXT, part, fin=False) for number, part in enumerate(parts)]
        self.assertEqual(received(*frames, client_frame(CONTINUATION, last)), [Text("é日😀")])

    def test_pings_between_its_frames_are_answered_at_once(self) -> None:
        found = received(
            client_frame(TEXT, b"a", fin=False),
            client_frame(PING, b"1"),
            client_frame(CONTINUATION, b"b", fin=False),
            client_frame(PONG, b"2"),
            client_frame(CONTINUATION, b"c"),
        )
        self.assertEqual(found, [Control(b"\x8a\x011"), Control(b""), Text("abc")])

    def test_one_message_leaves_nothing_to_the_next(self) -> None:
        server = WebSocketServer(LIMITS)
        frames = client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b") + client_frame(TEXT, b"c")
        self.assertEqual(receive_all(server, [frames]), [Text("ab"), Text("c")])
        self.assertIsNone(server.since)

    def test_any_mask_will_do(self) -> None:
        for mask in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"abcd"):
            self.assertEqual(received(client_frame(TEXT, b"masked", mask=mask)), [Text("masked")])


class BehindTheHandshake(unittest.TestCase):
    """WS-3: a client may send frames before it has seen the 101."""

    def test_frames_are_delivered(self) -> None:
        data = client_frame(TEXT, b"early") + client_frame(TEXT, b"bird")
        for place in range(len(data) + 1):
            server = WebSocketServer(LIMITS, data[:place])
            found = [*server.receive(NOW), *receive_all(server, [data[place:]])]
            self.assertEqual(found, [Text("early"), Text("bird")])

    def test_wsprotos_own_server_drops_them_negative_control(self) -> None:
        naive = WSConnection(ConnectionType.SERVER)
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        head = get("/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
        naive.receive_data(head + client_frame(TEXT, b"early"))
        self.assertEqual(len(list(naive.events())), 1)
        naive.send(AcceptConnection())
        naive.receive_data(client_frame(TEXT, b"bird"))
        self.assertEqual([event.data for event in naive.events() if isinstance(event, TextMessage)], ["bird"])


class Laziness(unittest.TestCase):
    def test_who_stops_and_goes_on_misses_nothing(self) -> None:
        data = b"".join(client_frame(TEXT, b"%d" % number) + client_frame(PING, b"%d" % number) for number in range(5))
        for size in (1, 7, len(data)):
            for each in (1, 2, 3):
                server = WebSocketServer(LIMITS)
                found: list[Received] = []
                for piece in pieces(data, size):
                    server.feed(piece)
                    while some := [one for _, one in zip(range(each), server.receive(NOW), strict=False)]:
                        found += some
                texts = [one.text for one in found if isinstance(one, Text)]
                self.assertEqual(texts, ["0", "1", "2", "3", "4"])
                self.assertEqual(len(found), 10)

    def test_what_is_fed_while_one_has_stopped_comes_later(self) -> None:
        server = WebSocketServer(LIMITS)
        server.feed(client_frame(TEXT, b"1") + client_frame(TEXT, b"2"))
        self.assertEqual(next(server.receive(NOW)), Text("1"))
        server.feed(client_frame(TEXT, b"3"))
        self.assertEqual(list(server.receive(NOW)), [Text("2"), Text("3")])


class WrongFrames(WebSocketTestCase):
    def test_binary_is_not_taken(self) -> None:
        """WS-6."""
        for data in (client_frame(BINARY, b"x"), client_frame(BINARY, b"x", fin=False), client_frame(BINARY)):
            self.assertCloses(data, 1003, "text messages only")

    def test_a_client_must_mask(self) -> None:
        """RFC 6455 5.1."""
        for opcode in (TEXT, PING, CLOSE):
            self.assertCloses(client_frame(opcode, mask=None), 1002)

    def test_a_reserved_bit_stands_for_an_extension_and_there_is_none(self) -> None:
        """WS-5."""
        for bit in (1, 2, 4, 7):
            for opcode in (TEXT, PING):
                self.assertCloses(client_frame(opcode, reserved=bit), 1002)

    def test_unknown_opcodes_are_refused(self) -> None:
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.assertCloses(client_frame(opcode), 1002)

    def test_continuations_come_in_their_place_only(self) -> None:
        self.assertCloses(client_frame(CONTINUATION, b"x"), 1002)
        begun = client_frame(TEXT, b"a", fin=False)
        self.assertCloses(begun + client_frame(TEXT, b"b"), 1002)
        self.assertCloses(begun + client_frame(BINARY, b"b"), 1002)

    def test_control_frames_are_short_and_whole(self) -> None:
        """RFC 6455 5.5."""
        for opcode in (PING, PONG, CLOSE):
            self.assertCloses(client_frame(opcode, bytes(126)), 1002)
            self.assertCloses(client_frame(opcode, fin=False), 1002)

    def test_a_length_is_written_as_shortly_as_it_can_be(self) -> None:
        for length in (b"\xfe\x00\x7d", b"\xff\x00\x00\x00\x00\x00\x00\xff\xff", b"\xff\x80" + bytes(7)):
            self.assertCloses(b"\x81" + length + b"mask", 1002)

    def test_a_text_is_utf_8(self) -> None:
        for odd in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\xc3", b"\xc3\x28"):
            self.assertCloses(client_frame(TEXT, odd), 1007)
            self.assertCloses(client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, odd), 1007)

    def test_what_came_before_is_still_delivered(self) -> None:
        data = client_frame(TEXT, b"good") + client_frame(BINARY)
        self.assertCloses(data, 1003, before=[Text("good")])

    def test_wsproto_stays_open_after_a_fault_and_keeps_what_comes_negative_control(self) -> None:
        """WS-7."""
        naive = Connection(ConnectionType.SERVER)
        naive.receive_data(client_frame(15))
        self.assertEqual(len(list(naive.events())), 1)
        self.assertEqual(naive.state.name, "OPEN")
        for _ in range(100):
            naive.receive_data(bytes(1000))
        self.assertEqual(list(naive.events()), [])
        self.assertGreater(len(naive._proto._frame_decoder.buffer), 100_000)


class Closing(WebSocketTestCase):
    def test_a_close_is_answered_with_its_code_and_nobody_is_to_blame(self) -> None:
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4401, 4999):
            for reason in (b"", b"bye", "grüß".encode(), bytes(123)):
                self.assertCloses(client_frame(CLOSE, close_payload(code, reason)), code, "")

    def test_one_without_a_code_is_normal(self) -> None:
        self.assertCloses(client_frame(CLOSE), 1005, "")

    def test_codes_that_may_not_be_sent_are_a_protocol_error(self) -> None:
        """RFC 6455 7.4."""
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            self.assertCloses(client_frame(CLOSE, close_payload(code)), 1002)

    def test_half_a_code_is_a_protocol_error(self) -> None:
        self.assertCloses(client_frame(CLOSE, b"\x03"), 1002)

    def test_a_reason_is_utf_8(self) -> None:
        self.assertCloses(client_frame(CLOSE, close_payload(1000, b"\xff")), 1007)

    def test_one_in_the_midst_of_a_message_ends_it_unsaid(self) -> None:
        self.assertCloses(client_frame(TEXT, b"half", fin=False) + client_frame(CLOSE, close_payload(1001)), 1001, "")

    def test_the_peers_answer_to_ours_is_answered_no_more(self) -> None:
        server = WebSocketServer(LIMITS)
        (ours,) = decoded(server.close(1001, "soon"))
        assert isinstance(ours, CloseConnection)
        self.assertEqual((ours.code, ours.reason), (1001, "soon"))
        found = receive_all(server, [client_frame(TEXT, b"crossed") + client_frame(CLOSE, close_payload(1001))])
        self.assertEqual(found, [Text("crossed"), Closed(b"", 1001, "")])

    def test_ours_is_said_once(self) -> None:
        server = WebSocketServer(LIMITS)
        self.assertNotEqual(server.close(1000, ""), b"")
        self.assertEqual(server.close(1001, "again"), b"")

    def test_a_reason_of_ours_always_fits_its_frame(self) -> None:
        for reason in ("x" * 123, "x" * 500, "é" * 500, "日" * 500):
            sent = WebSocketServer(LIMITS).close(1000, reason)
            (ours,) = decoded(sent)
            assert isinstance(ours, CloseConnection)
            self.assertTrue(ours.reason and reason.startswith(ours.reason))

    def test_a_fault_after_our_close_needs_no_second_one(self) -> None:
        for data in (client_frame(TEXT, mask=None), client_frame(BINARY), client_frame(CLOSE, b"\x03")):
            server = WebSocketServer(LIMITS)
            server.close(1001, "")
            (last,) = receive_all(server, [data])
            assert isinstance(last, Closed)
            self.assertEqual(last.answer, b"")
            self.assertTrue(server.ended)

    def test_a_ping_that_crosses_our_close_is_passed_over(self) -> None:
        server = WebSocketServer(LIMITS)
        server.close(1001, "")
        found = receive_all(server, [client_frame(PING, b"?") + client_frame(CLOSE, close_payload(1001))])
        self.assertEqual(found, [Control(b""), Closed(b"", 1001, "")])

    def test_nothing_follows_it_even_if_one_asks_again(self) -> None:
        for data in (client_frame(BINARY), client_frame(15), client_frame(CLOSE)):
            server = WebSocketServer(LIMITS)
            server.feed(data + client_frame(TEXT, b"after") + client_frame(BINARY) + client_frame(PING))
            self.assertEqual(len(list(server.receive(NOW))), 1)
            for _ in range(3):
                self.assertEqual(list(server.receive(NOW)), [])

    def test_the_codes_are_those_that_clients_know(self) -> None:
        for name, code in (
            ("NORMAL", 1000),
            ("GOING_AWAY", 1001),
            ("PROTOCOL_ERROR", 1002),
            ("UNSUPPORTED_DATA", 1003),
            ("POLICY_VIOLATION", 1008),
            ("MESSAGE_TOO_BIG", 1009),
            ("INTERNAL_ERROR", 1011),
            ("TRY_AGAIN_LATER", 1013),
            ("TOKEN_EXPIRED", 4401),
            ("SLOW_CONSUMER", 4408),
            ("TOO_MANY_SESSIONS", 4409),
            ("FLOODING", 4429),
        ):
            self.assertEqual(getattr(websocket, name), code)


class OurFrames(unittest.TestCase):
    def test_a_client_reads_them_whatever_their_size(self) -> None:
        for size in (0, 1, 125, 126, 127, 65535, 65536, 100_000):
            for unit in ("x", "é"):
                text = unit * (size // len(unit.encode())) + "x" * (size % len(unit.encode()))
                data = frame(text)
                (event,) = decoded(data)
                assert isinstance(event, TextMessage)
                self.assertEqual((event.data, event.message_finished), (text, True))
                head = 2 if size < 126 else 4 if size < 65536 else 10
                self.assertEqual((len(data), data[0]), (head + size, 0x81))
                self.assertLess(data[1], 128)  # unmasked, so the same for everybody
                self.assertIs(type(data), bytes)

    def test_several_may_be_sent_at_once(self) -> None:
        texts = [event.data for event in decoded(frame("a") + frame("") + frame("b")) if isinstance(event, TextMessage)]
        self.assertEqual(texts, ["a", "", "b"])

    def test_one_that_cannot_be_made_does_not_spoil_the_next(self) -> None:
        with self.assertRaises(UnicodeEncodeError):
            frame("\ud800")
        self.assertEqual(frame("a"), b"\x81\x01a")

    def test_our_ping_is_empty(self) -> None:
        self.assertEqual(OUR_PING, b"\x89\x00")
        self.assertEqual(decoded(OUR_PING), [Ping(b"")])

    def test_a_pong_repeats_what_the_ping_said(self) -> None:
        for payload in (b"", b"x", bytes(range(125))):
            self.assertEqual(received(client_frame(PING, payload)), [Control(bytes([0x8A, len(payload)]) + payload)])


class Generated(PropertyTestCase):
    def test_texts_come_out_as_they_went_in_however_they_are_framed_and_cut(self) -> None:
        words = st.text(st.characters(codec="utf-8"), max_size=40)
        places = st.lists(st.integers(0, 10_000), max_size=6)

        def holds(messages: list[tuple[str, list[int], bytes]], places: list[int], pinged: bool) -> None:
            data = b""
            for text, fragments, mask in messages:
                parts = cut(text.encode(), fragments) or [b""]
                for number, part in enumerate(parts):
                    opcode, fin = CONTINUATION if number else TEXT, number == len(parts) - 1
                    data += client_frame(opcode, part, fin=fin, mask=mask)
                    data += client_frame(PONG, b"", mask=mask) if pinged and not number else b""
            found = receive_all(WebSocketServer(LIMITS), cut(data, places))
            self.assertEqual([one.text for one in found if isinstance(one, Text)], [text for text, _, _ in messages])
            self.assertEqual(len(found), len(messages) * (1 + pinged))

        messages = st.lists(st.tuples(words, places, st.binary(min_size=4, max_size=4)), max_size=8)
        self.check(holds, examples=500, messages=messages, places=places, pinged=st.booleans())

    def test_any_bytes_are_texts_and_controls_and_at_most_one_end(self) -> None:
        masks = st.sampled_from([b"\x00\x00\x00\x00", b"mask", None])
        frames = st.builds(
            lambda opcode, payload, fin, reserved, mask: client_frame(
                opcode, payload, fin=fin, reserved=reserved, mask=mask
            ),
            st.sampled_from([TEXT, TEXT, CONTINUATION, CONTINUATION, PING, PONG, CLOSE, BINARY, 3, 15]),
            st.one_of(st.binary(max_size=130), st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace"))),
            st.booleans(),
            st.sampled_from([0, 0, 0, 0, 0, 1]),
            masks,
        )
        streams = st.lists(st.one_of(frames, frames, frames, st.binary(max_size=10)), max_size=10).map(b"".join)

        def holds(data: bytes, places: list[int]) -> None:
            whole = receive_all(WebSocketServer(LIMITS), [data])
            self.assertEqual(receive_all(WebSocketServer(LIMITS), pieces(data, 1)), whole)
            self.assertEqual(receive_all(WebSocketServer(LIMITS), cut(data, places)), whole)
            self.assertLessEqual(sum(isinstance(one, Closed) for one in whole), 1)
            self.assertNotIn(Closed, map(type, whole[:-1]))

        self.check(holds, examples=500, data=streams, places=st.lists(st.integers(0, 2000), max_size=6))
