"""The server as a process of its own, for tests of the command line."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import unittest
from typing import NamedTuple

from tests.support import PATIENCE, ROOT, Client, certificate, temporary_folder, token


class Running(NamedTuple):
    """A server process; `port` is where it listens."""

    process: asyncio.subprocess.Process
    port: int
    greeting: str


class ProcessTestCase(unittest.IsolatedAsyncioTestCase):
    """Each test has a folder of its own, and its processes end with it."""

    def setUp(self) -> None:
        self.folder = temporary_folder()

    async def start(self, *flags: str, environment: dict[str, str] | None = None) -> Running:
        pair = certificate()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gochatsecure", "-addr=127.0.0.1:0", f"-cert={pair.cert}", f"-key={pair.key}"),
            *flags,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addAsyncCleanup(self.end, process)
        assert process.stdout is not None
        greeting = b""
        while b"Ctrl-C" not in greeting:
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            if not line:
                assert process.stderr is not None
                raise AssertionError((await process.stderr.read()).decode())
            greeting += line
        found = re.search(rb"https://127\.0\.0\.1:(\d+)", greeting)
        assert found is not None
        return Running(process, int(found[1]), greeting.decode())

    async def end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
        await process.communicate()

    async def enter(self, running: Running, name: str) -> Client:
        """A signed-in client in the default room."""
        client = await Client.open(running, await token(running, name))
        self.addAsyncCleanup(client.abort)
        return client

    async def finish(self, process: asyncio.subprocess.Process) -> tuple[int, str]:
        """Its exit status and what it logged."""
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, err.decode()
