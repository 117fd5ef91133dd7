"""Accounts in memory and in SQLite: the contract, and what another process does to the same file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import unittest

from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import Draft, Posted, room_stream
from gochatsecure.errors import StoreError
from gochatsecure.log.account_table import AccountTable, SQLiteAccounts, opened
from gochatsecure.log.accounts import Accounts, MemoryAccounts, Revocation, Seen
from tests.support import ROOT, temporary_folder

from .contract_accounts import ALICE, NOW, AccountsContract
from .store import StoreTestCase, look

ADD = """
import sys
from pathlib import Path
from gochatsecure.chat.model import Role
from gochatsecure.log.account_table import opened
from gochatsecure.log.accounts import Account
with opened(Path(sys.argv[1])) as table:
    assert table.add(Account(sys.argv[2], "record", Role.MEMBER, 0, 1))
"""


class MemoryKeepsTheContract(AccountsContract, unittest.IsolatedAsyncioTestCase):
    async def make(self) -> Accounts:
        accounts = MemoryAccounts()
        await accounts.open()
        self.addAsyncCleanup(accounts.close)
        return accounts


class SQLiteKeepsTheContract(AccountsContract, unittest.IsolatedAsyncioTestCase):
    async def make(self) -> Accounts:
        accounts = SQLiteAccounts(temporary_folder() / "data" / "chat.db")
        await accounts.open()
        self.addAsyncCleanup(accounts.close)
        return accounts


class InTheFile(StoreTestCase):
    async def accounts(self) -> SQLiteAccounts:
        accounts = SQLiteAccounts(self.path)
        await accounts.open()
        self.addAsyncCleanup(accounts.close)
        return accounts

    def other_process_adds(self, name: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", ADD, self.path, name], check=True, env=environment)

    async def test_they_are_there_after_it_was_closed(self) -> None:
        accounts = await self.accounts()
        await accounts.add(ALICE)
        await accounts.revoke(Revocation("alice", "s", 2_000_000_000), NOW)
        await accounts.close()
        again = await self.accounts()
        found, revocations, _ = await again.changes(Seen())
        self.assertEqual((list(found), list(revocations)), ([ALICE], [Revocation("alice", "s", 2_000_000_000)]))

    async def test_the_log_and_its_accounts_share_the_file(self) -> None:
        log, _ = await self.start()
        accounts = await self.accounts()
        for number in range(20):
            log.append(Draft("alice", 1, ((room_stream("den"), Posted(str(number))),)))
            self.assertTrue(await accounts.add(ALICE._replace(name=f"user{number}")))
        await log.close()
        self.assertEqual(len((await accounts.changes(Seen())).accounts), 20)
        self.assertEqual(look(self.path, "SELECT count(*) FROM entry"), [(20,)])

    async def test_what_another_process_adds_is_seen_each_time(self) -> None:
        """It leaves, too; if it took itself for the last, it would take the file's log of commits with it."""
        await self.start()
        accounts = await self.accounts()
        seen = Seen()
        for name in ("bob", "carol", "dave"):
            await asyncio.to_thread(self.other_process_adds, name)
            found, _, seen = await accounts.changes(seen)
            self.assertEqual([account.name for account in found], [name])
            self.assertTrue(self.path.with_name("chat.db-wal").exists())

    async def test_a_command_in_the_same_process_does_not_drop_its_locks(self) -> None:
        """Closing any descriptor of the file would: POSIX takes all of a process's locks away with it."""
        await self.start()
        accounts = await self.accounts()
        with opened(self.path) as table:
            table.add(ALICE)
        await asyncio.to_thread(self.other_process_adds, "bob")
        await asyncio.to_thread(self.other_process_adds, "carol")
        names = [account.name for account in (await accounts.changes(Seen())).accounts]
        self.assertEqual(names, ["alice", "bob", "carol"])
        self.assertTrue(self.path.with_name("chat.db-wal").exists())

    async def test_a_new_file_is_made_for_this_user_alone(self) -> None:
        with opened(self.path) as table:
            self.assertEqual(table.all(), [])
        if os.name == "posix":
            self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    @unittest.skipUnless(os.name == "posix", "permissions are POSIX")
    async def test_a_file_that_others_can_read_is_refused(self) -> None:
        AccountTable(self.path).close()
        self.path.chmod(0o640)
        with self.assertRaisesRegex(StoreError, "other users can read it"):
            AccountTable(self.path)
        self.path.chmod(0o600)

    async def test_what_is_no_store_of_ours_is_refused(self) -> None:
        with contextlib.closing(sqlite3.connect(temporary_folder() / "x")) as other:
            other.execute("CREATE TABLE t (c)")
            (path,) = [row[2] for row in other.execute("PRAGMA database_list")]
        os.chmod(path, 0o600)
        accounts = SQLiteAccounts(type(self.path)(path))
        with self.assertRaisesRegex(StoreError, "another program's database"):
            await accounts.open()
        await accounts.close()

    async def test_a_store_that_fails_is_a_refusal_and_told_once(self) -> None:
        accounts = await self.accounts()
        assert accounts._table is not None
        await accounts.add(ALICE)
        accounts._table.close()
        with self.assertLogs("gochatsecure.log", "ERROR") as logged:
            for _ in range(3):
                with self.assertRaises(Temporary):
                    await accounts.changes(Seen())
        self.assertEqual(len(logged.output), 1)

    async def test_after_closing_it_is_a_refusal(self) -> None:
        accounts = await self.accounts()
        await accounts.close()
        with self.assertRaises(Temporary):
            await accounts.changes(Seen())

    async def test_why_a_sign_in_has_ended(self) -> None:
        with opened(self.path) as table:
            table.add(ALICE)
            table.revoke(Revocation("alice", "s", int(NOW) + 10), NOW)
            now = int(NOW)
            self.assertIn("revoked", table.ended("alice", "s", 77, now))
            self.assertEqual(table.ended("alice", "s", 77, now + 11), "")
            self.assertEqual(table.ended("alice", "t", 77, now), "")
            self.assertIn("changed", table.ended("alice", "t", 76, now))
            self.assertIn("changed", table.ended("bob", "t", 1, now))
            self.assertEqual(table.ended("bob", "t", None, now), "")
            table.replace(ALICE._replace(disabled=True), ALICE)
            self.assertIn("disabled", table.ended("alice", "t", None, now))
