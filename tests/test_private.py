"""Folders, locks and files that are ours alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

from gochatsecure import private
from gochatsecure.errors import KeyFileError, StoreError
from gochatsecure.private import own_folder, own_lock, refuse_shared
from tests.support import PATIENCE, ROOT, temporary_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@unittest.skipUnless(os.name == "posix", "these are POSIX permissions and locks")
class PrivateTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = temporary_folder()
        self.addCleanup(os.umask, os.umask(0))


class Folders(PrivateTestCase):
    def test_a_new_folder_is_for_this_user_alone(self) -> None:
        own_folder(self.folder / "data")
        self.assertEqual(mode(self.folder / "data"), 0o700)

    def test_the_way_to_it_is_made(self) -> None:
        own_folder(self.folder / "a" / "b" / "data")
        for part in ("a", "a/b", "a/b/data"):
            self.assertEqual(mode(self.folder / part), 0o700, part)

    def test_one_in_which_everybody_may_replace_files_is_refused(self) -> None:
        for permissions, refused in ((0o777, True), (0o702, True), (0o1777, False), (0o775, False)):
            with self.subTest(oct(permissions)):
                self.folder.chmod(permissions)
                if refused:
                    with self.assertRaisesRegex(PermissionError, "everybody may replace files"):
                        own_folder(self.folder)
                else:
                    own_folder(self.folder)

    def test_a_folder_that_is_there_is_left_as_it_is(self) -> None:
        self.folder.chmod(0o755)
        (self.folder / "file").touch()
        own_folder(self.folder)
        self.assertEqual(mode(self.folder), 0o755)
        self.assertTrue((self.folder / "file").exists())

    def test_a_file_in_its_place_is_an_error(self) -> None:
        (self.folder / "data").touch()
        for path in (self.folder / "data", self.folder / "data" / "deeper"):
            with self.subTest(path), self.assertRaises(OSError):
                own_folder(path)


class Locks(PrivateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "x.lock"

    def take(self) -> int:
        """The lock, given back when the test ends unless that happens before."""
        descriptor = own_lock(self.path)
        self.addCleanup(self.give_back, descriptor)
        return descriptor

    def give_back(self, descriptor: int) -> None:
        try:
            os.close(descriptor)
        except OSError:
            pass

    def test_its_file_is_for_this_user_alone_and_empty(self) -> None:
        self.take()
        self.assertEqual((mode(self.path), self.path.read_bytes()), (0o600, b""))

    def test_it_is_taken_once(self) -> None:
        self.take()
        for _ in range(2):
            with self.assertRaises(BlockingIOError):
                own_lock(self.path)

    def test_it_is_free_again_when_its_descriptor_is_closed(self) -> None:
        os.close(self.take())
        self.take()

    def test_a_file_that_a_dead_process_left_is_no_lock(self) -> None:
        self.path.write_text("left behind")
        self.take()
        self.assertEqual(self.path.read_text(), "left behind")

    def test_it_is_free_again_when_its_process_is_killed(self) -> None:
        script = (
            "import sys; from pathlib import Path; from gochatsecure.private import own_lock\n"
            "own_lock(Path(sys.argv[1])); print('taken', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", script, str(self.path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            try:
                assert holder.stdout is not None
                self.assertEqual(holder.stdout.readline(), "taken\n")
                with self.assertRaises(BlockingIOError):
                    own_lock(self.path)
            finally:
                holder.kill()
            holder.wait(PATIENCE)
            self.take()

    def test_other_programs_that_we_start_do_not_hold_it(self) -> None:
        self.assertFalse(os.get_inheritable(self.take()))

    @unittest.skipUnless(Path("/proc/self/fd").is_dir(), "open descriptors are counted in /proc")
    def test_a_lock_that_is_refused_leaves_no_descriptor_open(self) -> None:
        self.take()
        before = os.listdir("/proc/self/fd")
        for _ in range(20):
            with self.assertRaises(BlockingIOError):
                own_lock(self.path)
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_a_folder_that_is_missing_is_an_error(self) -> None:
        with self.assertRaises(FileNotFoundError):
            own_lock(self.folder / "missing" / "x.lock")

    def test_where_there_are_no_such_locks_it_is_a_file_like_others(self) -> None:
        with mock.patch.object(private, "fcntl", None):
            self.take()
            self.take()
        self.assertEqual(mode(self.path), 0o600)


class SharedFiles(PrivateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "secret"
        self.path.touch()

    def test_every_permission_of_group_or_others_is_one_too_many(self) -> None:
        for wrong in range(1, 0o100):
            with self.subTest(oct(wrong)):
                self.path.chmod(0o600 | wrong)
                with self.assertRaises(StoreError) as caught:
                    refuse_shared(self.path, StoreError)
                self.assertIn(str(self.path), caught.exception.cause)
                self.assertEqual(caught.exception.mend, f"chmod 600 {self.path}")

    def test_the_owners_permissions_are_the_owners_affair(self) -> None:
        for right in (0o600, 0o400, 0o200, 0o700, 0o000):
            with self.subTest(oct(right)):
                self.path.chmod(right)
                refuse_shared(self.path, StoreError)

    def test_the_error_is_of_the_kind_that_was_asked_for(self) -> None:
        self.path.chmod(0o644)
        with self.assertRaises(KeyFileError):
            refuse_shared(self.path, KeyFileError)

    def test_it_is_the_file_that_counts_not_the_link_to_it(self) -> None:
        link = self.folder / "link"
        link.symlink_to(self.path)
        self.path.chmod(0o600)
        refuse_shared(link, StoreError)
        self.path.chmod(0o644)
        with self.assertRaises(StoreError):
            refuse_shared(link, StoreError)

    def test_a_file_that_is_missing_is_an_error(self) -> None:
        with self.assertRaises(FileNotFoundError):
            refuse_shared(self.folder / "missing", StoreError)

    def test_where_files_have_no_such_permissions_nothing_is_refused(self) -> None:
        self.path.chmod(0o666)
        with mock.patch("os.name", "nt"):
            refuse_shared(self.path, StoreError)
