"""The file of signing keys, changed."""

from __future__ import annotations

import os
import stat
import unittest
from pathlib import Path

from gochatsecure.auth.jwt import TokenError
from gochatsecure.auth.keyfile import retire, rotate
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.chat.model import Identity
from gochatsecure.errors import KeyFileError
from gochatsecure.private import own_lock
from tests.support import temporary_folder

NOW = 1_700_000_000


class Changing(unittest.TestCase):
    def setUp(self) -> None:
        self.path = temporary_folder() / "signing.key"
        (self.first,) = KeyRing.load_or_make(self.path).kids

    def token(self) -> str:
        return KeyRing.load(self.path).issue(Identity("alice", "s"), jti="j", now=NOW, life=100)

    def is_good(self, token: str) -> bool:
        try:
            return KeyRing.load(self.path).identify(token, NOW).name == "alice"
        except TokenError:
            return False

    def assertRefused(self, cause: str, kid: str) -> None:
        before = self.path.read_bytes()
        with self.assertRaisesRegex(KeyFileError, cause):
            retire(self.path, kid)
        self.assertEqual(self.path.read_bytes(), before)

    def test_a_new_key_signs_and_the_old_one_still_verifies(self) -> None:
        before = self.token()
        new = rotate(self.path)
        self.assertEqual(KeyRing.load(self.path).kids, (self.first, new))
        self.assertTrue(self.is_good(before))
        after = self.token()
        retire(self.path, self.first)
        self.assertTrue(self.is_good(after))

    def test_what_a_retired_key_has_signed_is_good_no_more(self) -> None:
        before = self.token()
        rotate(self.path)
        retire(self.path, self.first)
        self.assertFalse(self.is_good(before))

    def test_the_only_key_and_one_that_is_not_there_stay(self) -> None:
        self.assertRefused("the only key", self.first)
        self.assertRefused("no key nosuch", "nosuch")

    def test_what_else_is_in_the_file_stays(self) -> None:
        text = "# ours\n\nabc 0123456789abcdefghijklmnopqrstuvwxyz\n# more\n9876543210zyxwvutsrqponmlkjihgfedcba\n"
        self.path.write_text(text)
        kid = rotate(self.path)
        self.assertTrue(self.path.read_text().startswith(text))
        retire(self.path, kid)
        self.assertEqual(self.path.read_text(), text)

    def test_a_key_that_has_no_name_is_retired_by_the_one_that_it_is_given(self) -> None:
        self.path.write_text("9876543210zyxwvutsrqponmlkjihgfedcba\n")
        (kid,) = KeyRing.load(self.path).kids
        rotate(self.path)
        retire(self.path, kid)
        self.assertNotIn("9876543210", self.path.read_text())

    @unittest.skipUnless(os.name == "posix", "permissions are POSIX")
    def test_the_new_file_is_for_this_user_alone_and_in_the_old_ones_place(self) -> None:
        link = self.path.with_name("link")
        link.symlink_to(self.path)
        os.umask(os.umask(0))
        before = self.path.stat().st_ino
        rotate(link)
        self.assertTrue(link.is_symlink())
        self.assertNotEqual(self.path.stat().st_ino, before)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_one_that_was_left_half_done_is_in_nobodys_way(self) -> None:
        self.path.with_name("signing.key.new").write_text("half")
        rotate(self.path)
        self.assertFalse(self.path.with_name("signing.key.new").exists())

    @unittest.skipUnless(os.name == "posix", "the lock is POSIX")
    def test_two_at_once_do_not_lose_a_key(self) -> None:
        lock = own_lock(self.path.with_name("signing.key.lock"))
        with self.assertRaisesRegex(KeyFileError, "another command is changing it"):
            rotate(self.path)
        os.close(lock)
        rotate(self.path)

    def test_a_file_that_no_server_would_take_is_left_alone(self) -> None:
        self.path.write_text("k supersecretkey\n")
        with self.assertRaisesRegex(KeyFileError, "can be guessed"):
            rotate(self.path)
        self.assertEqual(self.path.read_text(), "k supersecretkey\n")
        with self.assertRaisesRegex(KeyFileError, "no such file"):
            rotate(Path(f"{self.path}.not-there"))
