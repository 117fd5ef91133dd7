"""What gochatsecure/auth/jwt.py refuses by its signature and claims. Tests are named after the attacks they try.

A token forged here carries the right MAC unless the test says otherwise: it is the control under test that
must refuse it, not the signature. Negative controls (`naive`) show that the obvious code would accept it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from unittest import mock

from gochatsecure.auth import jwt
from gochatsecure.auth.jwt import TokenError, encode, verify
from tests.auth.forgery import (
    CLAIMS,
    HEADER,
    KEYS,
    NEW,
    NOW,
    SOURCE,
    JWTTestCase,
    base64url,
    claims,
    forged,
    with_text,
)


class Signature(JWTTestCase):
    """JWT-4: MAC first, in constant time, in one place."""

    def test_signature_stripping(self) -> None:
        text = encode(CLAIMS, NEW).rpartition(".")[0]
        for token in (text, f"{text}.", f"{text}..", f"{text}. ", f"{text}.="):
            self.assertRefused(token, "token_malformed")

    def test_cve_2022_21449_a_psychic_signature_of_zeros_is_refused(self) -> None:
        text = encode(CLAIMS, NEW).rpartition(".")[0]
        for mac in (bytes(1), bytes(32), bytes(64), b"0\6\2\1\0\2\1\0", b"\xff" * 32):
            self.assertRefused(f"{text}.{base64url(mac)}", "token_invalid")

    def test_cve_2020_28042_a_truncated_or_longer_mac_is_refused(self) -> None:
        text = encode(CLAIMS, NEW).rpartition(".")[0]
        mac = hmac.digest(NEW.secret, text.encode(), "sha256")
        cut = [mac[:size] for size in range(1, 32)]
        for other in (*cut, mac[1:], mac + b"\0", mac + mac, mac[::-1], mac.hex().encode()):
            self.assertRefused(f"{text}.{base64url(other)}", "token_invalid")
        verify(f"{text}.{base64url(mac)}", KEYS, now=NOW)

    def test_other_hashes_under_the_right_key_are_refused(self) -> None:
        text = encode(CLAIMS, NEW).rpartition(".")[0]
        for name in ("sha384", "sha512", "sha1", "sha3_256", "blake2s"):
            mac = hmac.digest(NEW.secret, text.encode(), name)
            self.assertRefused(f"{text}.{base64url(mac)}", "token_invalid")
        plain = hashlib.sha256(NEW.secret + text.encode()).digest()
        self.assertRefused(f"{text}.{base64url(plain)}", "token_invalid")

    def test_the_mac_of_one_token_does_not_fit_another(self) -> None:
        alice, admin = encode(CLAIMS, NEW).split("."), encode(claims(sub="admin"), NEW).split(".")
        self.assertRefused(".".join((admin[0], admin[1], alice[2])), "token_invalid")
        self.assertRefused(".".join((alice[0], alice[0], alice[2])), "token_invalid")

    def test_each_single_character_change_of_a_valid_token_is_refused(self) -> None:
        token = encode({"exp": NOW + 60, "sub": "al"}, NEW)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"
        for place, right in enumerate(token):
            for wrong in alphabet.replace(right, ""):
                with self.assertRaises(TokenError):
                    verify(token[:place] + wrong + token[place + 1 :], KEYS, now=NOW)

    def test_each_character_left_out_added_or_cut_off_is_refused(self) -> None:
        token = encode({"exp": NOW + 60, "sub": "al"}, NEW)
        for place in range(len(token)):
            others = [token[:place] + token[place + 1 :], token[:place], token[place + 1 :]]
            for other in others + [token[:place] + more + token[place:] for more in "A-. ="]:
                with self.assertRaises(TokenError):
                    verify(other, KEYS, now=NOW)

    def test_nothing_in_the_payload_is_read_before_the_mac_is_right(self) -> None:
        no_json = ("{", b"\xff", "[" * 1200, '{"exp":NaN}', '{"exp":' + "9" * 2500 + "}")
        for payload in (*no_json, claims(exp=1), claims(aud="x"), claims(nbf=NOW + 99), claims(exp=None)):
            with self.subTest(payload), mock.patch.object(jwt, "_object", wraps=jwt._object) as read:
                self.assertRefused(forged(payload, secret=bytes(32)), "token_invalid")
                read.assert_called_once_with(json.dumps(HEADER).encode())

    def test_macs_are_compared_in_one_place_as_bytes_and_in_constant_time(self) -> None:
        self.assertEqual(SOURCE.count("compare_digest("), 1)
        token = encode(CLAIMS, NEW)
        with mock.patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
            verify(token, KEYS, now=NOW)
        self.assertEqual([type(value) for value in compare.call_args.args], [bytes, bytes])
        with mock.patch.object(hmac, "compare_digest", return_value=False):
            self.assertRefused(encode(CLAIMS, NEW), "token_invalid")


class Claims(JWTTestCase):
    """JWT-5: strict JSON, exact times. The naive reader takes what is forged here, where it says so."""

    def test_duplicate_exp_is_refused(self) -> None:
        body = json.dumps(claims(exp=1))
        self.assertNaiveAcceptsButRefused(forged(f'{body[:-1]},"exp":{NOW + 60}}}'))
        self.assertNaiveAcceptsButRefused(forged(f'{body[:-1]},"\\u0065xp":{NOW + 60}}}'))

    def test_duplicates_of_any_other_claim_are_refused(self) -> None:
        body = json.dumps(CLAIMS)
        self.assertNaiveAcceptsButRefused(forged(body[:-1] + ',"sub":"admin"}'))
        self.assertNaiveAcceptsButRefused(forged(body[:-1] + ',"sub":"alice"}'))

    def test_nan_exp_is_refused(self) -> None:
        self.assertNaiveAcceptsButRefused(forged(with_text("exp", "NaN")))  # nan < now is False

    def test_infinite_exp_is_refused(self) -> None:
        self.assertNaiveAcceptsButRefused(forged(with_text("exp", "Infinity")))
        self.assertNaiveAcceptsButRefused(forged(with_text("exp", "1e400")))  # inf, unseen by parse_constant
        self.assertNaiveAcceptsButRefused(forged(with_text("nbf", "-Infinity")))

    def test_float_exp_is_refused(self) -> None:
        for text in (f"{NOW + 60}.0", f"{NOW + 60}.5", "1e10", "1E10", "17000000600e-1"):
            self.assertNaiveAcceptsButRefused(forged(with_text("exp", text)))

    def test_fractions_and_nan_are_refused_in_any_claim(self) -> None:
        for text in ("NaN", "Infinity", "-Infinity", "1.5", "1e2", "-0.0"):
            self.assertNaiveAcceptsButRefused(forged(with_text("x", text)))

    def test_bool_exp_is_refused(self) -> None:
        self.assertIsInstance(True, int)
        for name in ("exp", "nbf", "iat"):
            for value in (True, False):
                self.assertRefused(forged(claims(**{name: value})), "token_malformed", now=0)
        self.assertNaiveAcceptsButRefused(forged(claims(nbf=True)))

    def test_times_that_are_no_numbers_are_refused(self) -> None:
        for name in ("exp", "nbf", "iat"):
            for text in ('"9999999999"', '""', "null", "[]", '["1"]', "{}", '"NaN"'):
                with self.subTest(name=name, text=text):
                    self.assertRefused(forged(with_text(name, text)), "token_malformed")

    def test_times_are_from_0_to_2_to_the_53(self) -> None:
        for name in ("exp", "nbf", "iat"):
            for value in (-1, 2**53 + 1, 2**63, -(2**53), 10**19):
                with self.subTest(name=name, value=value):
                    self.assertRefused(forged(claims(**{name: value})), "token_malformed")
        verify(forged(claims(exp=2**53, nbf=0, iat=0)), KEYS, now=NOW)
        self.assertNaiveAcceptsButRefused(forged(claims(exp=2**53 + 1)))

    def test_cve_2020_10735_an_integer_of_5000_digits_is_refused_unread(self) -> None:
        with self.assertRaises(ValueError):
            json.loads("9" * 5000)  # what would leak if nobody caught it
        self.assertRefused(forged(with_text("exp", "9" * 5000)), "token_malformed")  # too long a token, too
        self.assertRefused(forged('{"exp":' + "9" * 2900 + "}"), "token_malformed")
        with self.assertRaises(TokenError):
            jwt._object(b'{"exp":' + b"9" * 5000 + b"}")

    def test_an_integer_has_at_most_20_characters(self) -> None:
        self.assertEqual(verify(forged(with_text("x", "9" * 20)), KEYS, now=NOW)["x"], 10**20 - 1)
        self.assertNaiveAcceptsButRefused(forged(with_text("x", "9" * 21)))
        self.assertNaiveAcceptsButRefused(forged(with_text("exp", "9" * 21)))

    def test_nesting_is_refused_at_any_depth(self) -> None:
        for text in ("{}", '{"b":1}', "[[]]", '[["b"]]', "[{}]", '["b",{}]', "[1]", "[null]", '["b",true]'):
            with self.subTest(text):
                self.assertNaiveAcceptsButRefused(forged(with_text("x", text)))

    def test_a_thousand_brackets_do_not_raise_recursion_error(self) -> None:
        for depth in (100, 900, 1000, 1400):
            for opening, closing in (("[", "]"), ('{"":', "1}"), ("[", "")):
                text = '{"exp":' + (opening * depth)[:2900] + (closing * depth)[:2900] + "}"
                with self.subTest(depth=depth, opening=opening):
                    self.assertRefused(forged(text[:2900]), "token_malformed")
        with self.assertRaises(TokenError):
            jwt._object(b'{"a":' + b"[" * 100_000)

    def test_lone_surrogates_are_refused(self) -> None:
        for text in ('"\\ud800"', '"\\udfff"', '"a\\ude00\\ud83d"', '["\\ud800"]', '["a","\\ud800"]'):
            with self.subTest(text):
                self.assertNaiveAcceptsButRefused(forged(with_text("sub", text)))
        self.assertNaiveAcceptsButRefused(forged(json.dumps(CLAIMS)[:-1] + ',"\\ud800":1}'))
        self.assertNaiveAcceptsButRefused(forged(with_text("x", '["\\ud83d","\\ude00"]')))
        self.assertEqual(verify(forged(with_text("sub", '"\\ud83d\\ude00"')), KEYS, now=NOW)["sub"], "😀")

    def test_only_utf_8_is_read(self) -> None:
        text = json.dumps(CLAIMS)
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"):  # json.loads guesses
            with self.subTest(encoding):
                self.assertNaiveAcceptsButRefused(forged(text.encode(encoding)))
        for raw in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "é".encode("latin-1")):
            self.assertRefused(forged(text.encode().replace(b"alice", raw)), "token_malformed")
        verify(forged(text.replace("alice", "Zoë")), KEYS, now=NOW)

    def test_claims_are_one_json_object_and_nothing_else(self) -> None:
        text = json.dumps(CLAIMS)
        others = ("[]", f"[{text}]", '"x"', "1", "null", "true", "{", " ", "{'exp':1}", '{"exp":1,}', "{e:1}")
        for payload in (*others, text + text, text + "x", "x" + text, text + "//", text[:-1], text + "\0"):
            with self.subTest(payload):
                self.assertRefused(forged(payload), "token_malformed")
        verify(forged(f" \t\r\n{text}\n"), KEYS, now=NOW)  # space around JSON is JSON, RFC 8259 2

    def test_exp_is_required(self) -> None:
        self.assertRefused(forged(claims(exp=None)), "token_malformed")
        self.assertRefused(forged({}), "token_malformed")
        self.assertRefused(forged(json.dumps(claims()).replace('"exp"', '"Exp"')), "token_malformed")

    def test_a_token_ends_at_its_exp_and_not_after(self) -> None:
        token = encode(claims(exp=NOW + 60), NEW)
        verify(token, KEYS, now=NOW + 59.999)
        for late in (60, 60.001, 1e12, math.inf):
            self.assertRefused(token, "token_expired", now=NOW + late)

    def test_leeway_moves_the_end_and_the_start(self) -> None:
        token = encode(claims(nbf=NOW, exp=NOW + 60), NEW)
        verify(token, KEYS, now=NOW + 89.9, leeway=30)
        self.assertRefused(token, "token_expired", now=NOW + 90, leeway=30)
        verify(token, KEYS, now=NOW - 30, leeway=30)
        self.assertRefused(token, "token_not_yet_valid", now=NOW - 30.1, leeway=30)

    def test_leeway_is_at_most_30_seconds(self) -> None:
        token = encode(CLAIMS, NEW)
        verify(token, KEYS, now=NOW, leeway=30.0)
        for leeway in (30.1, 31, -1, -0.1, math.inf, math.nan):
            with self.assertRaises(ValueError):
                verify(token, KEYS, now=NOW, leeway=leeway)

    def test_nbf_is_honoured(self) -> None:
        token = encode(claims(nbf=NOW + 10, iat=None), NEW)
        self.assertRefused(token, "token_not_yet_valid", now=NOW + 9.9)
        verify(token, KEYS, now=NOW + 10)

    def test_a_token_from_the_future_is_refused(self) -> None:
        token = encode(claims(iat=NOW + 10), NEW)
        self.assertRefused(token, "token_not_yet_valid", now=NOW + 9.9)
        self.assertRefused(token, "token_not_yet_valid", now=NOW + 4.9, leeway=5)
        verify(token, KEYS, now=NOW + 5, leeway=5)

    def test_a_clock_that_is_not_a_number_accepts_nothing(self) -> None:
        self.assertRefused(encode(CLAIMS, NEW), "token_expired", now=math.nan)
        self.assertRefused(encode(CLAIMS, NEW), "token_not_yet_valid", now=-math.inf)

    def test_iat_and_nbf_may_be_absent(self) -> None:
        self.assertEqual(verify(encode({"exp": NOW + 1}, NEW), KEYS, now=NOW), {"exp": NOW + 1})
