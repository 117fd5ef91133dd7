"""Guest names stay with their sign-in for a while."""

from __future__ import annotations

import unittest

from gochatsecure.auth.guests import KeptNames


class Keeping(unittest.TestCase):
    def test_a_name_is_kept_for_its_sign_in_until_the_grace_is_over(self) -> None:
        kept = KeptNames(grace=60)
        kept.keep("alice", "s1", 100)
        self.assertEqual(kept.keeper("alice", 159.9), "s1")
        self.assertIsNone(kept.keeper("alice", 160))

    def test_leaving_again_begins_the_grace_anew(self) -> None:
        kept = KeptNames(grace=60)
        kept.keep("alice", "s1", 0)
        kept.keep("bob", "s2", 10)
        kept.keep("alice", "s1", 50)
        self.assertIsNone(kept.keeper("bob", 80))
        self.assertEqual(kept.keeper("alice", 80), "s1")

    def test_a_name_nobody_left_is_kept_for_nobody(self) -> None:
        self.assertIsNone(KeptNames(grace=60).keeper("alice", 0))

    def test_what_has_expired_takes_no_room(self) -> None:
        kept = KeptNames(grace=1)
        for number in range(1000):
            kept.keep(f"guest{number}", "s", number)
        kept.keeper("anybody", 5000)
        self.assertEqual(kept._kept, {})
