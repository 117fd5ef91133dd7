"""The operator's commands: on files alone, and beside a running server, which notices."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

from gochatsecure import admin
from gochatsecure.auth import passwords
from gochatsecure.auth.passwords import Parameters
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.cli import help_text, main
from gochatsecure.log.account_table import opened
from tests.processes import ProcessTestCase, Running
from tests.support import PATIENCE, ROOT, Answer, Client, Rejected, request, temporary_folder

PASSWORD = "correct horse"


class Terminal(io.StringIO):
    """Somebody sits there."""

    def isatty(self) -> bool:
        return True


class CommandTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.data = temporary_folder() / "data"
        cheap = mock.patch.object(passwords, "PARAMETERS", Parameters(1, 1, 1))
        cheap.start()
        self.addCleanup(cheap.stop)

    def run_(self, *words: str, typed: str | Terminal = "") -> tuple[int, str, str]:
        """Exit status, stdout and stderr; `typed` is its standard input."""
        out, err = io.StringIO(), io.StringIO()
        stdin = mock.patch.object(sys, "stdin", typed if isinstance(typed, Terminal) else io.StringIO(typed))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), stdin:
            status = main([*words, f"-data={self.data}"])
        return status, out.getvalue(), err.getvalue()

    def assertDone(self, wanted: str, *words: str, typed: str | Terminal = "") -> str:
        status, out, err = self.run_(*words, typed=typed)
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, wanted)
        return out.rstrip("\n")

    def assertFault(self, wanted: str, *words: str, typed: str | Terminal = "") -> None:
        status, out, err = self.run_(*words, typed=typed)
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, rf"^gochatsecure: .*{wanted}.*; .+\n$")
        self.assertEqual(err.count("\n"), 1, err)


class Users(CommandTestCase):
    def test_help_tells_every_command(self) -> None:
        for words, meaning in admin.USAGE:
            self.assertIn(f"gochatsecure {words}", help_text())
            self.assertIn(meaning, help_text())

    def test_one_is_added_once_and_listed(self) -> None:
        self.assertDone(
            r"^alice is registered, in a new store: \S+/data/chat\.db$", "user", "add", "Alice", typed=f"{PASSWORD}\n"
        )
        self.assertFault("looks like it, is registered", "user", "add", "a1ice", typed=PASSWORD)
        self.assertDone("^bob is registered$", "user", "add", "bob", typed=PASSWORD)
        self.assertDone(r"^alice member enabled 20\d\d-\d\d-\d\d\nbob member enabled \S+$", "user", "list")
        with opened(self.data / "chat.db") as table:
            for account in table.all():
                self.assertTrue(passwords.fits(PASSWORD, account.password))

    def test_each_change_but_enabling_ends_its_tokens(self) -> None:
        self.assertDone(".", "user", "add", "alice", typed=PASSWORD)
        for words, typed, ends in (
            (("passwd", "alice"), "battery staple", True),
            (("role", "alice", "moderator"), "", True),
            (("disable", "alice"), "", True),
            (("enable", "alice"), "", False),
            (("sign-out", "alice"), "", True),
        ):
            with self.subTest(words), opened(self.data / "chat.db") as table:
                before = table.get("alice")
                self.assertDone("^alice", "user", *words, typed=typed)
                after = table.get("alice")
                assert before is not None and after is not None
                self.assertEqual(after.generation - before.generation, ends)
        self.assertDone("^alice moderator enabled", "user", "list")

    def test_a_password_is_asked_for_twice_and_never_an_argument(self) -> None:
        asking = mock.Mock(side_effect=[PASSWORD, PASSWORD, PASSWORD, "correct h0rse"])
        with mock.patch.object(admin, "getpass", asking):
            self.assertDone("is registered", "user", "add", "alice", typed=Terminal())
            self.assertFault("the two passwords differ", "user", "passwd", "alice", typed=Terminal())
        asked = [call.args[0] for call in asking.call_args_list]
        self.assertEqual(asked, ["new password of alice: ", "the same again: "] * 2)
        self.assertFault("not one of its commands", "user", "add", "bob", PASSWORD)

    def test_what_cannot_be_done_is_one_line(self) -> None:
        self.assertDone(".", "user", "add", "alice", typed=PASSWORD)
        for wanted, words in (
            ("not one of its commands", ("user",)),
            ("not one of its commands", ("user", "nosuch", "alice")),
            ("is not registered", ("user", "disable", "bob")),
            ("A name is made of", ("user", "add", "a b")),
            ("at least 8 characters", ("user", "add", "bob")),
            ("at least 8 characters", ("user", "passwd", "alice")),
            ("no such role", ("user", "role", "alice", "guest")),
            ("no such role", ("user", "role", "alice", "king")),
            ("keeps its accounts to itself", ("user", "list", "-store=memory:")),
            ("cannot be used", ("user", "add", "bob", "-store=sqlite:/proc/nosuch/chat.db")),
            ("there is no such file", ("user", "list", "-store=sqlite:/nosuch/chat.db")),
            ("there is no such file", ("user", "disable", "alice", "-store=sqlite:/nosuch/chat.db")),
        ):
            with self.subTest(words):
                self.assertFault(wanted, *words, typed=PASSWORD if "/proc" in words[-1] else "")


class TokensAndKeys(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keys = KeyRing.load_or_make(self.data / "signing.key")

    def test_a_minted_token_is_the_owners(self) -> None:
        token = self.assertDone("^ey", "token", "mint", "Bob", "60")
        identity = self.keys.identify(token, time.time())
        self.assertEqual((identity.key, identity.guest, identity.generation), ("bob", False, None))
        self.assertDone(r'(?s)"sub": "bob".*\ngood for 6\d s', "token", "inspect", typed=token)

    def test_a_life_that_is_no_number_or_too_long_is_refused_and_never_cut(self) -> None:
        for seconds in ("0", "000", "soon", "1.5", "60s", "", "\u0661", "9" * 13, "1" + "0" * 12, "+1"):
            self.assertFault("SECONDS is not a number of 1 to 12 digits", "token", "mint", "bob", seconds)
        token = self.assertDone("^ey", "token", "mint", "bob", "9" * 12)
        self.assertGreater(self.keys.identify(token, time.time()).expires, 999_999_999_999)

    def test_of_a_registered_name_it_is_of_its_account(self) -> None:
        self.assertDone(".", "user", "add", "alice", typed=PASSWORD)
        self.assertDone(".", "user", "role", "alice", "owner")
        token = self.assertDone("^ey", "token", "mint", "alice")
        claims = self.keys.claims(token)
        self.assertEqual((claims["role"], type(claims["gen"])), ("owner", int))
        self.assertDone("good for 8640", "token", "inspect", typed=token)
        self.assertDone(".", "user", "sign-out", "alice")
        status, out, err = self.run_("token", "inspect", typed=token)
        self.assertEqual((status, json.loads(out)), (1, claims))
        self.assertIn("the account has changed since", err)
        self.assertDone(".", "user", "disable", "alice")
        self.assertFault("alice is disabled", "token", "mint", "alice")

    def test_a_revoked_one_is_good_no_more(self) -> None:
        token = self.assertDone("^ey", "token", "mint", "bob")
        sid = self.keys.claims(token)["sid"]
        self.assertDone(f"^bob: the sign-in {sid} has ended$", "token", "revoke", typed=token + "\n")
        self.assertIn("it was revoked", self.run_("token", "inspect", typed=token)[2])
        other = self.assertDone("^ey", "token", "mint", "bob")
        sid = str(self.keys.claims(other)["sid"]).lstrip("-")
        self.assertDone("has ended", "token", "revoke", "bob", sid)

    def test_what_is_no_good_token_is_one_line_and_not_repeated(self) -> None:
        for typed in ("", "nonsense", "a.b.c", "\x1b[2J"):
            self.assertFault("token: not good: token_malformed", "token", "inspect", typed=typed)
            self.assertFault("token: not good: token_malformed", "token", "revoke", typed=typed)
        for words in (("token",), ("token", "mint"), ("token", "mint", "bob", "0"), ("token", "mint", "bob", "-1"),
                      ("token", "mint", "bob", "soon"), ("token", "inspect", "x")):  # fmt: skip
            status, _, err = self.run_(*words)
            self.assertEqual((status, err.count("\n")), (1, 1), err)

    def test_keys_are_listed_rotated_and_retired(self) -> None:
        (first,) = self.keys.kids
        self.assertDone(f"^{first} signs$", "key", "list")
        second = self.assertDone("signs from now on", "key", "rotate").split()[0]
        self.assertDone(f"^{first} verifies\n{second} signs$", "key", "list")
        self.assertFault("no key nosuch", "key", "retire", "nosuch")
        self.assertDone(f"^{first} is retired", "key", "retire", first)
        self.assertFault("the only key", "key", "retire", second)
        self.assertFault("not one of its commands", "key")

    def test_without_a_key_file_there_is_nothing_to_do(self) -> None:
        self.data = temporary_folder() / "another"
        for words in (("key", "list"), ("key", "rotate"), ("token", "mint", "bob")):
            self.assertFault("no such file", *words)
        self.assertFalse(self.data.exists())


class BesideARunningServer(ProcessTestCase):
    """Real processes. What a command does is noticed by itself."""

    async def command(self, *words: str, typed: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gochatsecure", *words),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(typed.encode()), PATIENCE)
        self.assertEqual((process.returncode, err), (0, b""))
        return out.decode().rstrip("\n")

    async def sign_in(self, running: Running, password: str = PASSWORD) -> Answer:
        body = json.dumps({"username": "alice", "password": password}).encode()
        return await request(running, "/auth", method="POST", headers=["Content-Type: application/json"], body=body)

    async def signed_in(self, running: Running) -> Client:
        answer = await self.sign_in(running)
        self.assertEqual(answer.status, 200, answer)
        client = await Client.open(running, answer.json()["token"])
        self.addAsyncCleanup(client.abort)
        await client.until("alice joined the room")
        return client

    async def test_accounts_change_under_a_running_server_again_and_again(self) -> None:
        await self.command("user", "add", "alice", typed=PASSWORD)  # before there is one
        running = await self.start()
        for words, reason in (
            (("user", "role", "alice", "moderator"), "this sign-in has ended; sign in again"),
            (("user", "sign-out", "alice"), "this sign-in has ended; sign in again"),
            (("user", "disable", "alice"), "this name has been disabled"),
        ):
            alice = await self.signed_in(running)
            await self.command(*words)
            self.assertEqual(await alice.until_closed(), (4401, reason))
        self.assertEqual((await self.sign_in(running)).json()["code"], "account_disabled")
        await self.command("user", "enable", "alice")
        await self.command("user", "passwd", "alice", typed="battery staple")
        async with asyncio.timeout(PATIENCE):
            while (await self.sign_in(running, "battery staple")).status != 200:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.2)
        self.assertIn("alice moderator enabled", await self.command("user", "list"))
        running.process.terminate()
        status, err = await self.finish(running.process)
        self.assertEqual(status, 0, err)
        self.assertFalse((self.folder / "data" / "chat.db-wal").exists(), "the last one out tidies up")
        self.assertNotIn("Traceback", err)
        for line in ("account_changed username=alice", "revoked username=alice"):
            self.assertIn(line, err)

    async def test_keys_are_rotated_and_a_sign_in_is_revoked_under_a_running_server(self) -> None:
        await self.command("user", "add", "alice", typed=PASSWORD)
        running = await self.start()
        (old,) = re.findall(r"(\w+) signs", await self.command("key", "list"))
        before = await self.signed_in(running)
        new = (await self.command("key", "rotate")).split()[0]
        os.kill(running.process.pid, signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while True:
                ticket = (await self.sign_in(running)).json()["token"]
                if self.kid(ticket) == new:
                    break
                await asyncio.sleep(0.2)
        after = await Client.open(running, ticket)
        self.addAsyncCleanup(after.abort)
        await self.command("key", "retire", old)
        self.assertEqual(await before.until_closed(), (4401, "the key of this token has been retired; sign in again"))
        after.send("still here")
        await after.until("alice: still here")
        await self.command("token", "revoke", typed=ticket)
        self.assertEqual(await after.until_closed(), (4401, "this sign-in has ended; sign in again"))
        with self.assertRaises(Rejected):
            await Client.open(running, ticket)

    def kid(self, ticket: str) -> str:
        head = ticket.partition(".")[0]
        return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])

    async def test_a_hang_up_reads_the_files_again_and_ends_nobody(self) -> None:
        running = await self.start("-store=memory:")
        client = await self.enter(running, "bob")
        await client.until("bob joined the room")
        running.process.send_signal(signal.SIGHUP)
        assert running.process.stderr is not None
        lines = b""
        async with asyncio.timeout(PATIENCE):
            while b"certificate_loaded" not in lines:
                lines += await running.process.stderr.readline()
        self.assertIn(b"keys_loaded", lines)
        client.send("still here")
        await client.until("bob: still here")

    async def test_a_message_store_and_its_accounts_survive_a_kill(self) -> None:
        running = await self.start()
        await self.command("user", "add", "alice", typed=PASSWORD)
        async with asyncio.timeout(PATIENCE):
            while (await self.sign_in(running)).status != 200:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.2)
        alice = await self.signed_in(running)
        alice.send("hi")
        await alice.until("alice: hi")
        running.process.kill()
        await self.finish(running.process)
        again = await self.start()
        self.assertEqual((await self.sign_in(again)).status, 200)
        self.assertIn("no faults", await self.command("verify"))
