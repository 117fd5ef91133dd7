"""Who a token says somebody is, and the file of signing keys."""

from __future__ import annotations

import os
import unittest

from gochatsecure import KeyFileError
from gochatsecure.auth.jwt import Key, TokenError, encode
from gochatsecure.auth.tokens import KeyRing, make_id
from gochatsecure.chat.model import Identity, Role
from tests.support import temporary_folder

OLD, NEW, OTHER = (Key(kid, (kid * 40).encode()) for kid in ("old", "new", "other"))
NOW = 1_700_000_000


class Identifying(unittest.TestCase):
    ring = KeyRing([OLD, NEW])

    def assertRefused(self, code: str, token: str, now: float = NOW) -> None:
        with self.assertRaises(TokenError) as caught:
            self.ring.identify(token, now)
        self.assertEqual(caught.exception.code, code)

    def test_an_issued_token_brings_the_identity_back(self) -> None:
        for identity in (Identity("alice", "s1", role=Role.GUEST), Identity("bob", "s2", rooms=("team-*", "help"))):
            token = self.ring.issue(identity, jti="j", now=NOW, life=100)
            back = self.ring.identify(token, NOW + 99)
            self.assertEqual((back.name, back.sid, back.guest, back.rooms, back.key),
                             (identity.name, identity.sid, identity.guest, identity.rooms, identity.key))  # fmt: skip

    def test_the_session_of_a_token_ends_when_the_token_does(self) -> None:
        token = self.ring.issue(Identity("alice", "s", role=Role.GUEST), jti="j", now=NOW, life=100)
        self.assertLessEqual(self.ring.identify(token, NOW).expires, NOW + 100 + 30)
        self.assertRefused("token_expired", token, NOW + 131)

    def test_the_newest_key_signs_and_each_verifies(self) -> None:
        before = KeyRing([OLD]).issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        self.assertEqual(self.ring.identify(before, NOW).name, "alice")
        after = self.ring.issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        self.assertEqual(KeyRing([NEW]).identify(after, NOW).name, "alice")
        with self.assertRaises(TokenError):
            KeyRing([OLD]).identify(after, NOW)

    def test_a_retired_key_is_refused(self) -> None:
        token = KeyRing([OLD]).issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        with self.assertRaises(TokenError):
            KeyRing([NEW]).identify(token, NOW)

    def test_a_fronting_sites_smallest_token_is_enough(self) -> None:
        token = encode({"username": "alice", "exp": NOW + 60}, NEW)
        identity = self.ring.identify(token, NOW)
        self.assertEqual((identity.name, identity.guest, identity.key), ("alice", False, "alice"))

    def test_two_names_in_one_token_are_refused(self) -> None:
        self.assertRefused("token_malformed", encode({"sub": "a", "username": "b", "exp": NOW + 60}, NEW))

    def test_a_token_of_nobody_is_refused(self) -> None:
        for claims in ({}, {"sub": 7}, {"sub": "a b"}, {"sub": "Alice"}, {"sub": "admin"}):
            with self.subTest(claims):
                self.assertRefused("token_malformed", encode({**claims, "exp": NOW + 60}, NEW))

    def test_a_sid_cannot_reach_into_another_key(self) -> None:
        """A guest's key is NAME~SID: a sid with a tilde could be read in two ways."""
        for sid in ("x~y", 5, "s" * 65):
            with self.subTest(sid):
                self.assertRefused("token_malformed", encode({"sub": "a", "sid": sid, "exp": NOW + 60}, NEW))

    def test_rooms_must_be_a_list(self) -> None:
        self.assertRefused("token_malformed", encode({"sub": "a", "rooms": "*", "exp": NOW + 60}, NEW))

    def test_a_guest_never_has_the_key_of_who_owns_the_name(self) -> None:
        self.assertNotEqual(Identity("alice", "", role=Role.GUEST).key, Identity("alice", "").key)
        self.assertNotEqual(Identity("alice", "1", role=Role.GUEST).key, Identity("alice", "2", role=Role.GUEST).key)

    def test_the_generation_comes_back(self) -> None:
        token = self.ring.issue(Identity("alice", "s", generation=7), jti="j", now=NOW, life=100)
        self.assertEqual(self.ring.identify(token, NOW).generation, 7)
        plain = self.ring.issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        self.assertIsNone(self.ring.identify(plain, NOW).generation)
        for wrong in ("7", True):
            self.assertRefused("token_malformed", encode({"sub": "a", "gen": wrong, "exp": NOW + 60}, NEW))

    def test_a_token_without_a_sid_is_a_sign_in_by_its_jti(self) -> None:
        for jti, sid in (("t-1", "t-1"), ("x~y", ""), ("j" * 65, "")):
            token = encode({"sub": "alice", "jti": jti, "exp": NOW + 60}, NEW)
            self.assertEqual(self.ring.identify(token, NOW).sid, sid)
        self.assertRefused("token_malformed", encode({"sub": "a", "jti": "j", "role": "guest", "exp": NOW + 60}, NEW))

    def test_it_is_known_which_key_has_signed_by_its_secret_not_its_name(self) -> None:
        token = self.ring.issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        signed_by = self.ring.identify(token, NOW).signed_by
        self.assertTrue(KeyRing([Key("renamed", NEW.secret)]).has(signed_by))
        self.assertFalse(KeyRing([OLD, Key("new", OTHER.secret)]).has(signed_by))
        self.assertNotIn(NEW.secret.decode()[:8], signed_by)

    def test_ids_do_not_repeat(self) -> None:
        self.assertEqual(len({make_id() for _ in range(1000)}), 1000)


