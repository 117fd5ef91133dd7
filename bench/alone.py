"""What only ours has: the log, its cost and how that grows; start-up, a soak, and what each technique is worth."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

from gochatsecure.chat.model import Draft, Posted, room_stream
from gochatsecure.log.rows import connect
from gochatsecure.log.writer import Writer

from . import servers
from .load import Wrong, load
from .servers import BUILD, Server, ours
from .talker import Talker
from .without import TECHNIQUES

Results = dict[str, Any]
_TEXT = "#" + "." * 63


def parts(rounds: int, seconds: float) -> dict[str, Callable[[], Results]]:
    return {
        "engines": lambda: engines(rounds, seconds),
        "lengths": lengths,
        "start": start,
        "soak": soak,
        "techniques": lambda: techniques(rounds, seconds),
        "time": where_the_time_goes,
    }


# The log's engines.


def bare_fsync(times: int = 500) -> Results:
    """Microseconds that it takes to write 4 KiB and have them on this disk."""
    path = BUILD / "fsync"
    found = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            found.append((time.perf_counter() - begun) * 1e6)
    path.unlink()
    return _spread(found)


def one_by_one(seconds: float) -> float:
    """Messages a second with a transaction for each, by the same code."""
    with _Filled("one-by-one", durable=True) as store:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            store.add(1, group=1)
            count += 1
        return count / (time.perf_counter() - begun)


def engines(rounds: int, seconds: float) -> Results:
    """Committed messages a second in one room of 10, and how long an ack takes at 1,000 messages a second."""
    kinds = (servers.MEMORY_JSON, servers.PROCESS_JSON, servers.SQLITE_JSON)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    disk: dict[str, list[float]] = defaultdict(list)
    singly = []
    for _ in range(rounds):
        for name, value in bare_fsync().items():
            disk[name].append(value)
        singly.append(one_by_one(seconds))
        with ExitStack() as stack:
            for server in [stack.enter_context(Server(kind)) for kind in kinds]:
                most = load(server, "room", seconds=seconds, users=10, senders=10, window=64)
                calm = load(server, "room", seconds=2 * seconds, users=10, senders=10, rate=1000)
                mine = found[server.kind.name]
                mine["per_s"].append(most["acks"] / most["seconds"])
                mine["cpu_us"].append(most["server_cpu_s"] * 1e6 / most["acks"])
                for part in ("p50", "p99"):
                    mine[f"ack_{part}"].append(calm["ack_us"][part])
                say(f"    {server.kind.name:28} {mine['per_s'][-1]:8,.0f}/s, acks {calm['ack_us']}")
    return {
        "fsync_us": {name: round(median(values), 1) for name, values in disk.items()},
        "one_by_one_per_s": round(median(singly)),
        "engines": {kind: {name: round(median(each), 1) for name, each in by.items()} for kind, by in found.items()},
    }


class _Filled:
    """A store that is filled without a server, by the same code, for as long as the `with` block lasts."""

    room = "long"

    def __init__(self, name: str, *, durable: bool = False) -> None:
        self.folder = BUILD / name
        self._durable = durable
        self._writer: Writer | None = None
        self.count = 0

    def add(self, count: int, group: int = 500) -> None:
        stream = room_stream(self.room)
        writer = self._open()
        while count:
            many = min(count, group)
            now = int(time.time() * 1000)
            drafts = [
                Draft("alice", now, ((stream, Posted(_TEXT)),), f"c{self.count + number}") for number in range(many)
            ]
            writer.commit(drafts, {})
            self.count += many
            count -= many

    def _open(self) -> Writer:
        if self._writer is None:
            path = self.folder / "chat.db"
            path.touch(0o600)
            self._writer = Writer(connect(path, durable=self._durable), secrets.token_hex, secrets.token_bytes)
            self._writer.migrate()
        return self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> _Filled:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        shutil.rmtree(self.folder)


def lengths() -> Results:
    """Milliseconds to open a room, to show a page of its history, to resume 1,000 entries, by the length of its log."""
    found: Results = {}
    chance = random.Random(1)
    with _Filled("long") as store:
        for length in (1000, 10_000, 100_000, 1_000_000):
            say(f"    filling a log up to {length:,}")
            store.add(length - store.count)
            store.close()
            with Server(servers.SQLITE_JSON, store.folder) as server:
                talker = Talker(server, "reader")
                opened, pages, resumed = [], [], []
                for _ in range(20):
                    took, joined = talker.timed("join", room=store.room)
                    opened.append(took)
                    before = chance.randrange(101, length + 1)
                    took, page = talker.timed("history", room=store.room, before=before, limit=100)
                    assert len(page["messages"]) == 100
                    pages.append(took)
                    talker.ask("leave", room=store.room)
                    resumed.append(_resume(talker, store.room, joined["epoch"], max(0, length - 1000)))
                    talker.ask("leave", room=store.room)
                talker.close()
                found[str(length)] = {
                    "open_ms": round(median(opened), 2),
                    "page_ms": round(median(pages), 2),
                    "resume_ms": round(median(resumed), 2),
                    "start_s": round(server.started_s, 3),
                    "file_mib": round(sum(file.stat().st_size for file in store.folder.iterdir()) / 2**20, 1),
                }
            say(f"    {length:9,}: {found[str(length)]}")
    return found


def _resume(talker: Talker, room: str, epoch: str, seq: int) -> float:
    took, more = 0.0, True
    while more:
        each, answer = talker.timed("join", room=room, after={"epoch": epoch, "seq": seq})
        took += each
        more, seq = answer["more"], answer["events"][-1]["seq"]
    return took


# Beginning, and going on.


def start() -> Results:
    """Seconds from the process's start to its first accepted connection, and to the first answer."""
    accepted, answered = [], []
    for _ in range(5):
        with Server(servers.SQLITE_JSON) as server:
            accepted.append(server.started_s)
            talker = Talker(server, "first")
            answered.append(time.monotonic() - server.begun)
            talker.close()
    return {"accepted_s": round(median(accepted), 3), "answered_s": round(median(answered), 3)}


