"""Running the load generator, and what it says: nothing is counted unless every delivery came once and in order."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from .servers import BUILD, LOAD_CORE, Server

_FAULTS = ("missing", "repeated", "leaked", "lost", "refused")


class Wrong(Exception):
    """The server did not deliver what it should have, or the load could not be brought."""


def load(server: Server, scenario: str, *, seconds: float, warm: float = 0.5, **options: object) -> dict[str, Any]:
    """What one run of the generator found. Raises Wrong."""
    words = command(server, scenario, seconds=seconds, warm=warm, **options)
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{server.kind.name}, {scenario}: it took over five minutes") from None
    if done.returncode:
        raise Wrong(f"{server.kind.name}, {scenario}: {done.stderr.strip() or done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    wrong = [f"{found[fault]} {fault}" for fault in _FAULTS if found.get(fault)]
    if not found.get("one_order", True):
        wrong.append("members of one room saw different orders")
    if wrong:
        raise Wrong(f"{server.kind.name}, {scenario}: {', '.join(wrong)} {done.stderr.strip()}")
    return found


def command(server: Server, scenario: str, **options: object) -> list[str]:
    words = ["taskset", "-c", str(LOAD_CORE), str(BUILD / "load"), scenario]
    words += ["--port", str(server.port), "--pid", str(server.pid)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--json"] if server.kind.json else words


class Idle:
    """So many sessions, open and silent, until the `with` block ends."""

    def __init__(self, server: Server, users: int, **options: object) -> None:
        self._process = subprocess.Popen(
            command(server, "idle", users=users, **options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise Wrong(f"{server.kind.name}: {users} idle sessions could not be opened")
        self.found: dict[str, Any] = json.loads(line)

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate("")
