"""Guessing passwords: how often, from one address and from many; no stranger locks an owner out."""

from __future__ import annotations

import unittest
from typing import Any

from gochatsecure.auth.attempts import Attempts
from gochatsecure.limits import Limits


class AttemptsTestCase(unittest.TestCase):
    def make(self, **limits: Any) -> Attempts:
        generous = {f"guesses{of}_per_minute": 1e6 for of in ("", "_of_name", "_of_address")}
        return Attempts(Limits(**(generous | limits)))


class FromOneAddress(AttemptsTestCase):
    def test_a_few_wrong_ones_may_follow_each_other(self) -> None:
        attempts = self.make(guesses=3)
        self.assertEqual([attempts.begin("here", "alice", 0) for _ in range(3)], [0, 0, 0])

    def test_then_each_waits_twice_as_long(self) -> None:
        attempts, now, waits = self.make(guesses=3, guess_wait_s=20), 0.0, []
        for _ in range(3):
            attempts.begin("here", "alice", now)
        for _ in range(7):
            wait = attempts.begin("here", "alice", now)
            waits.append(wait)
            now += wait
            self.assertEqual(attempts.begin("here", "alice", now), 0)
        self.assertEqual(waits, [1, 2, 4, 8, 16, 20, 20])

    def test_what_is_tried_during_the_wait_is_refused_and_does_not_lengthen_it(self) -> None:
        attempts = self.make(guesses=1, guess_wait_s=8)
        attempts.begin("here", "alice", 0)
        self.assertEqual([attempts.begin("here", "alice", 0.5) for _ in range(5)], [0.5] * 5)
        self.assertEqual(attempts.begin("here", "alice", 1.0), 0)

    def test_one_that_is_under_way_counts_as_wrong(self) -> None:
        """Else a thousand could be tried at once, before the first has failed."""
        attempts = self.make(guesses=3)
        self.assertEqual(sum(not attempts.begin("here", "alice", 0) for _ in range(1000)), 3)

    def test_the_right_one_clears_the_count(self) -> None:
        attempts = self.make(guesses=3)
        for _ in range(10):
            self.assertEqual(attempts.begin("here", "alice", 0), 0)
            self.assertEqual(attempts.begin("here", "alice", 0), 0)
            attempts.right("here", "alice", 0)

    def test_one_that_was_not_tried_after_all_does_not_count(self) -> None:
        attempts = self.make(guesses=2, guesses_of_name_per_minute=2)
        for _ in range(10):
            self.assertEqual(attempts.begin("here", "alice", 0), 0)
            attempts.undo("here", "alice", 0)

    def test_other_names_and_addresses_do_not_wait(self) -> None:
        attempts = self.make(guesses=1)
        attempts.begin("here", "alice", 0)
        self.assertGreater(attempts.begin("here", "alice", 0), 0)
        self.assertEqual(attempts.begin("here", "bob", 0), 0)
        self.assertEqual(attempts.begin("there", "alice", 0), 0)


class FromManyAddresses(AttemptsTestCase):
    def test_a_name_takes_only_so_many_a_minute(self) -> None:
        attempts = self.make(guesses_of_name_per_minute=10)
        tried = sum(not attempts.begin(f"zombie {number}", "alice", number / 100) for number in range(6000))
        self.assertEqual(tried, 10 + 9)  # in one minute: what was saved up, and what comes in meanwhile
        self.assertEqual(attempts.begin("zombie", "bob", 60), 0)

    def test_an_address_has_only_so_many_for_all_names(self) -> None:
        """Or few addresses would use up what strangers have in all."""
        attempts = self.make(guesses_of_address_per_minute=5, guesses_per_minute=100)
        self.assertEqual(sum(not attempts.begin("here", f"name {number}", 0) for number in range(1000)), 5)
        self.assertEqual(sum(not attempts.begin(f"there {number}", f"name {number}", 0) for number in range(1000)), 95)

    def test_one_that_is_refused_uses_nothing_up(self) -> None:
        attempts = self.make(guesses_of_address_per_minute=1, guesses_of_name_per_minute=2)
        attempts.begin("here", "bob", 0)
        for _ in range(10):
            self.assertGreater(attempts.begin("here", "alice", 0), 0)
        self.assertEqual([attempts.begin(f"there {number}", "alice", 0) for number in range(2)], [0, 0])

    def test_all_names_together_take_only_so_many(self) -> None:
        attempts = self.make(guesses_per_minute=60)
        tried = sum(not attempts.begin(f"zombie {number}", f"name {number}", 0) for number in range(1000))
        self.assertEqual(tried, 60)
        self.assertAlmostEqual(attempts.begin("x", "y", 0), 1.0)

    def test_the_right_ones_do_not_use_that_up(self) -> None:
        attempts = self.make(guesses_of_name_per_minute=2, guesses_per_minute=2)
        for number in range(100):
            self.assertEqual(attempts.begin(f"desk {number}", "alice", 0), 0)
            attempts.right(f"desk {number}", "alice", 0)


class AStrangerCannotLockTheOwnerOut(AttemptsTestCase):
    def flooded(self, *, owner_was_here: bool) -> Attempts:
        attempts = self.make(guesses_of_name_per_minute=10, guesses_per_minute=100)
        if owner_was_here:
            attempts.begin("home", "alice", 0)
            attempts.right("home", "alice", 0)
        for number in range(1000):
            attempts.begin(f"zombie {number}", "alice", 0)
            attempts.begin(f"zombie {number}", f"name {number}", 0)
        return attempts

    def test_where_she_has_signed_in_lately_she_does_not_wait(self) -> None:
        self.assertEqual(self.flooded(owner_was_here=True).begin("home", "alice", 0), 0)

    def test_elsewhere_she_does(self) -> None:
        """The negative control: the flood is one that stops strangers."""
        self.assertGreater(self.flooded(owner_was_here=False).begin("home", "alice", 0), 0)

    def test_who_guesses_at_her_own_address_makes_her_wait_only_shortly(self) -> None:
        attempts, now = self.make(guesses=1, guess_wait_s=900, known_wait_s=30), 0.0
        attempts.begin("home", "alice", now)
        attempts.right("home", "alice", now)
        for _ in range(100):
            now += attempts.begin("home", "alice", now)
        self.assertLessEqual(attempts.begin("home", "alice", now), 30)

    def test_it_is_forgotten_after_a_while_where_she_was(self) -> None:
        attempts = self.make(known_s=100)
        attempts.begin("home", "alice", 0)
        attempts.right("home", "alice", 0)
        self.assertTrue(attempts.knows("home", "alice", 99))
        self.assertFalse(attempts.knows("home", "alice", 100))
        self.assertFalse(attempts.knows("home", "bob", 0))


class WhatIsRemembered(AttemptsTestCase):
    def test_is_bounded(self) -> None:
        attempts = self.make(tracked_addresses=10)
        for number in range(100):
            attempts.begin(f"address {number}", "alice", 0)
            attempts.right(f"home {number}", "alice", 0)
        self.assertEqual(len(attempts), 10)
        self.assertEqual(len(attempts._known), 10)

    def test_expires(self) -> None:
        attempts = self.make()
        for number in range(100):
            attempts.begin(f"address {number}", "alice", 0)
        attempts.begin("another", "alice", 3600)
        self.assertEqual(len(attempts), 1)
