"""Raw frames against a WebSocket, over real TLS: what breaks RFC 6455, floods, and hostile JSON."""

from __future__ import annotations

import json

from gochatsecure import Limits
from tests.attack.support import AttackTestCase
from tests.live.support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    eventually,
    frame,
    frames,
    handshake,
    hear,
    server_end,
    skip,
    texts,
)
from tests.support import Raw
from tests.wire.support import client_frame, pieces

FLOOD = 2000


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(code.to_bytes(2, "big") + reason, CLOSE)


def code_of(received: bytes) -> int:
    """The code in the Close frame with which it ends; 0 for an empty one."""
    opcode, payload = frames(received)[-1]
    assert opcode == CLOSE, frames(received)[-3:]
    return int.from_bytes(payload[:2], "big")


class Attack(AttackTestCase):
    async def mallory(self) -> Raw:
        """A session of whoever attacks, in a room of its own."""
        raw = await self.upgraded(self.server, self.ticket, "den")
        await hear(raw, b"mallory joined the room")
        return raw

    async def assertClosed(self, rows: dict[str, tuple[bytes, int]]) -> None:
        """With this code, whether it comes whole or byte by byte; what follows it is not heard, and nobody notices."""
        for name, (sent, code) in rows.items():
            for size in (len(sent), 1):
                if len(sent) > 3000 > size:
                    continue
                with self.subTest(name, size=size):
                    raw = await self.mallory()
                    for piece in pieces(sent + frame("@bob never"), size):
                        raw.send(piece)
                    self.assertEqual(code_of(await raw.rest()), code)
                    await raw.abort()
                    await self.undisturbed()


