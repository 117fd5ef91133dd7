"""How drafts fall into groups that are committed, and shown, at once."""

from __future__ import annotations

import unittest
from itertools import pairwise

from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import Draft, text_of
from gochatsecure.log.port import GROUP, busy, groups, unavailable

from .contract import said, told


def size(drafts: list[Draft]) -> int:
    return sum(len(text_of(content) or "") for draft in drafts for _, content in draft.parts)


class Groups(unittest.TestCase):
    def split(self, *drafts: Draft) -> list[list[Draft]]:
        """Into groups, of which each is within the bound, and none could have been one with the next."""
        parts = [list(group) for group in groups(drafts)]
        self.assertEqual([draft for part in parts for draft in part], list(drafts))
        for part in parts:
            self.assertTrue(part)
            self.assertTrue(size(part) <= GROUP or len(part) == 1)
        for one, other in pairwise(parts):
            overhead = 100 * (len(one) + len(other)) * 2
            self.assertGreater(size(one) + size(other[:1]) + overhead, GROUP, "too small a group")
        return parts

    def test_nothing_makes_no_group(self) -> None:
        self.assertEqual(self.split(), [])

    def test_a_few_are_one_group(self) -> None:
        self.assertEqual(len(self.split(*(said("hello") for _ in range(100)))), 1)

    def test_many_are_split(self) -> None:
        self.assertGreater(len(self.split(*(said("x" * 4096) for _ in range(100)))), 5)

    def test_empty_texts_weigh_something(self) -> None:
        """Each is shown in a frame of its own, with a name."""
        self.assertGreater(len(list(groups([said("")] * 10_000))), 1)

    def test_every_part_of_a_draft_weighs(self) -> None:
        self.assertGreater(len(self.split(*(told("x" * 4096) for _ in range(10)))), 1)

    def test_a_large_one_stands_alone(self) -> None:
        large, small = said("x" * (GROUP + 1)), said("small")
        for drafts in ([large], [large, small], [small, large], [small, large, small], [large, large]):
            with self.subTest(drafts=len(drafts)):
                self.assertEqual(len(self.split(*drafts)), len(drafts))

    def test_each_bound_is_used_up(self) -> None:
        for length in (1, 100, 1000, 4096, GROUP // 3, GROUP // 2, GROUP - 64, GROUP - 63, GROUP):
            with self.subTest(length):
                self.split(*(said("x" * length) for _ in range(200)))


class Refusals(unittest.TestCase):
    def test_what_the_store_cannot_do_now_may_be_tried_again(self) -> None:
        for refusal, code in ((busy(), "store_busy"), (unavailable(), "store_unavailable")):
            self.assertIsInstance(refusal, Temporary)
            self.assertEqual(refusal.code, code)
            self.assertGreater(refusal.retry_after_ms, 0)
            self.assertRegex(refusal.message, "nothing was sent|nobody was shown it")
