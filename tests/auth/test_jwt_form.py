"""What gochatsecure/auth/jwt.py refuses by its form: parts, base64url, header. Tests are named after attacks.

A token forged here carries the right MAC unless the test says otherwise: it is the control under test that
must refuse it, not the signature. Negative controls (`naive`) show that the obvious code would accept it.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from unittest import mock

from gochatsecure.auth import jwt
from gochatsecure.auth.jwt import Key, encode, verify
from tests.auth.forgery import (
    CLAIMS,
    HEADER,
    KEYS,
    NEW,
    NOW,
    JWTTestCase,
    base64url,
    claims,
    forged,
    naive,
    signed,
)


class Shape(JWTTestCase):
    """JWT-1: bounded and three parts before anything is decoded."""

    def assertRefusedUndecoded(self, token: str) -> None:
        with mock.patch.object(jwt, "_from_base64url", side_effect=AssertionError("decoded")):
            self.assertRefused(token, "token_malformed")

    def of_length(self, length: int) -> str:
        """A good token of that many characters."""
        for space in ("", " ", "  "):  # not every length of base64url exists; the header can move it
            header = json.dumps(HEADER) + space
            for more in range(length):
                token = forged(claims(pad="x" * more), header)
                if len(token) >= length:
                    break
            if len(token) == length:
                return token
        raise AssertionError(length)

    def test_4096_characters_are_the_most(self) -> None:
        verify(self.of_length(4096), KEYS, now=NOW)
        token = self.of_length(4097)
        naive(token)
        self.assertRefusedUndecoded(token)

    def test_cve_2025_61920_a_huge_token_is_refused_undecoded(self) -> None:
        self.assertRefusedUndecoded("A" * 10_000_000 + ".A.A")

    def test_cve_2025_30204_a_million_dots_are_not_split(self) -> None:
        self.assertRefusedUndecoded("." * 1_000_000)
        self.assertRefusedUndecoded("." * 4096)

    def test_one_two_four_and_five_parts_are_refused(self) -> None:
        token = encode(CLAIMS, NEW)
        header, payload, mac = token.split(".")
        jwe = f"eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..{mac}.{payload}.{mac}"
        for other in ("", header, f"{header}.{payload}", f"{token}.", f".{token}", f"{token}.{mac}", jwe):
            with self.subTest(other):
                self.assertRefusedUndecoded(other)

    def test_non_ascii_tokens_are_refused(self) -> None:
        token = encode(CLAIMS, NEW)
        for odd in ("é", "\uff11", "\u212a", "\ud800", "\U0001d7d8", "\xa0", "\u2028"):
            with self.subTest(odd):
                self.assertRefusedUndecoded(token + odd)
                self.assertRefusedUndecoded(odd + token[1:])

    def test_cve_2022_39227_a_json_serialization_around_a_token_is_refused(self) -> None:
        header, payload, mac = encode(CLAIMS, NEW).split(".")
        other = base64url(json.dumps(claims(sub="admin")).encode())
        polyglot = '{"  %s.%s.%s": "", "protected": "%s", "payload": "%s", "signature": "%s"}'
        self.assertRefused(polyglot % (header, other, mac, header, payload, mac), "token_malformed")

    def test_empty_parts_are_refused(self) -> None:
        header, payload, mac = encode(CLAIMS, NEW).split(".")
        unsigned = (f".{payload}.{mac}", f"{header}..{mac}", f"{header}.{payload}.", "..")
        for token in (*unsigned, signed("."), signed(f"{header}."), signed(f".{payload}")):
            with self.subTest(token):
                self.assertRefused(token, "token_malformed")


class Base64url(JWTTestCase):
    """JWT-2: one spelling, and no other; the negative control: the stdlib takes the others, too."""

    def setUp(self) -> None:
        self.token = encode(CLAIMS, NEW)
        self.header, self.payload, self.mac = self.token.split(".")

    def test_the_naive_reader_accepts_what_is_good_and_refuses_what_is_plainly_bad(self) -> None:
        self.assertEqual(naive(self.token), verify(self.token, KEYS, now=NOW))
        for bad in (forged(secret=bytes(32)), forged(claims(exp=1)), forged(header={"alg": "none"})):
            with self.assertRaises(ValueError):
                naive(bad)

    def test_non_canonical_base64_is_refused(self) -> None:
        self.assertEqual(base64.urlsafe_b64decode("YR=="), base64.urlsafe_b64decode("YQ=="))
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        last = alphabet.index(self.mac[-1])  # of 43 characters: 2 bits of it mean nothing
        for unused in (1, 2, 3):
            self.assertNaiveAcceptsButRefused(self.token[:-1] + alphabet[last + unused])
        header, payload = (self.spelled_otherwise(json.dumps(part)) for part in (HEADER, CLAIMS))
        self.assertNaiveAcceptsButRefused(signed(f"{self.header}.{payload}"))
        self.assertNaiveAcceptsButRefused(signed(f"{header}.{self.payload}"))

    def spelled_otherwise(self, text: str) -> str:
        while len(text) % 3 != 1:
            text += " "
        part = base64url(text.encode())
        self.assertIn(part[-1], "AQgw")
        return part[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[part[-1]]

    def with_inside(self, junk: str) -> str:
        return f"{self.payload[:9]}{junk}{self.payload[9:]}"

    def test_padding_is_refused(self) -> None:
        for padding in ("=", "=="):
            for token in (
                self.token + padding,
                signed(f"{self.header}.{self.payload}{padding}"),
                signed(f"{self.header}{padding}.{self.payload}"),
            ):
                with self.subTest(token):
                    self.assertNaiveAcceptsButRefused(token)

    def test_whitespace_and_a_trailing_newline_are_refused(self) -> None:
        for space in ("\n", " ", "\r\n", "\t", "\0", "\v"):
            with self.subTest(space):
                self.assertNaiveAcceptsButRefused(self.token + space)
                self.assertNaiveAcceptsButRefused(f"{self.header}.{self.payload}.{space}{self.mac}")
                self.assertNaiveAcceptsButRefused(signed(f"{space}{self.header}.{self.payload}"))
                self.assertNaiveAcceptsButRefused(signed(f"{self.header}{space}.{self.payload}"))
                self.assertNaiveAcceptsButRefused(signed(f"{self.header}.{self.with_inside(space)}"))

    def test_characters_that_the_standard_library_skips_are_refused(self) -> None:
        for junk in "!#$%&'()*,:;<>?@[]^`{|}~\"\\\x7f\x01":
            with self.subTest(junk):
                self.assertNaiveAcceptsButRefused(f"{self.header}.{self.payload}.{junk}{self.mac}")
                self.assertNaiveAcceptsButRefused(signed(f"{self.header}.{self.with_inside(junk)}"))

    def test_the_alphabet_of_plain_base64_is_refused(self) -> None:
        seen = set()
        for number in range(99):
            token = encode(claims(jti=str(number)), NEW)
            signed_text, _, mac = token.rpartition(".")
            for ours, plain in ("-+", "_/"):
                if ours in mac:
                    seen.add(ours)
                    self.assertNaiveAcceptsButRefused(f"{signed_text}.{mac.replace(ours, plain)}")
        self.assertEqual(seen, {"-", "_"})

    def test_a_length_that_base64_cannot_have_is_refused(self) -> None:
        unsigned = (f"{self.header}.{self.payload}.{self.mac}AA", f"{self.header}.{self.payload}.A")
        for token in (*unsigned, signed(f"{self.header}.A"), signed(f"A.{self.payload}")):
            self.assertRefused(token, "token_malformed")


class Header(JWTTestCase):
    """JWT-3: the verifier fixes the algorithm and the keys, never the token."""

    def test_alg_none_is_refused(self) -> None:
        header = {"alg": "none", "typ": "JWT"}
        self.assertRefused(forged(header=header), "token_invalid")
        self.assertRefused(forged(header=header).rpartition(".")[0] + ".", "token_malformed")
        self.assertRefused(forged(header=header).rpartition(".")[0], "token_malformed")

    def test_cve_2015_9235_alg_none_in_any_case(self) -> None:
        for number in range(16):
            alg = "".join(c.upper() if number >> place & 1 else c for place, c in enumerate("none"))
            with self.subTest(alg):
                self.assertRefused(forged(header={**HEADER, "alg": alg}), "token_invalid")

    def test_cve_2022_23540_a_missing_or_empty_alg_is_not_a_default(self) -> None:
        missing: list[dict[str, Any]] = [{"typ": "JWT", "kid": "k2"}, {"kid": "k2"}, {}]
        for header in (*missing, {**HEADER, "alg": ""}, {**HEADER, "alg": None}):
            with self.subTest(header):
                self.assertRefused(forged(header=header), "token_invalid")

    def test_alg_is_exactly_hs256(self) -> None:
        others = ("HS384", "HS512", "HS1", "RS256", "ES256", "PS256", "EdDSA", "dir", "A128KW")
        spelled = ("hs256", "Hs256", "HS256 ", " HS256", "HS256\0", "\uff28\uff33256")
        for alg in (*others, *spelled, ["HS256"], ["HS256", "none"], 0, True):
            with self.subTest(alg):
                self.assertRefused(forged(header={**HEADER, "alg": alg}), "token_invalid")

    def test_an_alg_that_is_an_object_or_is_given_twice_is_refused(self) -> None:
        for header in (
            '{"alg":{"HS256":1},"kid":"k2"}',
            '{"alg":"none","alg":"HS256","kid":"k2"}',
            '{"alg":"HS256","alg":"none","kid":"k2"}',
            '{"alg":"HS256","\\u0061lg":"HS256"}',
        ):
            with self.subTest(header):
                self.assertRefused(forged(header=header), "token_malformed")

    def test_cve_2016_10555_rs256_confusion_a_public_key_is_no_secret(self) -> None:
        public = b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
        self.assertRefused(forged(secret=public), "token_invalid")
        self.assertRefused(forged(header={"alg": "RS256", "typ": "JWT"}, secret=public), "token_invalid")

    def test_cve_2022_29217_rs256_confusion_even_a_known_key_signs_hs256_only(self) -> None:
        public = Key("pem", b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n")
        for alg in ("RS256", "ES256", "PS256"):
            token = forged(header={"alg": alg, "kid": "pem"}, secret=public.secret)
            self.assertRefused(token, "token_invalid", [public])

    def test_cve_2018_0114_keys_and_rules_brought_by_the_token_are_refused(self) -> None:
        for name in ("jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"):
            for value in ("https://evil.example/jwks.json", [], ["exp"], [name], False, True, None, ""):
                with self.subTest(name=name, value=value):
                    self.assertRefused(forged(header={**HEADER, name: value}), "token_invalid")
        jwk = {"kty": "oct", "k": base64url(bytes(32))}
        self.assertRefused(forged(header={**HEADER, "jwk": jwk}, secret=bytes(32)), "token_malformed")
        self.assertRefused(forged(header={**HEADER, "jwk": jwk}), "token_malformed")

    def test_cve_2025_59420_a_critical_extension_is_refused(self) -> None:
        self.assertRefused(forged(header={**HEADER, "crit": ["bork"], "bork": "x"}), "token_invalid")

    def test_rfc_7797_an_unencoded_payload_is_refused(self) -> None:
        header = base64url(json.dumps({**HEADER, "b64": False, "crit": ["b64"]}).encode())
        self.assertRefused(signed(f"{header}." + json.dumps(CLAIMS).replace(".", "")), "token_malformed")
        self.assertRefused(forged(header={**HEADER, "b64": False, "crit": ["b64"]}), "token_invalid")

    def test_other_header_parameters_are_ignored_as_rfc_7515_4_says(self) -> None:
        verify(forged(header={**HEADER, "x-note": "hello", "n": 1}), KEYS, now=NOW)

    def test_kid_path_traversal_is_just_an_unknown_key(self) -> None:
        paths = ("../../../../../../dev/null", "/dev/null", "https://evil.example/k2")
        injected = ("' UNION SELECT 'AA", "k2|/usr/bin/id", "*", "__class__")
        for kid in (*paths, *injected, "", "K2", "k2 ", "k2\0", "k", "k22"):
            for secret in (NEW.secret, b"", b"AA", b"\0"):
                with self.subTest(kid=kid, secret=secret):
                    self.assertRefused(forged(header={**HEADER, "kid": kid}, secret=secret), "token_invalid")

    def test_a_kid_that_is_no_string_is_refused(self) -> None:
        for kid in (0, 1, -1, True, None, ["k2"], []):
            with self.subTest(kid):
                self.assertRefused(forged(header={**HEADER, "kid": kid}), "token_malformed")

    def test_typ_is_jwt_in_any_case_or_absent(self) -> None:
        for typ in ("JWT", "jwt", "Jwt"):
            verify(forged(header={**HEADER, "typ": typ}), KEYS, now=NOW)
        verify(forged(header={"alg": "HS256", "kid": "k2"}), KEYS, now=NOW)
        for typ in ("at+jwt", "application/jwt", "JWE", "JOSE", "", "JWT ", "dpop+jwt"):
            with self.subTest(typ):
                self.assertRefused(forged(header={**HEADER, "typ": typ}), "token_invalid")
        for other in (None, 1, True, ["JWT"]):
            with self.subTest(other):
                self.assertRefused(forged(header={**HEADER, "typ": other}), "token_malformed")

    def test_a_header_is_read_as_strictly_as_claims(self) -> None:
        deep = '{"alg":"HS256","a":' + "[" * 1200 + "]" * 1200 + "}"
        for header in (
            *(deep, "[]", '"HS256"', "null", "", "{", '{"alg":"HS256"}{}', '{"alg":"HS256","a":{}}'),
            *('{"alg":"HS256","n":NaN}', '{"alg":"HS256","n":1.5}', '{"alg":"HS256","n":' + "9" * 2500 + "}"),
            *(b'{"alg":"HS256","a":"\xff"}', '{"alg":"HS256"}'.encode("utf-16"), '\ufeff{"alg":"HS256"}'),
        ):
            with self.subTest(header):
                self.assertRefused(forged(header=header), "token_malformed")
