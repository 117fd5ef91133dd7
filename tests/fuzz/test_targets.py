"""Every target holds of its seeds and of many mutations of them; and one that does not hold is found out."""

from __future__ import annotations

import random
import unittest
from unittest import mock

from gochatsecure.chat.names import canonical_user
from gochatsecure.wire import http1, json_v1, lines
from gochatsecure.wire.tls import TLSServer
from gochatsecure.wire.websocket import WebSocketServer
from tests.fuzz.__main__ import mutated
from tests.fuzz.seeds import SEEDS, seeds
from tests.fuzz.targets import TARGETS
from tests.wire.support import PropertyTestCase

try:
    from hypothesis import strategies as st
except ImportError:
    pass

MUTATIONS = 300  # of each target; `make fuzz` runs as many as its time allows


class Seeds(unittest.TestCase):
    def test_every_target_has_some_and_holds_of_them(self) -> None:
        self.assertEqual(SEEDS.keys(), TARGETS.keys())
        for name, target in TARGETS.items():
            for seed in seeds(name):
                with self.subTest(name, seed=seed[:60]):
                    target(seed)

    def test_every_target_holds_of_mutations_of_them(self) -> None:
        for name, target in TARGETS.items():
            chance, kept = random.Random(name), seeds(name)
            for _ in range(MUTATIONS):
                data = mutated(chance, kept)
                try:
                    target(data)
                except Exception as error:
                    raise AssertionError(f"{name} fails on {data!r}") from error


class Generated(PropertyTestCase):
    def test_every_target_holds_of_any_bytes(self) -> None:
        for name, target in TARGETS.items():
            with self.subTest(name):
                self.check(target, examples=150, data=st.binary(max_size=300))

    def test_every_target_holds_of_seeds_in_any_order_and_cut_anywhere(self) -> None:
        for name, target in TARGETS.items():
            kept = [seed[:3000] for seed in seeds(name)]
            parts = st.tuples(st.sampled_from(kept), st.integers(0, 400), st.binary(max_size=4))
            inputs = st.lists(parts.map(lambda part: part[0][: part[1]] + part[2]), max_size=4).map(b"".join)
            with self.subTest(name):
                self.check(target, examples=150, data=inputs)


class Broken(unittest.TestCase):
    """Negative controls: a parser with a hole in it, and the target that falls into it."""

    def assertFound(self, name: str) -> None:
        chance, kept = random.Random(1), seeds(name)
        with self.assertRaises(Exception):  # noqa: B017 - each hole has its own
            for seed in kept:
                TARGETS[name](seed)
            for _ in range(3000):
                TARGETS[name](mutated(chance, kept))

    def test_a_body_that_is_not_checked(self) -> None:
        with mock.patch.object(http1.HTTPServer, "_body_length", lambda self, request: 0):
            self.assertFound("http1")

    def test_a_message_without_a_limit(self) -> None:
        receive = WebSocketServer.receive

        def endless(self: WebSocketServer, now: float) -> object:
            self._size = -(10**9)
            return receive(self, now)

        with mock.patch.object(WebSocketServer, "receive", endless):
            self.assertFound("websocket")

    def test_a_record_that_is_read_twice(self) -> None:
        read = TLSServer.read
        with mock.patch.object(TLSServer, "read", lambda self, most: (read(self, most) or b"") * 2 or None):
            self.assertFound("tls")

    def test_a_line_that_may_hold_another(self) -> None:
        with mock.patch.object(lines, "visible", str):
            self.assertFound("lines")

    def test_a_json_that_raises(self) -> None:
        with mock.patch.object(json_v1, "_is_id", lambda called: bool(hash(called)) or True):
            self.assertFound("json")

    def test_a_name_with_a_space(self) -> None:
        with mock.patch("tests.fuzz.targets.canonical_user", lambda name: canonical_user(name[1:]) + " "):
            self.assertFound("names")
