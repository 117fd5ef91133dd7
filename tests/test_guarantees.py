"""docs/guarantees.md names tests that there are."""

from __future__ import annotations

import re
import unittest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")


class Guarantees(unittest.TestCase):
    def test_every_promise_names_a_test_and_every_name_is_one(self) -> None:
        promises = re.findall(r"(?m)^\| [A-Z].* \| (.*) \|$", PAGE)
        self.assertGreater(len(promises), 8)
        for proofs in promises:
            names = re.findall(r"`(tests\.[\w.]+)`", proofs)
            self.assertTrue(names, proofs)
            for name in names:
                with self.subTest(name):
                    (test,) = unittest.defaultTestLoader.loadTestsFromName(name)
                    self.assertNotIn("_FailedTest", repr(test))
