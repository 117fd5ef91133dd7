"""The command line: how flags may be written, what it says, how it ends. Real processes where that matters."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import unittest
from dataclasses import fields

from gochatsecure import Settings, __version__
from gochatsecure.chat.model import Draft, Posted, room_stream
from gochatsecure.cli import help_text, main
from gochatsecure.log.sqlite import SQLiteLog
from gochatsecure.settings import flag_of
from tests.processes import ProcessTestCase
from tests.support import PATIENCE, ROOT, Client, certificate, request, temporary_folder, token


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return status, out.getvalue(), err.getvalue()


class Asking(unittest.TestCase):
    def test_help_tells_every_flag_with_its_default(self) -> None:
        for flag in ("-help", "--help", "-h"):
            status, out, _ = run(flag)
            self.assertEqual((status, out), (0, help_text()))
        for item in fields(Settings):
            if item.name != "limits":
                self.assertRegex(help_text(), rf"(?m)^  -{flag_of(item.name)} \S+\n        .+ \(default .+\)$")

    def test_version(self) -> None:
        for flag in ("-version", "--version"):
            self.assertEqual(run(flag), (0, f"gochatsecure {__version__}\n", ""))


class Verifying(unittest.TestCase):
    def setUp(self) -> None:
        self.path = temporary_folder() / "chat.db"
        self.store = f"sqlite:{self.path}"
        asyncio.run(self.fill())

    async def fill(self) -> None:
        log = SQLiteLog(self.path, durable=False, queue=10)
        await log.open(lambda outcomes: None)
        for text in ("one", "two"):
            log.append(Draft("alice", 1, ((room_stream("den"), Posted(text)),)))
        await log.close()

    def test_a_whole_store_is_said_to_be_so_and_its_heads_are_told(self) -> None:
        status, out, err = run("verify", "-store", self.store)
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"(?m)^room/den epoch=\S+ seq=1-2 head=[A-Za-z0-9_-]{43}$")
        self.assertIn("2 entries in 1 logs: no faults", out)

    def test_a_changed_store_is_told_of_and_ends_with_1(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as intruder:
            intruder.execute("UPDATE entry SET ts = 2 WHERE seq = 1")
        status, out, err = run("verify", f"-store={self.store}")
        self.assertEqual(status, 1)
        self.assertIn("room/den: entry 1: its head does not follow from entry 0", err)
        self.assertIn("1 faults", out)

    def test_what_cannot_be_verified_is_one_line(self) -> None:
        for store in ("memory:", f"sqlite:{self.path}.not-there", "nonsense"):
            status, out, err = run("verify", "-store", store)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))


class Faults(unittest.TestCase):
    """One line on stderr, with the cause and the mend; exit status 1."""

    def assertFault(self, wanted: str, *arguments: str) -> None:
        status, out, err = run(*arguments)
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, rf"^gochatsecure: .*{wanted}.*; .+\n$")
        self.assertEqual(err.count("\n"), 1, err)

    def test_every_way_of_writing_a_flag_is_read(self) -> None:
        for written in (["-addr=nowhere"], ["-addr", "nowhere"], ["--addr=nowhere"], ["--addr", "nowhere"]):
            self.assertFault("-addr: not HOST:PORT", *written)

    def test_flags_that_are_none(self) -> None:
        self.assertFault("-nosuch", "-nosuch")
        self.assertFault("expected one argument", "-addr")
        self.assertFault("extra", "extra")
        self.assertFault("-add", "-add", "x")

    def test_a_missing_certificate(self) -> None:
        folder = temporary_folder()
        self.assertFault("server.crt: there is no such file", "-cert", str(folder / "server.crt"))

    def test_a_key_that_others_can_read(self) -> None:
        pair = certificate()
        key = temporary_folder() / "server.key"
        key.write_bytes(pair.key.read_bytes())
        key.chmod(0o644)
        self.assertFault(f"{key}: other users can read it", "-cert", str(pair.cert), "-key", str(key))

    def test_a_missing_config(self) -> None:
        self.assertFault("nosuch.toml: cannot be read", "-config", "nosuch.toml")


class Processes(ProcessTestCase):
    async def test_it_says_where_to_go(self) -> None:
        running = await self.start("-store=memory:")
        self.assertIn(
            f"curl --cacert {certificate().ca} 'https://127.0.0.1:{running.port}/auth?username=", running.greeting
        )
        self.assertIn(f"'wss://127.0.0.1:{running.port}/ws?token=TOKEN&room=", running.greeting)

    async def test_a_signal_drains_and_ends_with_0(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            running = await self.start("-store=memory:")
            client = await self.enter(running, "alice")
            await client.until("alice joined the room")
            running.process.send_signal(number)
            self.assertEqual((await client.until_closed())[0], 1001)
            status, err = await self.finish(running.process)
            self.assertEqual(status, 0, err)
            self.assertNotIn("Traceback", err)

    async def test_a_second_signal_forces(self) -> None:
        config = self.folder / "patient.toml"
        config.write_text("[limits]\nlinger_s = 100\ngrace_s = 100\n")  # by itself it would wait as long
        running = await self.start("-store=memory:", f"-config={config}")
        client = await self.enter(running, "alice")  # it never answers the server's Close
        await client.until("alice joined the room")
        running.process.send_signal(signal.SIGTERM)
        await client.raw.read()
        running.process.send_signal(signal.SIGTERM)
        status, err = await self.finish(running.process)
        self.assertEqual(status, 1, err)

    async def test_a_second_signal_ends_what_a_client_holds_up(self) -> None:
        config = self.folder / "slow.toml"
        config.write_text("[limits]\ngrace_s = 3600\nlinger_s = 3600\n")
        running = await self.start("-store=memory:", f"-config={config}")
        client = await self.enter(running, "alice")  # it never answers the server's Close
        await client.until("alice joined the room")
        running.process.send_signal(signal.SIGTERM)
        received = b""
        while b"\x03\xe9" not in received:  # 1001
            received += await client.raw.read()
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual((await self.finish(running.process))[0], 1)

    async def test_killed_and_started_again_it_has_every_message(self) -> None:
        first = await self.start()
        alice = await self.enter(first, "alice")
        for number in range(30):
            alice.send(f"message {number}")
        await alice.until("alice: message 29")
        first.process.kill()
        await self.finish(first.process)
        second = await self.start("-history=30")
        bob = await self.enter(second, "bob")
        seen = await bob.until("bob joined the room")
        self.assertEqual(seen[:-1], [f"alice: message {number}" for number in range(30)])

    async def test_a_token_survives_a_restart(self) -> None:
        first = await self.start()
        ticket = await token(first, "alice")
        first.process.terminate()
        await self.finish(first.process)
        second = await self.start()
        client = await Client.open(second, ticket)
        self.addAsyncCleanup(client.abort)
        await client.until("alice joined the room")

    async def test_the_store_serves_one_server_at_a_time(self) -> None:
        await self.start()
        with self.assertRaisesRegex(AssertionError, "gochatsecure: .*another server is using it; "):
            await self.start()

    async def test_a_port_in_use_is_said_in_one_line(self) -> None:
        running = await self.start("-store=memory:")
        pair = certificate()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gochatsecure", f"-addr=127.0.0.1:{running.port}", "-store=memory:"),
            *(f"-cert={pair.cert}", f"-key={pair.key}"),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        status, err = await self.finish(process)
        self.assertEqual(status, 1)
        self.assertRegex(err, r"^gochatsecure: 127\.0\.0\.1:\d+: the port is in use; .*-addr\n$")

    async def test_log_lines_hold_no_token_and_no_text(self) -> None:
        running = await self.start("-store=memory:", "-log-format=json")
        ticket = await token(running, "alice")
        client = await Client.open(running, ticket)
        self.addAsyncCleanup(client.abort)
        client.send("the secret plan")
        await client.until("alice: the secret plan")
        await request(running, f"/ws?token={ticket}")
        running.process.terminate()
        await client.until_closed()
        _, err = await self.finish(running.process)
        self.assertIn('"event": "session_opened", "username": "alice"', err)
        for secret in (ticket, ticket.rpartition(".")[2], "secret plan"):
            self.assertNotIn(secret, err)

    async def test_no_more_connections_are_taken_than_there_are_file_descriptors(self) -> None:
        """Else each further one is a traceback in asyncio, a thousand times over."""
        pair = certificate()
        command = (
            f"ulimit -n 90; exec {sys.executable} -m gochatsecure -addr=127.0.0.1:0 -store=memory:"
            f" -cert={pair.cert} -key={pair.key}"
        )
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addAsyncCleanup(self.end, process)
        assert process.stdout is not None
        found = re.search(rb":(\d+)$", (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).strip())
        assert found is not None
        crowd = [socket.create_connection(("127.0.0.1", int(found[1])), PATIENCE) for _ in range(100)]
        for one in crowd:
            self.addCleanup(one.close)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(await asyncio.to_thread(crowd[-1].recv, 1), b"")
        process.terminate()
        status, err = await self.finish(process)
        self.assertEqual(status, 0)
        self.assertIn("few_file_descriptors max_connections=26", err)
        self.assertIn("connection_refused", err)
        self.assertNotIn("Traceback", err)

    async def test_the_environment_is_read(self) -> None:
        running = await self.start(environment={"GOCHATSECURE_STORE": "memory:", "GOCHATSECURE_SIGN_IN": "external"})
        self.assertEqual((await request(running, "/auth?username=alice")).json()["code"], "sign_in_external")
        self.assertFalse((self.folder / "data/chat.db").exists())
        self.assertTrue((self.folder / "data/signing.key").exists())