class BrokenFrames(Attack):
    """WS-5 to WS-7."""

    async def test_headers_that_no_frame_has(self) -> None:
        rows = {f"reserved bits {bits:03b}": (frame("x", reserved=bits), 1002) for bits in range(1, 8)}
        rows |= {f"opcode {code:x}": (frame("", code), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)}
        rows |= {
            f"unmasked {code:x}": (client_frame(code, b"x", mask=None), 1002) for code in (TEXT, BINARY, PING, PONG)
        }
        rows["unmasked close"] = (client_frame(CLOSE, b"\x03\xe8", mask=None), 1002)
        rows["compressed, though nothing was negotiated"] = (frame(b"\xf2\x48\xcd\xc9\xc9\x07\x00", reserved=4), 1002)
        await self.assertClosed(rows)

    async def test_lengths_that_are_not_the_shortest_or_too_long(self) -> None:
        mask = bytes(4)
        await self.assertClosed(
            {
                "5 in 16 bits": (b"\x81\xfe\x00\x05" + mask + b"hello", 1002),
                "125 in 16 bits": (b"\x81\xfe\x00\x7d" + mask + b"x" * 125, 1002),
                "5 in 64 bits": (b"\x81\xff" + (5).to_bytes(8, "big") + mask + b"hello", 1002),
                "65535 in 64 bits": (b"\x81\xff" + (65535).to_bytes(8, "big") + mask + b"x" * 65535, 1002),
                "the highest bit": (b"\x81\xff" + b"\xff" * 8 + mask + b"x", 1002),
                "a ping of 126": (frame("x" * 126, PING), 1002),
                "a ping of 64 bits": (b"\x89\xff" + (2**40).to_bytes(8, "big") + mask, 1002),
                "a close of 126": (frame(b"\x03\xe8" + b"x" * 124, CLOSE), 1002),
                "a terabyte": (b"\x81\xff" + (2**40).to_bytes(8, "big") + mask + b"x" * 70_000, 1009),
            }
        )

    async def test_fragments_out_of_place(self) -> None:
        begun = frame("a", final=False)
        await self.assertClosed(
            {
                "continuation of nothing": (frame("x", CONTINUATION), 1002),
                "continuation of what is whole": (frame("x") + frame("x", CONTINUATION), 1002),
                "unfinished continuation of nothing": (frame("x", CONTINUATION, final=False), 1002),
                "text within a text": (begun + frame("b"), 1002),
                "binary within a text": (begun + frame(b"b", BINARY), 1002),
                "fragmented ping": (frame("", PING, final=False), 1002),
                "fragmented pong": (frame("", PONG, final=False), 1002),
                "fragmented close": (frame(b"\x03\xe8", CLOSE, final=False), 1002),
                "compressed continuation": (begun + frame("b", CONTINUATION, reserved=4), 1002),
            }
        )

    async def test_texts_that_are_not_utf_8(self) -> None:
        bad = {
            "a lone continuation byte": b"\x80",
            "too long a form of /": b"\xc0\xaf",
            "too long a form of NUL": b"\xe0\x80\x80",
            "half of a surrogate pair": b"\xed\xa0\x80",
            "a surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80",
            "beyond Unicode": b"\xf4\x90\x80\x80",
            "five bytes": b"\xf8\x88\x80\x80\x80",
            "an end too soon": b"ab\xe2\x82",
            "FF": b"\xff",
        }
        rows = {name: (frame(data), 1007) for name, data in bad.items()}
        euro = "\u20ac".encode()
        rows |= {
            "broken off between frames": (frame(euro[:2], final=False) + frame("x", CONTINUATION), 1007),
            "wrong in the second frame": (frame("ok", final=False) + frame(b"\xff", CONTINUATION, final=False), 1007),
            "unfinished at the end of the last": (frame("ok", final=False) + frame(euro[:1], CONTINUATION), 1007),
        }
        await self.assertClosed(rows)

    async def test_a_character_in_as_many_frames_as_it_has_bytes_is_one(self) -> None:
        raw = await self.mallory()
        fox = "\U0001f98a".encode()
        parts = [frame(fox[:1], final=False), *(frame(fox[n : n + 1], CONTINUATION, final=False) for n in (1, 2))]
        raw.send(frame("", PONG).join([*parts, frame(fox[3:], CONTINUATION)]))
        await hear(raw, b"mallory: " + fox)
        await raw.abort()

    async def test_closes(self) -> None:
        never = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        rows = {f"code {code}": (close(code), 1002) for code in never}
        fine = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
        rows |= {f"code {code}": (close(code, b"so"), code) for code in fine}
        rows |= {
            "half a code": (frame(b"\x03", CLOSE), 1002),
            "a reason that is not UTF-8": (close(1000, b"\xff"), 1007),
            "a reason that breaks off": (close(1000, b"\xe2\x82"), 1007),
            "no code": (frame(b"", CLOSE), 1000),
        }
        await self.assertClosed(rows)

    async def test_what_comes_after_the_end_is_never_heard(self) -> None:
        """However much of it: wsproto would keep it for ever."""
        junk = frame("@bob after") * 50 + frame("", PING) * 20 + close(1000) + frame(b"\xff") + b"\x00" * 100_000
        for ending in (close(1000), frame(b"", BINARY), frame("/quit"), frame("x", 3)):
            raw = await self.mallory()
            end = server_end(self.server, raw)
            raw.send(ending + junk)
            received = await raw.rest()
            self.assertEqual([opcode for opcode, _ in frames(received)].count(CLOSE), 1)
            self.assertNotIn(PONG, [opcode for opcode, _ in frames(received)])
            raw.send(junk)
            await skip(Limits().linger_s)
            await eventually(lambda end=end: end._lost)  # type: ignore[misc]
            await raw.abort()
            await self.undisturbed()


class Floods(Attack):
    """WS-4, WS-6, WS-9, RATE-1."""

    async def test_of_fragments(self) -> None:
        dot = frame(".", CONTINUATION, final=False)
        await self.assertClosed(
            {
                "empty": (frame("", final=False) + frame("", CONTINUATION, final=False) * FLOOD, 1008),
                "of one byte": (frame("", final=False) + dot * FLOOD, 1008),
                "with pongs between": (frame("", final=False) + (dot + frame("", PONG)) * FLOOD, 1008),
                "large": (frame("x" * 20_000, final=False) + frame("x" * 20_000, CONTINUATION, final=False) * 9, 1009),
            }
        )

    async def test_of_control_frames(self) -> None:
        await self.assertClosed(
            {
                "pings": (frame("x" * 125, PING) * FLOOD, 1008),
                "pongs": (frame("", PONG) * FLOOD, 1008),
                "both": ((frame("", PONG) + frame("", PING)) * FLOOD, 1008),
                "within a message": (frame("", final=False) + frame("", PING) * FLOOD, 1008),
            }
        )

    async def test_of_what_is_refused(self) -> None:
        raw = await self.mallory()
        raw.send(frame("/nonsense") * FLOOD)
        received = await raw.rest()
        self.assertEqual(code_of(received), 4429)
        self.assertLessEqual(len(texts(received)), 101)
        await raw.abort()

    async def test_of_messages_to_one_who_is_not_there(self) -> None:
        raw = await self.mallory()
        raw.send(frame("@nobody hi") * FLOOD)
        self.assertEqual(code_of(await raw.rest()), 4429)
        await raw.abort()

    async def test_of_commands_lets_others_speak(self) -> None:
        raw = await self.mallory()
        raw.send((frame("/who") + frame("hi") + frame("/rooms")) * 300)
        for _ in range(5):
            await self.undisturbed()
        await hear(raw, b"mallory: hi", 300)
        await raw.abort()

    async def test_of_sessions_that_come_and_go(self) -> None:
        for _ in range(40):
            raw = await self.raw(self.server)
            raw.send(handshake(self.server, f"/ws?token={self.ticket}&room=den") + frame("/who") + close(1000))
            self.assertEqual(code_of((await raw.rest()).partition(b"\r\n\r\n")[2]), 1000)
            await raw.abort()
        hub = self.server._hub
        assert hub is not None
        self.assertEqual(list(hub._lobby.rooms), ["lobby"])


