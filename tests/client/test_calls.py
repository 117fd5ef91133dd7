"""How fast the client says what it has to say."""

from __future__ import annotations

import unittest

from gochatsecure.client.calls import Pace


class Pacing(unittest.TestCase):
    def test_so_many_at_once_and_then_so_many_a_second(self) -> None:
        pace = Pace(10, 3, now=100.0)
        self.assertEqual([pace.take(100.0) for _ in range(3)], [0.0] * 3)
        self.assertAlmostEqual(pace.take(100.0), 0.1)
        self.assertAlmostEqual(pace.take(100.05), 0.05)
        self.assertEqual(pace.take(100.101), 0.0)
        self.assertGreater(pace.take(100.101), 0.0)
        self.assertEqual([pace.take(200.0) for _ in range(4)][:3], [0.0] * 3)

    def test_a_server_that_refuses_takes_less_than_it_has_said(self) -> None:
        pace = Pace(10, 50, now=0.0)
        pace.slow_down(0.0)
        self.assertAlmostEqual(pace.take(0.0), 0.1)

    def test_without_a_limit_nothing_waits(self) -> None:
        pace = Pace(0, 0, now=0.0)
        self.assertEqual([pace.take(0.0) for _ in range(1000)], [0.0] * 1000)
