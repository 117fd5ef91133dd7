"""The tables and plots of docs/performance.md, made from bench/results.json. Pure but for reading that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from . import svg

RESULTS = Path(__file__).parent / "results.json"
_DOCS = "docs/performance.md"

SCENARIOS = {
    "room100_pipelining": "one room of 100, 10 senders pipelining",
    "room100_one": "one room of 100, 10 senders, one message under way each",
    "room1000": "one room of 1,000, 10 senders",
    "room100_lone": "one room of 100, a lone sender",
    "rooms": "1,000 people in 100 rooms, 100 senders",
}


def _results() -> Any:
    return json.loads(RESULTS.read_text("utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def _thousands(rate: float) -> str:
    return f"{rate / 1000:,.0f}k" if rate >= 10_000 else f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _number(value: float) -> str:
    """With as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cell(one: Any) -> str:
    """Rate, spread, and the server's CPU time."""
    if one is None:
        return "failed"
    spread = max(one["most"] - one["per_s"], one["per_s"] - one["least"]) / one["per_s"]
    return f"{_thousands(one['per_s'])} ±{spread:.0%} ({_number(one['cpu_us'])})"


def _servers(scenarios: Any) -> list[str]:
    return list(dict.fromkeys(server for found in scenarios.values() for server in found))


def machine() -> str:
    about = _results()["machine"]
    peers = ", ".join(f"{name} {version}" for name, version in about["peers"].items())
    return (
        f"{about['cores']} cores ({about['processor']}), {about['memory_gib']} GiB, {about['system']}, Python"
        f" {about['python']}, {about['openssl'].rsplit(' ', 3)[0]}. Peers: {peers}.\n"
    )


def deliveries() -> str:
    found = _results()["compared"]["scenarios"]
    rows = [
        [f"**{server}**" if server.startswith("ours") else server]
        + [_cell(found[scenario].get(server)) for scenario in SCENARIOS]
        for server in _servers(found)
    ]
    return table(["deliveries/s, spread (CPU us each)", *SCENARIOS.values()], rows)


def others() -> str:
    results = _results()
    found, memory = results["compared"]["scenarios"], results["memory"]
    rows = []
    for server in _servers(found):
        delay = found["latency"].get(server)
        delays = (
            f"{_number(delay['delay_us']['p50'] / 1000)} / {_number(delay['delay_us']['p99'] / 1000)}"
            if delay
            else "failed"
        )
        each = [memory[count].get(server) for count in ("1000", "10000")]
        rows.append(
            [
                f"**{server}**" if server.startswith("ours") else server,
                _cell(found["storm"].get(server)),
                _cell(found["sign_in"].get(server)),
                delays,
                *(f"{one['bytes'] / 1024:.0f}" if one else "" for one in each),
            ]
        )
    head = [
        "",
        "handshakes/s",
        "sign-ins/s",
        "delay at 200 messages/s, ms, p50 / p99",
        "KiB a session, 1,000",
        "10,000",
    ]
    return table(head, rows)


def sizes() -> str:
    found = _results()["sizes"]
    counts = list(dict.fromkeys(size for by_size in found.values() for size in by_size))
    rows = [
        [kind, *(_cell(by_size[size]) if size in by_size else "" for size in counts)] for kind, by_size in found.items()
    ]
    return table(["deliveries/s (CPU us each), members", *(f"{int(size):,}" for size in counts)], rows)


def engines() -> str:
    found = _results()["engines"]
    disk = found["fsync_us"]
    rows = [
        [
            kind.removeprefix("ours, "),
            f"{one['per_s']:,.0f}",
            _number(one["cpu_us"]),
            _number(one["ack_p50"] / 1000),
            _number(one["ack_p99"] / 1000),
        ]
        for kind, one in found["engines"].items()
    ]
    rows.append(["a transaction for each message, without a server", f"{found['one_by_one_per_s']:,}", "", "", ""])
    rows.append(
        [
            "bare fsync of 4 KiB",
            f"{1e6 / disk['p50']:,.0f}",
            "",
            _number(disk["p50"] / 1000),
            _number(disk["p99"] / 1000),
        ]
    )
    head = ["", "messages/s at most", "CPU us a message", "ack at 1,000 messages/s, ms, p50", "p99"]
    return table(head, rows)


def lengths() -> str:
    rows = [
        [f"{int(length):,}"]
        + [f"{one[name]:.2f}" for name in ("open_ms", "page_ms", "resume_ms", "start_s", "file_mib")]
        for length, one in _results()["lengths"].items()
    ]
    head = [
        "entries",
        "open the room, ms",
        "a page of history, ms",
        "resume 1,000 entries, ms",
        "start, s",
        "file, MiB",
    ]
    return table(head, rows)


def soak() -> str:
    rows = [[f"{one['joins']:,}", f"{one['mib']:.1f}"] for one in _results()["soak"]["memory"]]
    return table(["joins and leaves so far", "resident MiB"], rows)


def techniques() -> str:
    rows = [
        [name, _number(cost["with"]), _number(cost["without"]), f"{cost['without'] / cost['with']:.2f}"]
        for name, cost in _results()["techniques"].items()
    ]
    return table(["technique", "CPU us with it", "without", "factor"], rows)


