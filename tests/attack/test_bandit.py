"""What bandit finds in our code, each with its answer; what has none fails, and so does an answer to nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from tests.support import ROOT

ANSWERED = {
    ("B105", "chat/table.py"): "what a kind of field is called in a sentence of help",
    ("B105", "conformance/runner.py"): "of names that a transcript registers, and nobody will ask for again",
    ("B608", "log/account_table.py"): "put together from our own constants: values are always parameters",
    ("B608", "log/rows.py"): "the same",
    ("B608", "log/reader.py"): "put together from our own constants: values are always parameters",
    ("B608", "log/verify.py"): "the same",
    ("B608", "log/writer.py"): "the same",
    ("B104", "server.py"): "compares an address, binds nothing",
}
SKIPPED = "B101"  # assert states what holds, for readers and the type checker; nothing relies on its being run
BANDIT = shutil.which("bandit", path=str(Path(sys.executable).parent))


@unittest.skipUnless(BANDIT, "bandit is not installed")
class Findings(unittest.TestCase):
    def test_each_is_answered(self) -> None:
        assert BANDIT is not None
        command = [BANDIT, "-q", "-r", "gochatsecure", "--skip", SKIPPED, "-f", "json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        report = json.loads(done.stdout)
        self.assertEqual(report["errors"], [])
        self.assertGreater(report["metrics"]["_totals"]["loc"], 3000)
        found = {
            (
                one["test_id"],
                one["filename"].partition("gochatsecure/")[2],
            ): f"line {one['line_number']}: {one['issue_text']}"
            for one in report["results"]
        }
        self.assertEqual({key: text for key, text in found.items() if key not in ANSWERED}, {})
        self.assertEqual(ANSWERED.keys() - found.keys(), set(), "answers to nothing")
