"""The text exposition format 0.0.4 of Prometheus."""

from __future__ import annotations

import unittest

from gochatsecure.wire.exposition import Family, exposition


class Texts(unittest.TestCase):
    def test_each_family_has_its_help_its_type_and_a_line_for_each_sample(self) -> None:
        families = [
            Family("up", "gauge", "Whether.", {(): 1}),
            Family("asked_total", "counter", "How often.", {(("by", "a"), ("of", "b")): 2, (("by", "c"),): 0.25}),
        ]
        self.assertEqual(
            exposition(families),
            "# HELP up Whether.\n# TYPE up gauge\nup 1\n"
            "# HELP asked_total How often.\n# TYPE asked_total counter\n"
            'asked_total{by="a",of="b"} 2\nasked_total{by="c"} 0.25\n',
        )

    def test_a_family_without_samples_is_left_out(self) -> None:
        self.assertEqual(exposition([Family("up", "gauge", "Whether.", {})]), "")

    def test_what_has_a_meaning_is_escaped(self) -> None:
        odd = 'a\\b"c"\nup 2'
        written = exposition([Family("up", "gauge", odd, {(("by", odd),): 1})])
        self.assertEqual(written, '# HELP up a\\\\b"c"\\nup 2\n# TYPE up gauge\nup{by="a\\\\b\\"c\\"\\nup 2"} 1\n')

    def test_large_and_small_numbers_keep_their_digits(self) -> None:
        for value, said in ((2**53, "9007199254740992"), (1830013000.5, "1830013000.5"), (1e-07, "1e-07")):
            self.assertIn(f"\nup {said}\n", exposition([Family("up", "gauge", "It.", {(): value})]))
