"""Numbers about a running server, for its operator: counted while it happened, or read from what is there now.

Names follow Prometheus: base units, `_total` for what only grows, `process_` for what is the process's. No label is a
name, a room or an address: the sets are small and fixed, and who reads the numbers learns nothing about anybody.
Reading changes nothing, and costs the same however many are connected.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

from ..log.port import Log
from ..version import __version__
from ..wire.exposition import Family, Labels, exposition
from .authority import Authority
from .counts import Counts
from .hub import Hub
from .listener import Listener
from .routes import Routes
from .sign_in import SignIn
from .watch import Watch

_T = TypeVar("_T")
_PROCESS = Path("/proc/self/stat")
_MACHINE = Path("/proc/stat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Of one server: where its numbers are."""

    counts: Counts
    listener: Listener
    routes: Routes
    sign_in: SignIn
    hub: Hub
    log: Log
    authority: Authority
    watch: Watch

    def tracked(self) -> Mapping[str, int]:
        own = {"connections": self.listener.tracked, "websockets": self.routes.tracked}
        return {**own, **self.sign_in.tracked, **self.hub.tracked}


class Process(NamedTuple):
    """This process. Where there is no /proc, its time alone."""

    seconds: float
    began: float | None = None
    virtual: int | None = None
    resident: int | None = None


class Row(NamedTuple, Generic[_T]):
    """One name, what it says, and how it is read: a number, or one for each value of its label; None if unknown."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    read: Callable[[_T], float | Mapping[str, int] | Mapping[int, int] | None]
    label: str = ""


SERVER: Sequence[Row[Parts]] = (
    Row("build_info", "gauge", "Always 1; what runs.", lambda of: {__version__: 1}, "version"),
    Row("python_info", "gauge", "Always 1; what it runs on.", lambda of: {platform.python_version(): 1}, "version"),
    Row(
        "ready", "gauge", "Whether it takes sessions; 0 while starting or going away.", lambda of: int(of.routes.ready)
    ),
    Row(
        "certificate_expires_timestamp_seconds",
        "gauge",
        "When the certificate that is shown to clients expires, in Unix time.",
        lambda of: of.watch.expires,
    ),
    Row(
        "signing_keys", "gauge", "Keys whose tokens are good; the newest signs.", lambda of: len(of.authority.keys.kids)
    ),
    Row("connections", "gauge", "TCP connections that are open.", lambda of: of.listener.open),
    Row("connections_accepted_total", "counter", "TCP connections that were let in.", lambda of: of.counts.accepted),
    Row(
        "connections_refused_total",
        "counter",
        "TCP connections that were dropped at once, before TLS.",
        lambda of: of.counts.refused,
        "reason",
    ),
    Row(
        "tls_handshakes_failed_total",
        "counter",
        "Connections that ended before their TLS handshake was done.",
        lambda of: of.counts.unsecured,
    ),
    Row(
        "http_answers_total",
        "counter",
        "Answers to HTTP requests; a WebSocket is none.",
        lambda of: of.counts.answers,
        "status",
    ),
    Row(
        "sign_ins_total",
        "counter",
        "Sign-ins and registrations, and passwords that were refused.",
        lambda of: of.counts.sign_ins,
        "outcome",
    ),
    Row("accounts", "gauge", "Names that are registered.", lambda of: of.authority.registered),
    Row("revocations", "gauge", "Sign-ins that ended before their tokens expire.", lambda of: of.authority.revoked),
    Row(
        "rates_tracked",
        "gauge",
        "Addresses or identities whose rate is remembered; at most the limit tracked_addresses.",
        Parts.tracked,
        "table",
    ),
    Row("sessions", "gauge", "WebSockets that are open.", lambda of: len(of.hub.sessions)),
    Row("sessions_opened_total", "counter", "WebSockets that were opened.", lambda of: of.counts.opened),
    Row("sessions_closed_total", "counter", "WebSockets that have ended.", lambda of: of.counts.closed, "code"),
    Row(
        "rooms_open", "gauge", "Rooms that somebody is in, or that are being written to.", lambda of: of.hub.rooms_open
    ),
    Row("commands_refused_total", "counter", "Requests that were refused.", lambda of: of.counts.commands, "code"),
    Row("log_queue_drafts", "gauge", "Drafts of entries that wait for their commit.", lambda of: of.log.tally.waiting),
    Row("log_commits_total", "counter", "Transactions that were stored.", lambda of: of.log.tally.commits),
    Row("log_commits_failed_total", "counter", "Transactions that could not be.", lambda of: of.log.tally.failed),
    Row("log_entries_committed_total", "counter", "Entries that were stored.", lambda of: of.log.tally.entries),
    Row(
        "log_commit_seconds_total",
        "counter",
        "Time taken by transactions, stored or not.",
        lambda of: of.log.tally.seconds,
    ),
)
"""Their names begin with `gochatsecure_`."""

PROCESS: Sequence[Row[Process]] = (
    Row("cpu_seconds_total", "counter", "Processor time used, the system's for us included.", lambda of: of.seconds),
    Row("start_time_seconds", "gauge", "When the process began, in Unix time.", lambda of: of.began),
    Row("virtual_memory_bytes", "gauge", "Memory that is mapped.", lambda of: of.virtual),
    Row("resident_memory_bytes", "gauge", "Memory that is in RAM.", lambda of: of.resident),
)
"""Their names begin with `process_`, as with everybody."""


def text_of(parts: Parts) -> str:
    """All of it as of now, in Prometheus' text format."""
    return exposition([*_families("gochatsecure_", SERVER, parts), *_families("process_", PROCESS, _process())])


def _families(prefix: str, rows: Sequence[Row[_T]], source: _T) -> Iterator[Family]:
    for name, kind, about, read, label in rows:
        found = read(source)
        samples: dict[Labels, float] = {}
        if isinstance(found, Mapping):
            samples |= {((label, str(value)),): count for value, count in sorted(found.items())}
        elif found is not None:
            samples[()] = found
        yield Family(prefix + name, kind, about, samples)


def _process() -> Process:
    seconds = sum(os.times()[:2])
    with suppress(OSError, ValueError, IndexError):
        fields = _PROCESS.read_text("ascii", errors="replace").rpartition(")")[2].split()  # from the third on: proc(5)
        began, virtual, resident = map(int, fields[19:22])
        return Process(seconds, _unix_time(began), virtual, resident * os.sysconf("SC_PAGE_SIZE"))
    return Process(seconds)


@cache
def _unix_time(ticks: int) -> float:
    """Of a moment that is so many clock ticks after the machine's start. Raises OSError, ValueError."""
    (boot,) = (line.split()[1] for line in _MACHINE.read_text("ascii").splitlines() if line.startswith("btime "))
    return int(boot) + ticks / os.sysconf("SC_CLK_TCK")
