"""Autobahn|Testsuite against our own stack: `make conformance`, or `python -m tests.autobahn CASE ...`.

All its cases but those of compression, which is never negotiated, over TLS with the certificate checked. Fails unless
each ends well, and strictly so. The suite is Python 2 code: where no Python 2.7 is found it is skipped, and says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import ROOT, certificate

HOME = ROOT / ".venv-conformance"
COMPRESSION = ["12.*", "13.*"]
FINE = {"OK", "INFORMATIONAL"}  # the second: what RFC 6455 leaves open, as what becomes of data behind a Close
LARGEST = 16 * 1024 * 1024  # bytes of a message of cases 9.*
ALL = 301  # cases there are without compression
MINUTES = 10  # the whole suite takes half a minute


def python2() -> str | None:
    """A Python 2.7 that can install packages."""
    versions = (Path.home() / ".pyenv/versions").glob("2.7*/bin/python")
    for found in (shutil.which("python2.7"), *map(str, versions)):
        if found and not subprocess.run([found, "-m", "pip", "--version"], capture_output=True).returncode:
            return found
    return None


def install(python: str) -> None:
    """The suite, in an environment of its own, once. Raises CalledProcessError."""
    ready = HOME / "ready"
    if ready.exists():
        return
    print(f"making the suite's environment in {HOME.name}", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    pip = ["-m", "pip", "install", "--disable-pip-version-check"]
    steps = [
        [python, *pip, "--target", str(HOME / "boot"), "virtualenv<20.22"],  # the last that makes a 2.7
        [python, "-m", "virtualenv", str(HOME / "env")],
        [str(HOME / "env/bin/python"), *pip, "autobahntestsuite==0.8.2"],  # has the dependencies
        [str(HOME / "env/bin/python"), *pip, "--no-deps", "autobahntestsuite==25.10.1"],
    ]
    for step in steps:
        environment = {**os.environ, "PYTHONPATH": str(HOME / "boot")} if "virtualenv" in step else None
        done = subprocess.run(step, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            print(done.stdout[-3000:], file=sys.stderr)
            done.check_returncode()
    ready.touch()


@contextlib.contextmanager
def echo_server(message: int) -> Iterator[str]:
    """Runs meanwhile in a process of its own, where the URL says."""
    pair = certificate()
    command = [sys.executable, "-m", "tests.echo_server", "-addr=localhost:0", f"-message={message}"]
    command += [f"-cert={pair.cert}", f"-key={pair.key}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def run(cases: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """What became of each of these cases; globs are allowed."""
    spec, report, log = folder / "spec.json", folder / "report", folder / "log"
    with echo_server(LARGEST) as url, log.open("w") as written:
        asked = {
            "outdir": str(report),
            "servers": [{"agent": "ours", "url": url, "hostname": "localhost"}],
            "cases": cases,
            "exclude-cases": COMPRESSION,
            "exclude-agent-cases": {},
        }
        spec.write_text(json.dumps(asked))
        environment = {**os.environ, "SSL_CERT_FILE": str(certificate().ca)}
        command = [str(HOME / "env/bin/wstest"), "-m", "fuzzingclient", "-s", str(spec)]
        subprocess.run(command, env=environment, cwd=folder, stdout=written, stderr=written, timeout=60 * MINUTES)
    try:
        found: dict[str, dict[str, Any]] = json.loads((report / "index.json").read_text())["ours"]
    except (OSError, KeyError):
        print(log.read_text()[-3000:], file=sys.stderr)
        return {}
    return found


def judged(found: dict[str, dict[str, Any]]) -> list[str]:
    """What there is to complain of."""
    return [
        f"{case}: {outcome['behavior']}, its close {outcome['behaviorClose']}"
        for case, outcome in found.items()
        if outcome["behavior"] not in FINE or outcome["behaviorClose"] not in FINE
    ]


def main(cases: list[str]) -> int:
    python = python2()
    if python is None:
        print("SKIPPED: conformance: no Python 2.7 with pip on this machine (python2.7, or ~/.pyenv/versions/2.7*)")
        return 0
    install(python)
    with tempfile.TemporaryDirectory() as folder:
        found = run(cases or ["*"], Path(folder))
        doubtful = [case for case, outcome in found.items() if judged({case: outcome})]
        if doubtful:  # on a busy machine the suite's own patience may end: what is so is seen twice
            print(f"again: {'; '.join(judged(found))}", flush=True)
            found |= run(doubtful, Path(folder))
    faults = judged(found)
    if not cases and len(found) != ALL:
        faults.append(f"{len(found)} cases were run; there are {ALL}")
    counts = Counter(outcome["behavior"] for outcome in found.values())
    print(f"Autobahn|Testsuite 25.10.1: {len(found)} cases: " + ", ".join(f"{n} {b}" for b, n in counts.items()))
    for fault in faults:
        print(f"conformance: {fault}", file=sys.stderr)
    return 1 if faults or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
