"""docs/security/controls.toml says what is so: its symbols, tests, limits and lines are there, and agree."""

from __future__ import annotations

import re
import unittest

from tests.support import ROOT
from tools.controls import boundaries, controls, default, lines_of, place

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


COMING: set[str] = set()
"""What does not stand yet. Nothing is added here: a control is listed when it stands."""


class TheList(unittest.TestCase):
    def test_every_control_can_be_read(self) -> None:
        self.assertGreater(len(controls()), 70)
        for control in controls().values():
            with self.subTest(control.id):
                self.assertRegex(control.id, "^[A-Z]+-[0-9]+$")
                self.assertIn(control.boundary, boundaries())
                self.assertTrue(control.threat and control.requirement)
                self.assertIn(control.state, ("", "coming"))

    def test_nothing_is_on_its_way_but_this(self) -> None:
        self.assertEqual({control.id for control in controls().values() if control.state}, COMING)

    def test_every_boundary_has_controls(self) -> None:
        self.assertEqual({control.boundary for control in controls().values()}, set(boundaries()))

    def test_what_stands_has_code_and_tests_and_can_be_switched_off(self) -> None:
        for control in controls().values():
            if not control.state:
                with self.subTest(control.id):
                    self.assertTrue(control.code)
                    self.assertTrue(control.tests)
                    self.assertNotEqual(
                        bool(control.off), bool(control.always), "either `off`, or `always` says why not"
                    )

    def test_every_symbol_is_there(self) -> None:
        for control in controls().values():
            for symbol in control.code:
                with self.subTest(f"{control.id} {symbol}"):
                    place(symbol)

    def test_every_test_is_there(self) -> None:
        for control in controls().values():
            for name in control.tests:
                with self.subTest(f"{control.id} {name}"):
                    (test,) = unittest.defaultTestLoader.loadTestsFromName(name)
                    self.assertNotIn("_FailedTest", repr(test))

    def test_every_limit_is_what_the_code_says(self) -> None:
        for control in controls().values():
            for name, said in control.limits.items():
                with self.subTest(f"{control.id} {name}"):
                    found = default(name)
                    self.assertEqual(list(found) if isinstance(found, tuple) else found, said)

    def test_every_line_that_is_switched_off_is_there_once(self) -> None:
        for control in controls().values():
            for edit in (edit for off in control.off for edit in off.edits):
                with self.subTest(f"{control.id} {edit.line}"):
                    lines_of(edit)
                    self.assertNotEqual(edit.line, edit.becomes)

    def test_a_control_that_is_proved_by_an_attack_has_one(self) -> None:
        for control in controls().values():
            if control.neg:
                with self.subTest(control.id):
                    self.assertTrue(any(off.attack for off in control.off))
                    self.assertTrue(any(name.startswith("tests.security.test_attacks.") for name in control.tests))

    def test_no_number_in_a_requirement_is_another_than_its_limits(self) -> None:
        """Where a requirement says 5 s or 64 KiB, one of the row's limits is just that."""
        for control in controls().values():
            if not control.limits:
                continue
            known = {float(value) for value in control.limits.values() if isinstance(value, int | float)}
            for number, unit in re.findall(
                r"([0-9][0-9,]*) (s|KiB|MiB|KiB of text|headers|fragments)\b", control.requirement
            ):
                value = float(number.replace(",", "")) * {"KiB": 1024, "MiB": 1024**2}.get(unit.split()[0], 1)
                with self.subTest(f"{control.id}: {number} {unit}"):
                    self.assertIn(value, known)


class ThePage(unittest.TestCase):
    def test_it_names_every_control(self) -> None:
        for name in controls():
            with self.subTest(name):
                self.assertTrue(f"| {name} |" in PAGE, "run `make pages`")

    def test_what_it_says_of_itself_is_so(self) -> None:
        """Every id and every file that its prose names is one."""
        for name in re.findall(rf"\b(?:{'|'.join({name.partition('-')[0] for name in controls()})})-[0-9]+\b", PAGE):
            with self.subTest(name):
                self.assertIn(name, controls())
        for path in re.findall(r"`((?:docs|tools|tests|gochatsecure)/[\w./]+)`", PAGE):
            with self.subTest(path):
                self.assertTrue((ROOT / path).exists())
