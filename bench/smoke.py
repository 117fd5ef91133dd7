"""`make bench-smoke`: no regression unseen, in about a minute, on a fast machine or a slow one.

Ours and the plain variant, in the same run, as ratios with a wide margin; system calls for each delivery, where strace
is there; and under load: bounded memory with slow readers, a quiet room beside a flood, pings and handshakes that get
their turn.
"""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from . import servers
from .load import Wrong, command, load
from .servers import BUILD, HERE, Kind, Server
from .talker import Talker, connect, sign_in

_PLAIN = Kind("plain", (sys.executable, str(HERE / "peers/plain.py"), "{port}", "{cert}", "{key}"))
_PIPELINING = {"users": 100, "senders": 10, "window": 64}
_ONE = {"users": 100, "senders": 10, "window": 1}
_SLOW = 20  # readers that never read
_BELIEVED_S = 3.0  # nobody waits longer than that beside a flood; it is some 0.1 s where nothing else runs

RATIOS: tuple[tuple[Kind, dict[str, int], float], ...] = (
    (servers.MEMORY, _PIPELINING, 8.0),  # 20 and more on a quiet machine
    (servers.SQLITE_JSON, _PIPELINING, 4.0),  # 10 and more
    (servers.MEMORY, _ONE, 2.0),  # 4 and more
)
"""How many times the CPU of one delivery of ours a delivery of the plain variant costs, at least."""


def ratios() -> None:
    for kind, options, least in RATIOS:
        cost: dict[str, list[float]] = {kind.name: [], _PLAIN.name: []}
        with Server(kind) as ours, Server(_PLAIN) as plain:
            for _ in range(3):
                for server in (ours, plain):
                    run = load(server, "room", seconds=1, **options)
                    cost[server.kind.name].append(run["server_cpu_s"] * 1e6 / run["deliveries"])
                    server.settle()
        mine, theirs = median(cost[kind.name]), median(cost[_PLAIN.name])
        words = f"{kind.name}, window {options['window']}: {mine:.2f} us a delivery, plain {theirs:.2f}"
        check(theirs / mine >= least, f"{words}: {theirs / mine:.1f}x, at least {least:g}x")


def system_calls() -> None:
    """A write for each turn of the loop and member, not for each delivery."""
    if shutil.which("strace") is None:
        print("  skipped: strace is not here")
        return
    report = BUILD / "strace"
    with Server(servers.MEMORY) as server:
        watched = subprocess.Popen(
            ["strace", "-c", "-f", "-e", "trace=sendto", "-o", str(report), "-p", str(server.pid)],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        if watched.poll() is not None:
            print("  skipped: strace may not look at other programs here")
            return
        run = load(server, "room", seconds=2, **_PIPELINING)
        watched.send_signal(signal.SIGINT)
        watched.wait(10)
    rows = [line.split() for line in report.read_text().splitlines() if line.endswith(" sendto")]
    calls = sum(int(row[3]) for row in rows)
    each = calls / run["deliveries"]
    check(0 < each <= 0.25, f"{each:.3f} system calls for each delivery, at most 0.25")


def slow_readers() -> None:
    """Those who never read cost a bounded amount of memory, are closed, and delay nobody. What is said is on disk."""
    with Server(servers.SQLITE) as server:
        load(server, "room", seconds=0.5, **_PIPELINING)  # what a first use of everything takes
        before = server.resident()
        slow = [_silent(server, f"slow{number}") for number in range(_SLOW)]
        with Flood(server, seconds=6, size=1024) as flood:
            most = 0
            while flood.runs():
                most = max(most, server.resident())
                time.sleep(0.05)
            flood.verify()
        bound = before + _SLOW * 2 * 2**20 + 64 * 2**20  # an outbox of 1 MiB each, and what Python keeps beside it
        check(most <= bound, f"{_SLOW} slow readers: {most >> 20} MiB resident, at most {bound >> 20}")
        check(all(map(_ends, slow)), f"all {_SLOW} were closed, and no other")


def _silent(server: Server, name: str) -> ssl.SSLSocket:
    """A session in the flooded room that reads nothing from now on."""
    token = sign_in(server, name)
    slow = connect(server, receive=8192)
    slow.sendall(
        f"GET /ws?token={token}&room={Flood.room}-0 HTTP/1.1\r\nHost: localhost\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    slow.recv(12)
    return slow


def _ends(slow: ssl.SSLSocket) -> bool:
    slow.settimeout(10)
    try:
        while slow.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


class Flood:
    """Ten senders who write as fast as they can into a room of a hundred."""

    room = "flood"

    def __init__(self, server: Server, **options: float) -> None:
        words = command(server, "room", room=self.room, **_PIPELINING, **options)
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)

    def runs(self) -> bool:
        return self._process.poll() is None

    def verify(self) -> None:
        found, faults = self._process.communicate(timeout=60)
        whole = not self._process.returncode and all(
            f'"{fault}": 0' in found for fault in ("missing", "repeated", "leaked", "lost", "refused")
        )
        check(whole and '"one_order": true' in found, f"in the flood every delivery came once, in one order {faults}")

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def fairness() -> None:
    """Beside a flood, a quiet room, pings and handshakes get their turn."""
    with Server(servers.MEMORY) as server:
        talker = Talker(server, "quiet")
        talker.ask("join", room="library")
        waits: dict[str, list[float]] = {"a message in a quiet room": [], "a ping": [], "a handshake": []}
        with Flood(server, seconds=6) as flood:
            number = 0
            while flood.runs():
                number += 1
                said = {"room": "library", "cid": f"q{number}", "text": "hush"}
                waits["a message in a quiet room"].append(talker.timed("send", **said)[0])
                waits["a ping"].append(_pong(talker))
                waits["a handshake"].append(_timed(lambda: connect(server).close()))
                time.sleep(0.15)  # who pings more than ten times a second is closed
            flood.verify()
        talker.close()
    for name, found in waits.items():
        words = f"{name} beside a flood: {median(found):.0f} ms, at most {max(found):.0f} of {len(found)}"
        check(len(found) > 3 and max(found) < _BELIEVED_S * 1000, words)


def _pong(talker: Talker) -> float:
    """Milliseconds until a WebSocket ping has its pong: nothing else is under way for this client."""

    def ping() -> None:
        talker.socket.sendall(b"\x89\x80\x00\x00\x00\x00")
        answer = talker.socket.recv(2)
        if answer != b"\x8a\x00":
            raise Wrong(f"a ping was answered with {answer!r}")

    return _timed(ping)


def _timed(step: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    step()
    return (time.perf_counter() - begun) * 1000


_failed: list[str] = []


def check(holds: bool, words: str) -> None:
    print(f"  {'ok' if holds else 'FAILED'}: {words}", flush=True)
    if not holds:
        _failed.append(words)


def main() -> int:
    subprocess.run([HERE / "prepare.sh", "ours"], check=True)
    begun = time.monotonic()
    for step in (ratios, system_calls, slow_readers, fairness):
        print(step.__name__.replace("_", " "), flush=True)
        try:
            step()
        except Wrong as error:
            check(False, str(error))
    print(f"{len(_failed)} failed, in {time.monotonic() - begun:.0f} s")
    return 1 if _failed else 0


if __name__ == "__main__":
    sys.exit(main())
