"""A control's tests, with the control on or off: `python -m tests.security.off [-on] [ID ...]`; all without an ID.

Off, the tests run in a copy of this tree in which the control's lines read as docs/security/controls.toml says; then
one of them at least has to fail, and where the row promises an attack, to report that it succeeded. A control may have
several such ways; each is tried by itself. Ends with 0 if every control is as it should be.

What does not come is not waited for as long as usual. That a test has failed by that is believed if the same test, with
the same patience and the control on, passes at about the same time; else, and where an attack was promised and none
is reported, all is done again with more patience.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple, Self

from tests.security.test_attacks import SUCCEEDED
from tests.support import KEPT_CERTIFICATE, certificate
from tools.controls import ROOT, Control, Edit, Off, controls, lines_of, told

_NEEDED = ("gochatsecure", "tests", "tools", "docs", "README.md", "SECURITY.md", "setup.cfg", "requirements.txt")
_LITTLE = Edit("tests/support.py", "PATIENCE = 60.0", "PATIENCE = 3.0")
_MUCH = Edit("tests/support.py", "PATIENCE = 60.0", "PATIENCE = 20.0")  # so that a test that waits thrice has an end
_SECONDS = 180  # for one run
_ATTACKS = "tests.security.test_attacks."
_OUR_FAULT = re.compile(r"^(?:SyntaxError|ImportError|ModuleNotFoundError|NameError|IndentationError)", re.MULTILINE)


class Run(NamedTuple):
    """How a control's tests went."""

    ran: int
    failed: tuple[str, ...]
    """By their full names."""
    skipped: int
    output: str

    @property
    def attacked(self) -> bool:
        return SUCCEEDED in self.output

    @property
    def waited(self) -> bool:
        """Something did not come in time."""
        return "TimeoutError" in self.output

    @property
    def why(self) -> str:
        """What the first failure says of itself."""
        found = re.findall(r"^(?:[\w.]*(?:Error|Exception|Rejected))\b.*$", self.output, re.MULTILINE)
        return found[-1][:140] if found else ""


class Copies:
    """Copies of this tree, as many as are used at once: each has an edit for as long as its tests run.

    In a copy Python keeps what it has compiled, for that takes longer than most of the tests."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gochatsecure-off-")
        self._numbers = count()
        self._free: SimpleQueue[Path] = SimpleQueue()
        self.environment = {**os.environ, KEPT_CERTIFICATE: str(certificate().cert.parent)}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(self, control: Control, off: Off | None) -> Run:
        """Its tests with the control on, or off in this way, up to the first that fails."""
        if off is None:
            return _tests(ROOT, control.tests, dict(os.environ))
        tests = sorted(control.tests, key=lambda test: not test.startswith(_ATTACKS)) if off.attack else control.tests
        done = self._edited((*off.edits, _LITTLE), tests)
        believed = done.attacked if off.attack else not done.waited or all(map(self._comes_in_time, done.failed))
        return done if believed else self._edited((*off.edits, _MUCH), tests)

    @cache  # noqa: B019 - there is one of it
    def _comes_in_time(self, test: str) -> bool:
        """Whether this machine, as it is now, passes this test with so little patience and no control off."""
        return not self._edited((_LITTLE,), (test,)).failed

    def _edited(self, edits: Sequence[Edit], tests: Sequence[str]) -> Run:
        folder = self._take()
        changed = {edit.file for edit in edits}
        try:
            for edit in edits:
                lines_of(edit)
                path = folder / edit.file
                path.write_text(path.read_text("utf-8").replace(edit.line, edit.becomes), "utf-8")
            return _tests(folder, tests, {**self.environment, "PYTHONPATH": str(folder)}, "-f")
        finally:
            for name in changed:
                shutil.copy2(ROOT / name, folder / name)
                # What was compiled is told from what is there by its size and its second: both may be the same.
                for compiled in (folder / name).parent.glob(f"__pycache__/{Path(name).stem}.*"):
                    compiled.unlink()
            self._free.put(folder)

    def _take(self) -> Path:
        with suppress(Empty):
            return self._free.get_nowait()
        folder = Path(self._folder.name) / str(next(self._numbers))
        folder.mkdir()
        for name in _NEEDED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy2(ROOT / name, folder / name)
        return folder


def _tests(folder: Path, tests: Sequence[str], environment: Mapping[str, str], *options: str) -> Run:
    command = [sys.executable, "-m", "unittest", *options, *tests]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return Run(0, (), 0, f"no end within {_SECONDS} s")
    output = done.stdout + done.stderr
    ran = re.search(r"^Ran ([0-9]+) tests?", output, re.MULTILINE)
    skipped = re.search(r"skipped=([0-9]+)", output)
    failed = re.findall(r"^(?:FAIL|ERROR): \S+ \((\S+?)\)", output, re.MULTILINE)
    return Run(int(ran[1]) if ran else 0, tuple(dict.fromkeys(failed)), int(skipped[1]) if skipped else 0, output)


def fault(control: Control, off: Off | None, done: Run) -> str:
    """What is not as it should be; "" if nothing is."""
    if _OUR_FAULT.search(done.output) or not done.ran:
        return "its tests did not run"
    if off is None:
        return f"failed: {', '.join(done.failed)}" if done.failed else ""
    if not done.failed:
        return "switched off, and every test passes" if done.skipped < done.ran else ""  # here they cannot be run
    if off.attack and not done.attacked:
        return "switched off, and no test says that the attack succeeded"
    return ""


def main(arguments: Sequence[str]) -> int:
    on, ids = "-on" in arguments, [word for word in arguments if not word.startswith("-")]
    unknown = [name for name in ids if name not in controls()]
    if unknown:
        print(f"there is no control {', '.join(unknown)}; docs/security.md lists them", file=sys.stderr)
        return 2
    chosen = [controls()[name] for name in ids] or [control for control in controls().values() if not control.state]
    jobs = [(control, off) for control in chosen if control.tests for off in ((None,) if on else control.off)]
    for control in chosen:
        if not control.tests or not (on or control.off):
            print(f"{told(control)}\n{control.id:8} {control.state or 'cannot be switched off: ' + control.always}")
    faults, began = 0, time.monotonic()
    with Copies() as copies, ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:  # half of the time they wait
        for (control, off), done in zip(jobs, pool.map(lambda job: copies.run(*job), jobs), strict=True):
            wrong = fault(control, off, done)
            faults += bool(wrong)
            if ids:
                if off is None or off is control.off[0]:
                    print(told(control))
                for edit in off.edits if off else ():
                    print(f"\n  off      {edit.file}:{lines_of(edit)[0]}  {edit.line.strip()}")
                    print(f"  becomes  {edit.becomes.strip() or '(nothing)'}")
                print(f"\n{done.output}")
            if off is None:
                verdict = wrong or f"on: {done.ran} tests pass"
            else:
                first = done.failed[0].rpartition(".")[2] if done.failed else "skipped"
                verdict = wrong or f"off: {first} fails: {done.why}"
            print(f"{control.id:8} {verdict}", flush=True)
    took = time.monotonic() - began
    print(f"{len(jobs)} runs of {len(chosen)} controls in {took:.0f} s, {faults} not as they should be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
