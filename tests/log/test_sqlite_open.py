"""The file: who may read it, whose it must be, and who else may use it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import unittest
from contextlib import closing
from pathlib import Path
from unittest import mock

from gochatsecure.errors import StoreError
from gochatsecure.log import migrations
from gochatsecure.log.sqlite import SQLiteLog
from tests.support import PATIENCE, ROOT, temporary_folder

from .contract import ROOM, Shown, append, entries, numbers, said
from .faults import DISK_BROKEN, faults
from .store import StoreTestCase, look

POSIX = unittest.skipUnless(os.name == "posix", "these are POSIX permissions and locks")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class OpenTestCase(StoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder()

    async def refused(self, path: Path, cause: str) -> StoreError:
        """The one line that opening this file ends with."""
        log = SQLiteLog(path, durable=True, queue=10)
        with self.assertRaises(StoreError) as caught:
            await log.open(Shown())
        error = caught.exception
        self.assertIn(cause, error.cause)
        self.assertTrue(error.mend)
        self.assertNotIn("\n", str(error))
        self.assertIsNone(error.__cause__)
        return error

    async def usable(self, path: Path) -> None:
        """Nothing holds the file any more."""
        shown = Shown()
        log = SQLiteLog(path, durable=False, queue=10)
        await log.open(shown)
        await append(log, shown, said("hi"))
        await log.close()


@POSIX
class Permissions(OpenTestCase):
    async def test_what_is_made_is_for_its_owner_alone(self) -> None:
        before = os.umask(0)
        try:
            log, shown = await self.start()
            await append(log, shown, said("hi"))
            modes = {path.name: mode(path) for path in self.path.parent.iterdir()}
        finally:
            os.umask(before)
        self.assertEqual(mode(self.path.parent), 0o700)
        self.assertLessEqual({"chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"}, modes.keys())
        self.assertEqual(set(modes.values()), {0o600})

    async def test_a_file_that_others_may_read_or_write_is_refused(self) -> None:
        await self.usable(self.path)
        for wrong in (0o640, 0o604, 0o660, 0o606, 0o644, 0o620, 0o602):
            with self.subTest(oct(wrong)):
                self.path.chmod(wrong)
                error = await self.refused(self.path, str(self.path))
                self.assertEqual(error.mend, f"chmod 600 {self.path}")
        self.path.chmod(0o600)
        await self.usable(self.path)

    @unittest.skipIf(os.name == "posix" and os.geteuid() == 0, "root may do everything")
    async def test_a_file_or_folder_that_we_may_not_write_is_refused(self) -> None:
        await self.usable(self.path)
        self.path.chmod(0o400)
        await self.refused(self.path, "Permission denied")
        self.path.chmod(0o600)
        self.folder.chmod(0o500)
        await self.refused(self.folder / "new.db", "Permission denied")
        await self.refused(self.folder / "data" / "new.db", "Permission denied")
        self.folder.chmod(0o700)

    async def test_a_folder_that_is_there_is_left_as_it_is(self) -> None:
        self.folder.chmod(0o755)
        await self.usable(self.folder / "chat.db")
        self.assertEqual(mode(self.folder), 0o755)


class NotOurs(OpenTestCase):
    """What is refused is left as it was."""

    async def test_garbage(self) -> None:
        for number, garbage in enumerate(
            (b"hello\n", b"A" * 511, os.urandom(4096), b"SQLite format 3\0" + b"\xff" * 8000)
        ):
            with self.subTest(number):
                path = self.folder / f"{number}.db"
                path.touch(0o600)
                path.write_bytes(garbage)
                await self.refused(path, f"{path}: cannot be used: file is not a database")
                self.assertEqual(path.read_bytes(), garbage)

    async def test_a_damaged_database(self) -> None:
        await self.usable(self.path)
        whole = self.path.read_bytes()
        for what, damaged in (("first page", whole[:100] + b"\xff" * 3996 + whole[4096:]), ("length", whole[:4096])):
            with self.subTest(what):
                self.path.write_bytes(damaged)
                await self.refused(self.path, f"{self.path}: cannot be used: ")
        self.path.write_bytes(whole)

    async def test_a_link_that_leads_to_itself(self) -> None:
        (self.folder / "one").symlink_to(self.folder / "two")
        (self.folder / "two").symlink_to(self.folder / "one")
        await self.refused(self.folder / "one", "cannot be used: ")

    async def test_a_folder(self) -> None:
        await self.refused(self.folder, f"{self.folder}: cannot be used: ")

    async def test_a_file_where_the_folder_should_be(self) -> None:
        (self.folder / "data").touch()
        await self.refused(self.folder / "data" / "chat.db", "chat.db: cannot be used: ")

    async def test_a_file_system_that_cannot_keep_a_write_ahead_log(self) -> None:
        with faults() as store:
            store.instead["PRAGMA journal_mode = WAL"] = "PRAGMA journal_mode = DELETE"
            await self.refused(self.path, "write-ahead log")
        await self.usable(self.path)

    async def test_another_programs_database(self) -> None:
        for number, script in enumerate(
            (
                "CREATE TABLE stream (id INTEGER PRIMARY KEY)",
                "PRAGMA user_version = 1",
                "PRAGMA application_id = 1",
                f"PRAGMA user_version = {len(migrations.STEPS)}; PRAGMA application_id = 1",
            )
        ):
            with self.subTest(script):
                path = self.folder / f"{number}.db"
                path.touch(0o600)
                with closing(sqlite3.connect(path)) as theirs:
                    theirs.executescript(script)
                await self.refused(path, "another program's database")

    async def test_another_programs_database_is_not_written_to(self) -> None:
        path = self.folder / "theirs.db"
        path.touch(0o600)
        with closing(sqlite3.connect(path)) as theirs:
            theirs.execute("CREATE TABLE important (thing TEXT)")
        before = path.read_bytes()
        await self.refused(path, "another program's database")
        self.assertTrue(path.read_bytes() == before, "the file was changed")

    async def test_a_database_of_a_newer_version(self) -> None:
        await self.usable(self.path)
        with closing(sqlite3.connect(self.path)) as later:
            later.execute(f"PRAGMA user_version = {len(migrations.STEPS) + 1}")
        error = await self.refused(self.path, "newer GoChatSecure")
        self.assertIn("run that version", error.mend)

    async def test_a_step_that_fails_is_one_line_and_leaves_the_file_usable(self) -> None:
        await self.usable(self.path)
        with mock.patch.object(
            migrations, "STEPS", (*migrations.STEPS, "CREATE TABLE more (x); CREATE TABLE stream (x);")
        ):
            await self.refused(self.path, "already exists")
        await self.usable(self.path)
        self.assertEqual(look(self.path, "SELECT name FROM sqlite_master WHERE name = 'more'"), [])

    async def test_a_connection_that_fails_to_open_leaves_nothing_open(self) -> None:
        for statement in ("PRAGMA journal_mode", "PRAGMA journal_size_limit", "PRAGMA user_version"):
            with self.subTest(statement), faults() as store:
                store.fail(statement, DISK_BROKEN)
                await self.refused(self.path, "disk I/O error")
                for connection in store.opened:
                    with self.assertRaises(sqlite3.ProgrammingError):
                        connection.total_changes  # noqa: B018
        await self.usable(self.path)


@POSIX
class TwoServers(OpenTestCase):
    async def test_the_second_is_refused_and_the_first_unharmed(self) -> None:
        log, shown = await self.start()
        first = await append(log, shown, said("a"))
        for _ in range(3):
            error = await self.refused(self.path, f"{self.path}: another server is using it")
            self.assertIn("stop that one", error.mend)
        second = await append(log, shown, said("b"))
        self.assertEqual(await log.read(ROOM, 0, 10), entries(first[0]) + entries(second[0]))
        await log.close()
        await self.usable(self.path)

    async def test_one_of_another_process_is_refused(self) -> None:
        log, shown = await self.start()
        script = (
            "import asyncio, sys; from pathlib import Path; from gochatsecure.log.sqlite import SQLiteLog\n"
            "asyncio.run(SQLiteLog(Path(sys.argv[1]), durable=True, queue=1).open(print))"
        )
        command = [sys.executable, "-c", script, str(self.path)]
        ended = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
        )
        self.assertIn("another server is using it", ended.stderr)
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])

    async def test_a_folder_of_another_name_is_the_same_folder(self) -> None:
        await self.start()
        (self.folder / "alias").symlink_to(self.path.parent)
        await self.refused(self.folder / "alias" / self.path.name, "another server is using it")

    async def test_a_file_of_another_name_is_the_same_file(self) -> None:
        await self.start()
        (self.folder / "alias.db").symlink_to(self.path)
        await self.refused(self.folder / "alias.db", "another server is using it")

    async def test_the_lock_alone_keeps_nobody_out(self) -> None:
        """A server that was killed leaves its lock file: the lock itself went with it."""
        await self.usable(self.path)
        lock = self.path.with_name("chat.db.lock")
        self.assertEqual(lock.read_bytes(), b"")
        await self.usable(self.path)


class Life(OpenTestCase):
    async def test_closing_what_was_never_opened_is_no_error(self) -> None:
        log = SQLiteLog(self.path, durable=True, queue=1)
        await log.close()
        self.assertFalse(self.path.parent.exists())

    async def test_close_leaves_one_file_with_all_in_it(self) -> None:
        log, shown = await self.start()
        await append(log, shown, said("hi"))
        await log.close()
        self.assertEqual({path.name for path in self.path.parent.iterdir()}, {"chat.db", "chat.db.lock"})
        with closing(sqlite3.connect(f"file:{self.path}?immutable=1", uri=True)) as copy:
            self.assertEqual(copy.execute("SELECT count(*) FROM entry").fetchone(), (1,))

    async def test_a_file_may_have_any_name(self) -> None:
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            await self.usable(Path(":memory:"))
        finally:
            os.chdir(before)
        self.assertEqual(look(self.folder / ":memory:", "SELECT count(*) FROM entry"), [(1,)])

    async def test_opening_that_is_given_up_lets_go_of_the_file(self) -> None:
        """As soon as the disk has answered: what is under way in a thread cannot be stopped."""
        with faults() as store:
            given_up = SQLiteLog(self.path, durable=False, queue=1)
            with store.hold("PRAGMA journal_mode") as held:
                opening = asyncio.create_task(given_up.open(Shown()))
                await asyncio.to_thread(held.wait, PATIENCE)
                opening.cancel()
                await asyncio.wait({opening})
                self.assertTrue(opening.cancelled())
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.usable(self.path)
                    break
                except StoreError:
                    await asyncio.sleep(0.01)

    async def test_closing_what_could_not_be_opened_is_no_error(self) -> None:
        with mock.patch.object(migrations, "STEPS", ("SYNTAX ERROR;",)):
            log = SQLiteLog(self.path, durable=True, queue=1)
            with self.assertRaises(StoreError):
                await log.open(Shown())
        await log.close()

    def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(self) -> None:
        command = [sys.executable, "-m", "tests.log.hanging", str(self.path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), "closed\n")
                self.assertEqual(process.wait(PATIENCE), 0)
            finally:
                process.kill()