class LimitedRate(Attack):
    settings = {"message_rate": 5, "limits": Limits(message_burst_s=4)}  # noqa: RUF012

    async def test_who_floods_is_told_when_to_come_back_and_closed(self) -> None:
        raw = await self.mallory()
        raw.send(frame("hi") * FLOOD)
        received = await raw.rest()
        self.assertEqual(code_of(received), 4429)
        heard = [text for text in texts(received) if text == "mallory: hi"]
        self.assertLess(len(heard), 100)
        self.assertRegex("\n".join(texts(received)), r"try again in [0-9.]+ s")
        await raw.abort()


class HostileJSON(Attack):
    """JSON-1: an error reply; nobody else notices."""

    async def json_session(self) -> Raw:
        raw = await self.raw(self.server)
        raw.send(handshake(self.server, f"/ws?token={self.ticket}", ["Sec-WebSocket-Protocol: gochatsecure.v1.json"]))
        await hear(raw, b'"event":"welcome"')
        return raw

    async def test_is_answered_with_an_error_and_the_session_goes_on(self) -> None:
        raw = await self.json_session()
        send = {"op": "send", "id": 1, "room": "den", "cid": "c"}
        for name, text in (
            ("60,000 deep", "[" * 60_000),
            ("60,000 deep and closed", "[" * 30_000 + "]" * 30_000),
            ("deep objects", '{"a":' * 10_000 + "1" + "}" * 10_000),
            ("5000 digits", '{"op":"ping","id":' + "9" * 5000 + "}"),
            ("60,000 digits", '{"op":"ping","x":' + "9" * 60_000 + "}"),
            ("a large exponent", '{"op":"ping","id":1e999999}'),
            ("NaN", '{"op":"ping","id":NaN}'),
            ("-Infinity", '{"op":"ping","x":-Infinity}'),
            ("said twice", '{"op":"ping","op":"quit"}'),
            ("said twice within", '{"op":"ping","x":{"a":1,"a":2}}'),
            ("a lone surrogate in id", '{"op":"ping","id":"\\ud800"}'),
            ("a lone surrogate in op", '{"op":"\\udfff"}'),
            ("a lone surrogate in a room", '{"op":"join","id":1,"room":"\\ud83d"}'),
            ("a lone surrogate in a text", json.dumps({**send, "text": "\ud800"})),
            ("a NUL", '{"op":"ping"}\x00'),
            ("a byte order mark", '\ufeff{"op":"ping"}'),
            ("a comment", '{"op":"ping"/**/}'),
            ("single quotes", "{'op':'ping'}"),
            ("nothing", ""),
            ("__proto__", '{"__proto__":{"op":"ping"}}'),
            ("an op that is a list", '{"op":["ping"]}'),
            ("an op of the class", '{"op":"__class__"}'),
        ):
            with self.subTest(name):
                raw.send(frame(text))
                ((_, said),) = frames(await hear(raw, b'"error"'))
                self.assertLess(len(said), 1000)
                json.loads(said)
                await self.undisturbed()
        raw.send(frame('{"op":"ping","id":"still here"}'))
        await hear(raw, b'"still here"')
        await raw.abort()

    async def test_a_flood_of_it_is_closed(self) -> None:
        raw = await self.json_session()
        raw.send(frame("[" * 1000) * 300)
        self.assertEqual(code_of(await raw.rest()), 4400)
        await raw.abort()
