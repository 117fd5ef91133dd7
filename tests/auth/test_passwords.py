"""Passwords: which are taken, and how they are kept."""

from __future__ import annotations

import hashlib
import unittest
from unittest import mock

from gochatsecure.auth import passwords
from gochatsecure.auth.passwords import (
    MAX_LENGTH,
    PARAMETERS,
    Parameters,
    WeakPassword,
    check,
    fits,
    is_outdated,
    is_possible,
    record_of,
    stand_in,
)

SALT = bytes(range(16))
CHEAP = Parameters(4, 1, 1)


class WhatMayBeOne(unittest.TestCase):
    def assertWeak(self, password: str, name: str = "alice") -> None:
        with self.assertRaises(WeakPassword) as caught:
            check(password, name)
        self.assertNotIn(password, str(caught.exception))
        self.assertEqual(str(caught.exception).count("; "), 1)

    def test_eight_characters_of_any_kind_are_enough(self) -> None:
        for password in ("x7 ?kq0L", "     \t a", "пароль-и", "🐎🔋📎🏆🐎🔋📎🏆", "correct horse battery staple"):
            check(password, "alice")

    def test_seven_are_not(self) -> None:
        self.assertWeak("x7?kq0L")

    def test_more_than_1024_bytes_are_none(self) -> None:
        check("xy7" * 341, "alice")
        self.assertWeak("xy7" * 342)
        self.assertWeak("дом" * 171)

    def test_half_of_a_surrogate_pair_is_none(self) -> None:
        self.assertWeak("abcdefgh\ud83d")
        self.assertFalse(is_possible("abcdefgh\ud83d"))

    def test_what_everybody_would_guess_is_refused_however_it_is_written(self) -> None:
        for password in ("iloveyou", "SUNSHINE", "Password1", "12345678", "aaaaaaaaaaaa", "abababababab", "qwertyuiop"):
            with self.subTest(password):
                self.assertWeak(password)

    def test_the_name_itself_is_refused_with_digits_around_it_too(self) -> None:
        for password, name in (("alexandra", "alexandra"), ("Alexandra1!", "alexandra"), ("a1exandra", "alexandra"),
                               ("maximilian", "maximilian99")):  # fmt: skip
            with self.subTest(password):
                self.assertWeak(password, name)
        check("alexandra is not it", "alexandra")
        check("8412946510", "1234")

    def test_the_list_holds_only_what_is_long_enough_to_be_on_it(self) -> None:
        self.assertGreater(len(passwords.COMMON), 150)
        self.assertEqual([word for word in passwords.COMMON if len(word) < 8 or word != word.casefold()], [])


class HowItIsKept(unittest.TestCase):
    def test_scrypt_of_rfc_7914_with_its_parameters_beside_it(self) -> None:
        wanted = hashlib.scrypt(b"pa\xc3\x9fword", salt=SALT, n=16, r=1, p=1, dklen=32)
        with mock.patch.object(passwords, "PARAMETERS", CHEAP):
            self.assertEqual(record_of("paßword", SALT), f"scrypt$4$1$1${SALT.hex()}${wanted.hex()}")

    def test_at_the_cost_that_is_said(self) -> None:
        """ID-1: N=2^15, r=8, p=3 and 16 bytes of salt; OpenSSL would refuse it without more memory than it gives."""
        self.assertEqual((PARAMETERS, passwords.SALT), ((15, 8, 3), 16))
        record = record_of("correct horse", SALT)
        self.assertTrue(record.startswith("scrypt$15$8$3$"))
        self.assertTrue(fits("correct horse", record))

    def test_only_the_same_password_fits_unmodified(self) -> None:
        with mock.patch.object(passwords, "PARAMETERS", CHEAP):
            record = record_of("Correct Horse ", SALT)
        self.assertTrue(fits("Correct Horse ", record))
        for other in ("Correct Horse", "correct horse ", "Correct  Horse ", "", "x" * MAX_LENGTH):
            self.assertFalse(fits(other, record))

    def test_a_record_of_other_parameters_fits_and_is_outdated(self) -> None:
        with mock.patch.object(passwords, "PARAMETERS", CHEAP):
            record = record_of("correct horse", SALT)
            self.assertFalse(is_outdated(record))
        self.assertTrue(fits("correct horse", record))
        self.assertTrue(is_outdated(record))

    def test_nothing_fits_what_stands_in_for_nobody(self) -> None:
        with mock.patch.object(passwords, "PARAMETERS", CHEAP):
            record = stand_in(SALT, b"x" * 32)
            self.assertEqual(len(record), len(record_of("correct horse", SALT)))
        for password in ("", "x" * 32, "correct horse"):
            self.assertFalse(fits(password, record))

    def test_what_is_no_record_is_our_own_fault(self) -> None:
        for record in ("", "x", "bcrypt$4$1$1$00$00", "scrypt$4$1$1$zz$00", "scrypt$a$1$1$00$00"):
            with self.subTest(record), self.assertRaises(ValueError):
                fits("correct horse", record)
