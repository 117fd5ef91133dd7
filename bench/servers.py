"""The servers that are measured: how each is started. All speak TLS on a loopback port, and are pinned to one core."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"
CERT, KEY = BUILD / "server.crt", BUILD / "server.key"
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _CORES[0], _CORES[-1]
_UNLIMITED = ("-message-rate=0", "-sign-in-rate=0", "-max-connections=0", "-max-connections-per-address=0")
"""Settings that an operator has: the load comes from one machine, as fast as it can."""


@dataclass(frozen=True)
class Kind:
    """`command`: with {port}, {cert}, {key} and {data} (an empty folder) to be filled in. `needs`: what was built."""

    name: str
    command: tuple[str, ...]
    needs: Path | None = None
    json: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def there(self) -> bool:
        return self.needs is None or self.needs.exists()


def ours(name: str, *flags: str, json: bool = False, module: tuple[str, ...] = ("-m", "gochatsecure")) -> Kind:
    given = ("-addr=127.0.0.1:{port}", "-cert={cert}", "-key={key}", "-data={data}", *_UNLIMITED, *flags)
    return Kind(name, (sys.executable, *module, *given), json=json)


def _python(name: str, script: str, *more: str) -> Kind:
    python = BUILD / "python/bin/python"
    return Kind(name, (str(python), str(HERE / "peers" / script), "{port}", "{cert}", "{key}", *more), python)


MEMORY = ours("ours, memory", "-store=memory:")
SQLITE = ours("ours, sqlite")
MEMORY_JSON = ours("ours, memory, JSON", "-store=memory:", json=True)
SQLITE_JSON = ours("ours, sqlite, JSON", json=True)
PROCESS_JSON = ours("ours, sqlite, process, JSON", "-durability=process", json=True)
WEBSOCKETS = _python("websockets", "websockets_peer.py")
AIOHTTP = _python("aiohttp", "aiohttp_peer.py")
STARLETTE = _python("Starlette, uvicorn", "starlette_peer.py")
PLAIN = _python("plain", "plain.py")
PLAIN_LOG = _python("plain, with a log", "plain.py", "sqlite:{data}/plain.db")
NODE = Kind(
    "Node ws",
    ("node", str(HERE / "peers/node_peer.js"), "{port}", "{cert}", "{key}"),
    BUILD / "node/node_modules/ws",
    environment={"NODE_PATH": str(BUILD / "node/node_modules")},
)
GO = Kind("Go gorilla", (str(BUILD / "go"), "{port}", "{cert}", "{key}"), BUILD / "go")

PEERS = (WEBSOCKETS, AIOHTTP, STARLETTE, NODE, GO, PLAIN, PLAIN_LOG)


class Server:
    """One running server. Ends with the `with` block."""

    def __init__(self, kind: Kind, data: Path | None = None) -> None:
        """`data`: a folder to use and to keep; else an empty one, which goes."""
        self.kind = kind
        self.port = _free_port()
        self._own = None if data else BUILD / f"data-{self.port}"
        self.data = data or BUILD / f"data-{self.port}"
        self.data.mkdir(mode=0o700, exist_ok=True)
        self._log = (BUILD / "server.log").open("ab")
        values = {"port": self.port, "cert": CERT, "key": KEY, "data": self.data}
        command = [word.format(**values) for word in kind.command]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command],
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **kind.environment},
            cwd=HERE.parent,
        )
        self.started_s = self._wait()

    def _wait(self) -> float:
        """Seconds from its start until it accepted a connection."""
        while time.monotonic() - self.begun < 30 and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except ConnectionRefusedError:
                time.sleep(0.002)
            else:
                return time.monotonic() - self.begun
        self.end()
        raise RuntimeError(f"{self.kind.name} does not start; see {BUILD / 'server.log'}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def resident(self) -> int:
        """Bytes of memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.kind.name} has ended")

    def _cpu(self) -> int:
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def settle(self, most: float = 10.0) -> None:
        """Wait until it has nothing left to do."""
        end = time.monotonic() + most
        while time.monotonic() < end:
            before = self._cpu()
            time.sleep(0.1)
            if self._cpu() - before < 5_000_000:
                return

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