class TheKeyFile(unittest.TestCase):
    def setUp(self) -> None:
        self.path = temporary_folder() / "data" / "signing.key"

    def write(self, text: str, mode: int = 0o600) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(text)
        self.path.chmod(mode)

    def assertRefused(self, cause: str) -> None:
        with self.assertRaisesRegex(KeyFileError, cause) as caught:
            KeyRing.load(self.path)
        self.assertIn(str(self.path), str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_it_is_made_once_for_this_user_alone(self) -> None:
        first = KeyRing.load_or_make(self.path)
        if os.name == "posix":
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
            self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)
        token = first.issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        self.assertEqual(KeyRing.load_or_make(self.path).identify(token, NOW).name, "alice")

    def test_two_servers_never_make_the_same_key(self) -> None:
        token = KeyRing.load_or_make(self.path).issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        with self.assertRaises(TokenError):
            KeyRing.load_or_make(temporary_folder() / "signing.key").identify(token, NOW)

    def test_a_secret_alone_on_its_line_is_a_key(self) -> None:
        self.write("0123456789abcdefghijklmnopqrstuvwxyz\n")
        token = KeyRing.load(self.path).issue(Identity("alice", "s"), jti="j", now=NOW, life=100)
        self.assertEqual(KeyRing.load(self.path).identify(token, NOW).name, "alice")

    def test_a_missing_file_is_refused(self) -> None:
        self.assertRefused("no such file")

    @unittest.skipUnless(os.name == "posix", "permissions are POSIX")
    def test_a_file_that_others_can_read_is_refused(self) -> None:
        self.write("k1 0123456789abcdefghijklmnopqrstuvwxyz\n", 0o640)
        self.assertRefused("other users can read it; chmod 600")

    def test_guessable_keys_are_refused(self) -> None:
        for secret in ("supersecretkey", "supersecretkey" * 4, "short", "a" * 64, "changeme-0123456789-abcdefghijklm"):
            with self.subTest(secret):
                self.write(f"k1 {secret}\n")
                self.assertRefused("can be guessed")

    def test_no_key_at_all_is_refused(self) -> None:
        self.write("# nothing\n\n")
        self.assertRefused("no signing key")

    def test_two_keys_of_one_name_are_refused(self) -> None:
        self.write("k 0123456789abcdefghijklmnopqrstuvwxyz\nk 9876543210abcdefghijklmnopqrstuvwxyz\n")
        self.assertRefused("same name")

    def test_a_line_of_three_words_is_refused(self) -> None:
        self.write("k 0123456789abcdef 0123456789abcdef\n")
        self.assertRefused("not KID SECRET")

    def test_bytes_that_are_no_text_are_refused(self) -> None:
        self.write("")
        self.path.write_bytes(b"\xff\xfe")
        self.assertRefused("cannot be read")

    def test_no_error_shows_a_secret(self) -> None:
        self.write("k supersecretkey\n")
        with self.assertRaises(KeyFileError) as caught:
            KeyRing.load(self.path)
        self.assertNotIn("supersecret", str(caught.exception))
