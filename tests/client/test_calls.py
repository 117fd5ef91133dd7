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

    def test_a_new_line_is_no_new_burst(self) -> None:
        pace = Pace(10, 50, now=0.0)
        self.assertEqual([pace.take(0.0) for _ in range(50)], [0.0] * 50)
        again = Pace(10, 50, now=0.0).after(pace)
        self.assertAlmostEqual(again.take(0.0), 0.1)
        self.assertEqual([again.take(1.0) for _ in range(10)], [0.0] * 10)
        self.assertEqual(Pace(10, 50, now=0.0).after(Pace()).take(0.0), 0.0)

    def test_whoever_waits_as_long_as_told_may_go_on(self) -> None:
        """Else the waits would become ever shorter, and no request would be said."""
        pace, now = Pace(9, 1, now=0.0), 0.0
        for _ in range(1000):
            if wait := pace.take(now):
                now += wait
                self.assertEqual(pace.take(now), 0.0)