def soak() -> Results:
    """Resident memory while people come and go, each into a room and out of it again."""
    found: list[dict[str, float]] = []
    with Server(servers.SQLITE) as server:
        count = 0
        for turn in range(7):
            server.settle()
            found.append({"joins": count, "mib": round(server.resident() / 2**20, 1)})
            say(f"    after {count:6} joins and leaves: {found[-1]['mib']} MiB")
            if turn < 6:
                count += load(server, "storm", seconds=4, warm=0, users=32)["done"]
    return {"memory": found}


# What each technique is worth: the same server without it.


def techniques(rounds: int, seconds: float) -> Results:
    found: Results = {}
    for name, (_, flags, scenario, options) in TECHNIQUES.items():
        whole = ours("as it is", *flags, json="--json" in options)
        without = ours(name, *flags, json="--json" in options, module=("-m", "bench.without", name))
        cost: dict[str, list[float]] = {"with": [], "without": []}
        with Server(whole) as one, Server(without) as other:
            for _ in range(rounds):
                for key, server in (("with", one), ("without", other)):
                    try:
                        run = load(
                            server, scenario, seconds=seconds, **{k: v for k, v in options.items() if k != "--json"}
                        )
                    except Wrong as error:
                        say(f"    {error}")
                        continue
                    count = run.get("deliveries", run.get("done"))
                    cost[key].append(run["server_cpu_s"] * 1e6 / count)
                    server.settle()
        if cost["with"] and cost["without"]:
            found[name] = {key: round(median(values), 3) for key, values in cost.items()}
            say(f"    {name:28} {found[name]}")
    return found


def where_the_time_goes() -> Results:
    """Parts of the server's CPU time, by what it does, in four scenarios."""
    scenarios: dict[str, tuple[bool, str, dict[str, Any]]] = {
        "busy room, lines": (False, "room", {"users": 100, "senders": 10, "window": 64}),
        "busy room, JSON": (True, "room", {"users": 100, "senders": 10, "window": 64}),
        "rooms of ten, lines": (False, "room", {"users": 1000, "rooms": 100, "senders": 100, "window": 1}),
        "handshakes, lines": (False, "storm", {"users": 32}),
    }
    found: Results = {}
    for name, (is_json, scenario, options) in scenarios.items():
        file = BUILD / "profile.json"
        module = ("-m", "bench.profile", str(file))
        with Server(ours(name, "-store=memory:", json=is_json, module=module)) as server:
            load(server, scenario, seconds=4, mark=1, **options)
        samples = json.loads(file.read_text())
        total = sum(samples.values())
        found[name] = {place: round(count / total, 4) for place, count in samples.items()}
        say(f"    {name}: {found[name]}")
    return found


def _spread(values: list[float]) -> Results:
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "most": round(ordered[-1], 1),
    }


def say(text: str) -> None:
    print(text, flush=True)
