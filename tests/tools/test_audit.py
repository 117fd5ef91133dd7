"""What the audit says: what we are made of, and how much of it there is."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import unittest
from importlib import metadata, util
from pathlib import Path
from unittest import mock

from tests.support import ROOT, temporary_folder
from tools import audit
from tools.audit import (
    BESIDE,
    bill_of_materials,
    budget,
    ceiling,
    code_lines,
    locked,
    program,
    report,
    surface,
    surface_by_module,
)

_VALIDATES = util.find_spec("cyclonedx") is not None and util.find_spec("jsonschema") is not None


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def declared() -> dict[str, dict[str, tuple[int, ...]]]:
    """By name: the bounds that setup.cfg sets, by their sign."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = {}
    for line in setup["options"]["install_requires"].split("\n"):
        if line.strip():
            name, bounds = line.split()
            found[name] = {bound.rstrip("0123456789."): version(bound.lstrip("<>=")) for bound in bounds.split(",")}
    return found


class Dependencies(unittest.TestCase):
    def test_what_is_locked_is_what_is_declared(self) -> None:
        self.assertEqual({one.name for one in locked()}, set(declared()))
        for one in locked():
            with self.subTest(one.name):
                bounds = declared()[one.name]
                self.assertEqual(set(bounds), {">=", "<"})
                self.assertLessEqual(bounds[">="], version(one.version))
                self.assertLess(version(one.version), bounds["<"])

    def test_h11_is_not_one_with_a_known_fault(self) -> None:
        """CVE-2025-43859."""
        self.assertGreaterEqual(declared()["h11"][">="], (0, 16))

    def test_every_locked_version_has_its_hashes(self) -> None:
        for one in locked():
            self.assertEqual(len(set(one.hashes)), 2, one)

    def test_a_line_that_locks_nothing_is_found(self) -> None:
        for text in ("h11>=0.16\n", "h11==0.16.0\n", "h11==0.16.0 --hash=md5:00\n"):
            path = temporary_folder() / "requirements.txt"
            path.write_text(text)
            with self.subTest(text), mock.patch.object(audit, "LOCK", path), self.assertRaises(ValueError):
                locked()

    def test_they_need_nothing_else(self) -> None:
        for one in locked():
            needed = {need.split()[0].partition("<")[0].partition(">")[0] for need in metadata.requires(one.name) or ()}
            self.assertLessEqual(needed, {other.name for other in locked()})


class BillOfMaterials(unittest.TestCase):
    def test_it_names_what_is_installed_and_on_what_it_depends(self) -> None:
        bill = bill_of_materials()
        parts = {part["name"]: part for part in bill["components"]}
        self.assertEqual(set(parts), {"h11", "wsproto"})
        for name, part in parts.items():
            self.assertEqual(part["version"], metadata.version(name))
            self.assertEqual(part["purl"], f"pkg:pypi/{name}@{part['version']}")
        needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
        self.assertEqual(
            needs[bill["metadata"]["component"]["bom-ref"]], [parts["h11"]["purl"], parts["wsproto"]["purl"]]
        )
        self.assertEqual(needs[parts["wsproto"]["purl"]], [parts["h11"]["purl"]])

    def test_it_is_the_same_each_time(self) -> None:
        self.assertEqual(json.dumps(bill_of_materials()), json.dumps(bill_of_materials()))

    @unittest.skipUnless(_VALIDATES, "cyclonedx-python-lib[json-validation] is not installed")
    def test_it_is_cyclonedx(self) -> None:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        validator = JsonStrictValidator(SchemaVersion.V1_5)
        self.assertIsNone(validator.validate_str(json.dumps(bill_of_materials())))
        self.assertIsNotNone(validator.validate_str(json.dumps({**bill_of_materials(), "version": "one"})))

    def test_it_is_written_to_a_file(self) -> None:
        path = temporary_folder() / "bill.json"
        command = [sys.executable, "-m", "tools.audit", "-sbom", str(path)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=60)
        self.assertEqual(json.loads(path.read_text()), bill_of_materials())


class Counting(unittest.TestCase):
    def test_blanks_comments_and_docstrings_are_no_code(self) -> None:
        path = temporary_folder() / "sample.py"
        path.write_text(
            '"""Law.\n\nMore."""\n\n# why\nx = (\n    1,  # one\n)\n\n\ndef f():\n    """Duty."""\n    return "a"\n'
        )
        with mock.patch.object(audit, "ROOT", path.parent):
            self.assertEqual(sorted(code_lines.__wrapped__("sample.py")), [6, 7, 8, 11, 13])

    def test_what_strangers_reach_is_a_part_of_each_module(self) -> None:
        by_module = surface_by_module()
        self.assertEqual(sum(count for count, _ in by_module.values()), sum(surface().values()))
        for module, (count, whole) in by_module.items():
            with self.subTest(module):
                self.assertLess(0, count)
                self.assertLessEqual(count, whole)

    def test_the_program_is_small_enough_to_be_read(self) -> None:
        self.assertLessEqual(program(), ceiling("program"))

    def test_what_is_beside_the_server_is_not_the_server(self) -> None:
        """Whatever it imports is counted with it."""
        for path in (ROOT / "gochatsecure").rglob("*.py"):
            room = path.relative_to(ROOT / "gochatsecure").parts[0]
            if room not in BESIDE:
                self.assertNotRegex(path.read_text("utf-8"), r"(?m)^ *from \.*(client|conformance)\b", path)
        self.assertEqual(program() + sum(budget()[room] for room in BESIDE), sum(budget().values()))

    def test_the_report_has_all_of_it(self) -> None:
        text = report()
        for wanted in (
            "Reached before a sign-in",
            "HTTP-3",
            "sha256:",
            "Lines of code",
            "CycloneDX",
            str(Path("gochatsecure")),
        ):
            self.assertIn(wanted, text)