def time() -> str:
    found = _results()["time"]
    places = sorted(
        {place for parts in found.values() for place in parts}, key=lambda p: -max(x.get(p, 0) for x in found.values())
    )
    rows = [[place, *(f"{parts.get(place, 0):.0%}" for parts in found.values())] for place in places]
    return table(["part of the server's CPU time", *found], rows)


def goals() -> str:
    """What was aimed at, beside what was reached."""
    results = _results()
    found, disk = results["compared"]["scenarios"], results["engines"]["fsync_us"]
    sizes, lengths = results["sizes"].get("ours, memory", {}), list(results["lengths"].values())
    rows: list[list[str]] = []

    def aim(words: str, goal: str, reached: float, ok: bool, unit: str = "x", cpu: str = "") -> None:
        rows.append([words, goal, f"{_number(reached)}{unit}", cpu, "yes" if ok else "**no**"])

    def ratio(words: str, scenario: str, ours: str, other: str, least: float) -> None:
        mine, theirs = found[scenario].get(ours), found[scenario].get(other)
        if mine and theirs:
            reached = mine["per_s"] / theirs["per_s"]
            cpu = f"{_number(theirs['cpu_us'] / mine['cpu_us'])}x"
            words = f"{words}, {ours.removeprefix('ours, ')}, against {other}"
            aim(words, f"{least:g}x", reached, reached >= least, cpu=cpu)

    for ours, least in (("ours, memory", 10.0), ("ours, sqlite", 6.0)):
        for other, most in (("websockets", least), ("plain, with a log", least), ("Node ws", 1.0), ("Go gorilla", 1.0)):
            ratio("busy room of 100, pipelining", "room100_pipelining", ours, other, most)
    ratio("room of 1,000, 10 senders", "room1000", "ours, memory", "websockets", 5)
    if "10000" in sizes:
        growth = sizes["10000"]["cpu_us"] / sizes["100"]["cpu_us"]
        aim("cost of a delivery, 10,000 members against 100", "at most 1.5x", growth, growth <= 1.5)
    for scenario, words in (("room100_lone", "lone sender"), ("rooms", "100 rooms of 10")):
        ratio(words, scenario, "ours, memory", "websockets", 1.4)
        ratio(words, scenario, "ours, memory", "Go gorilla", 1)
    each = results["memory"]["10000"]["ours, memory, JSON"]["bytes"] / 1024
    aim("memory of an idle JSON session, 10,000 of them", "at most 30 KiB", each, each <= 30, " KiB")
    ratio("handshakes/s", "storm", "ours, memory", "websockets", 1.3)
    mine = results["engines"]["engines"]["ours, sqlite, JSON"]
    for part, most in (("p50", 1.5), ("p99", 4.0)):
        times = mine[f"ack_{part}"] / disk[part]
        aim(f"ack at 1,000 messages/s, {part}, against a bare fsync", f"at most {most:g}x", times, times <= most)
    times = mine["per_s"] / results["engines"]["one_by_one_per_s"]
    aim("committed messages/s against a transaction for each", "20x", times, times >= 20)
    for name, words in (
        ("open_ms", "opening a room"),
        ("page_ms", "a page of history"),
        ("resume_ms", "resuming 1,000"),
    ):
        times = lengths[-1][name] / lengths[0][name]
        aim(f"{words}, a million entries against a thousand", "as long", times, times <= 2)
    began = results["start"]["accepted_s"]
    aim("start to the first accepted connection", "at most 0.5 s", began, began <= 0.5, " s")
    return table(["", "goal", "reached", "by CPU time", ""], rows)


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "machine": (_DOCS, machine),
    "goals": (_DOCS, goals),
    "deliveries": (_DOCS, deliveries),
    "others": (_DOCS, others),
    "sizes": (_DOCS, sizes),
    "engines": (_DOCS, engines),
    "lengths": (_DOCS, lengths),
    "soak": (_DOCS, soak),
    "techniques": (_DOCS, techniques),
    "time": (_DOCS, time),
}


def plots() -> dict[str, str]:
    """The plots, by the file's name below docs/."""
    results = _results()
    busy = results["compared"]["scenarios"]["room100_pipelining"]
    bars = [(name, one["per_s"], _cell(one)) for name, one in busy.items()]
    title = "Deliveries a second, one room of 100, ten senders pipelining"
    sizes = {
        kind: [(float(size), one["cpu_us"]) for size, one in by_size.items()]
        for kind, by_size in results["sizes"].items()
    }
    by_length = {
        words: [(float(length), one[name]) for length, one in results["lengths"].items()]
        for name, words in (("open_ms", "open the room"), ("page_ms", "a page"), ("resume_ms", "resume 1,000"))
    }
    return {
        "performance/busy-room.svg": svg.bars(title, sorted(bars, key=lambda bar: -bar[1]), "ours"),
        "performance/room-size.svg": svg.curves("CPU time of one delivery", "members", "us", sizes),
        "performance/log-length.svg": svg.curves("Looking back", "entries in the log", "ms", by_length),
    }
