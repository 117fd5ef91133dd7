"""The echo server and the judge of `make conformance`: our own stack stands behind them, and faults are seen."""

from __future__ import annotations

import unittest
from unittest import mock

from gochatsecure.wire.websocket import Closed, Control, Text, WebSocketServer
from tests.autobahn import echo_server, judged
from tests.echo_server import EchoWebSocket, limits
from tests.live.support import BINARY, CONTINUATION, TEXT, LiveTestCase, frame, frames, handshake
from tests.wire.support import LIMITS


class TheEcho(LiveTestCase):
    async def test_says_texts_and_binary_messages_again(self) -> None:
        url = self.enterContext(echo_server(200_000))
        here = mock.Mock(port=int(url.rpartition(":")[2]))
        raw = await self.raw(here)
        raw.send(handshake(here, "/"))
        await raw.reader.readuntil(b"\r\n\r\n")
        long, parts = b"\xff" * 150_000, frame(b"a\xff", BINARY, final=False) + frame(b"b", CONTINUATION)
        raw.send(frame("hi") + parts + frame(long, BINARY) + frame(b"bye", BINARY))
        received = b""
        while not received.endswith(b"bye"):
            received += await raw.read()
        self.assertEqual(frames(received), [(TEXT, b"hi"), (BINARY, b"a\xffb"), (BINARY, long), (BINARY, b"bye")])


class TheSeam(unittest.TestCase):
    def test_the_echo_takes_binary_within_its_limit(self) -> None:
        server = EchoWebSocket(limits(10))
        server.feed(frame(b"12345", BINARY, final=False) + frame(b"67890", CONTINUATION) + frame(b"1" * 11, BINARY))
        found = list(server.receive(0.0))
        self.assertEqual(found[:2], [Control(b""), Control(b"\x82\x0a1234567890")])
        assert isinstance(found[2], Closed)
        self.assertEqual(found[2].code, 1009)

    def test_the_product_refuses_it_with_the_first_frame(self) -> None:
        server = WebSocketServer(LIMITS)
        server.feed(frame("hi") + frame(b"", BINARY, final=False) + frame("never heard"))
        found = list(server.receive(0.0))
        self.assertEqual(found[0], Text("hi"))
        self.assertEqual([(type(one), one.code) for one in found[1:] if isinstance(one, Closed)], [(Closed, 1003)])
        self.assertEqual(len(found), 2)


class TheJudge(unittest.TestCase):
    def test_complains_of_failures_and_of_what_is_not_strict(self) -> None:
        fine = {"behavior": "OK", "behaviorClose": "OK"}
        found = {
            "1.1.1": fine,
            "6.4.1": {**fine, "behavior": "NON-STRICT"},
            "7.1.1": {**fine, "behaviorClose": "FAILED"},
            "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
        }
        self.assertEqual(judged(found), ["6.4.1: NON-STRICT, its close OK", "7.1.1: OK, its close FAILED"])
