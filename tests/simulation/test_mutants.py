"""The simulation finds the bugs that we plant, and the check that finds one is the one that should."""

from __future__ import annotations

import unittest

from . import mutants_of_rules  # noqa: F401 - plants its own
from .mutants import MUTANTS
from .run import Run, Violation

SEEDS = 150  # in which each is to be found; most are in the first few


def first(limit: int) -> Violation | None:
    """What is found first, in that many seeds."""
    for seed in range(1, limit + 1):
        run = Run(seed)
        run.go()
        if run.violation is not None:
            return run.violation
    return None


class Mutants(unittest.TestCase):
    def test_each_is_found_by_its_check(self) -> None:
        for name, checks, plant in MUTANTS:
            with self.subTest(name), plant():
                found = first(SEEDS)
                assert found is not None, "it is not found"
                self.assertIn(found.check, checks, found.what)
