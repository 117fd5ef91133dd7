"""`make bench`: measures ours and its peers, interleaved, and writes bench/results.json.

`--rounds N` (3), `--seconds S` (1) a measurement, `--only PART` one of the parts below.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from . import alone, servers
from .load import Idle, Wrong, load
from .servers import BUILD, HERE, Server

RESULTS = HERE / "results.json"
Results = dict[str, Any]

OURS = (servers.MEMORY, servers.SQLITE, servers.MEMORY_JSON, servers.SQLITE_JSON)

SCENARIOS: dict[str, tuple[str, dict[str, Any]]] = {
    "room100_pipelining": ("room", {"users": 100, "senders": 10, "window": 64}),
    "room100_one": ("room", {"users": 100, "senders": 10, "window": 1}),
    "room100_lone": ("room", {"users": 100, "senders": 1, "window": 1}),
    "room1000": ("room", {"users": 1000, "senders": 10, "window": 1}),
    "rooms": ("room", {"users": 1000, "rooms": 100, "senders": 100, "window": 1}),
    "latency": ("room", {"users": 100, "senders": 10, "rate": 200}),
    "storm": ("storm", {"users": 32}),
    "sign_in": ("sign-in", {"users": 8}),
}
"""By name: what the generator does, and with what options."""


def compare(rounds: int, seconds: float) -> Results:
    """Every server in every scenario, one after another, so that a slow hour meets them all."""
    kinds = [kind for kind in (*OURS, *servers.PEERS) if kind.there]
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    faults: list[str] = []
    for turn in range(rounds):
        with ExitStack() as stack:
            running = [stack.enter_context(Server(kind)) for kind in kinds]
            for name, (scenario, options) in SCENARIOS.items():
                say(f"round {turn + 1}: {name}")
                for server in running[turn % len(running) :] + running[: turn % len(running)]:
                    try:
                        one = load(server, scenario, seconds=seconds, **options)
                        found[name][server.kind.name].append(one)
                        say(f"    {server.kind.name:22} {_in_words(one)}")
                    except Wrong as error:
                        faults.append(str(error))
                        say(f"    {error}")
                    server.settle()
    return {
        "scenarios": {name: {kind: summary(runs) for kind, runs in kinds.items()} for name, kinds in found.items()},
        "faults": faults,
    }


def summary(runs: list[dict[str, Any]]) -> Results:
    """Medians over the runs, and the least and most of what counts."""
    rates = [_rate(run) for run in runs]
    made: Results = {
        "runs": len(runs),
        "per_s": round(median(rates)),
        "least": round(min(rates)),
        "most": round(max(rates)),
        "cpu_us": round(median(_cpu_us(run) for run in runs), 3),
        "load": round(median(run["load_cpu_s"] / run["seconds"] for run in runs), 3),
    }
    for name in ("delay_us", "ack_us"):
        if name in runs[0]:
            made[name] = {part: median(run[name][part] for run in runs) for part in ("p50", "p99", "p999")}
    return made


def _count(run: dict[str, Any]) -> int:
    return int(run.get("deliveries", run.get("done", 0)))


def _rate(run: dict[str, Any]) -> float:
    return _count(run) / float(run["seconds"])


def _cpu_us(run: dict[str, Any]) -> float:
    return float(run["server_cpu_s"]) * 1e6 / max(1, _count(run))


def _in_words(run: dict[str, Any]) -> str:
    return f"{_rate(run):12,.0f}/s {_cpu_us(run):9.2f} us CPU each, generator {run['load_cpu_s'] / run['seconds']:4.0%}"


def memory() -> Results:
    """Bytes of server memory for each idle session."""
    found: Results = {}
    for count in (1000, 10_000):
        for kind in (*OURS[2:3], servers.MEMORY, *servers.PEERS):
            if not kind.there or (count > 1000 and kind not in (servers.MEMORY_JSON, servers.GO, servers.NODE)):
                continue
            with Server(kind) as server:
                before = server.resident()
                try:
                    with Idle(server, count, rooms=count // 10) as idle:
                        server.settle()
                        each = (server.resident() - before) / count
                        found.setdefault(str(count), {})[kind.name] = {"bytes": round(each), **idle.found}
                        say(f"    {count} idle, {kind.name:22} {each / 1024:8.1f} KiB each")
                except Wrong as error:
                    say(f"    {error}")
    return found


def sizes(rounds: int, seconds: float) -> Results:
    """The cost of a delivery by the size of the room."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    kinds = ((servers.MEMORY, 10_000), (servers.WEBSOCKETS, 1000), (servers.GO, 10_000))
    for _ in range(rounds):
        for kind, largest in kinds:
            if not kind.there:
                continue
            with Server(kind) as server:
                for size in (10, 100, 1000, 10_000):
                    if size > largest:
                        continue
                    try:
                        options = {"users": size, "senders": 10, "window": 1, "at_once": 512, "patience": 60}
                        one = load(server, "room", seconds=seconds, **options)
                        found[kind.name][str(size)].append(one)
                        say(f"    a room of {size:6}, {kind.name:22} {_in_words(one)}")
                    except Wrong as error:
                        say(f"    {error}")
                    server.settle(30)
    return {kind: {size: summary(runs) for size, runs in by_size.items()} for kind, by_size in found.items()}


def machine() -> Results:
    """In plain words: nothing that names it."""
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "peers": _versions(),
    }


def _versions() -> dict[str, str]:
    commands: dict[str, list[str | Path]] = {
        "websockets": [BUILD / "python/bin/python", "-c", "import websockets; print(websockets.__version__)"],
        "aiohttp": [BUILD / "python/bin/python", "-c", "import aiohttp; print(aiohttp.__version__)"],
        "uvicorn": [BUILD / "python/bin/python", "-c", "import uvicorn; print(uvicorn.__version__)"],
        "Node": ["node", "--version"],
        "ws": ["node", "-p", f"require('{BUILD}/node/node_modules/ws/package.json').version"],
        "Go": ["go", "version"],
    }
    found = {}
    for name, words in commands.items():
        try:
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            continue
        found[name] = said.removeprefix("go version go").split()[0].removeprefix("v")
    return found


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument(
        "--only", action="append", default=[], help="a part: the others stay as they are in results.json"
    )
    given = parser.parse_args()
    parts = {
        "machine": machine,
        "compared": lambda: compare(given.rounds, given.seconds),
        "memory": memory,
        "sizes": lambda: sizes(min(2, given.rounds), given.seconds),
        **alone.parts(given.rounds, given.seconds),
    }
    if unknown := set(given.only) - parts.keys():
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(parts)}")
    subprocess.run([HERE / "prepare.sh"], check=True)
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    begun = time.monotonic()
    for name, part in parts.items():
        if not given.only or name in given.only:
            say(f"== {name}")
            results[name] = part()
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=False) + "\n")
    say(f"done in {time.monotonic() - begun:.0f} s; `make pages` writes the tables and plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
