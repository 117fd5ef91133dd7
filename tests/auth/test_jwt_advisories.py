"""Forgeries named after advisories of other libraries, where they were let through, and the RFCs' own examples."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib

from gochatsecure.auth.jwt import MAX_TOKEN, Key, TokenError, verify
from tests.auth.forgery import (
    CLAIMS,
    HEADER,
    KEYS,
    NEW,
    NOW,
    RFC_7515_TOKEN,
    SOURCE,
    JWTTestCase,
    base64url,
    claims,
    forged,
    signed,
)

PEM = b"-----BEGIN %b-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n-----END %b-----\n"
PUBLIC_KEYS = {
    "PKCS 1 PEM": PEM.replace(b"%b", b"RSA PUBLIC KEY"),
    "SPKI PEM": PEM.replace(b"%b", b"PUBLIC KEY"),
    "certificate PEM": PEM.replace(b"%b", b"CERTIFICATE"),
    "SPKI DER": bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + bytes(66),
    "OpenSSH ECDSA": b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBK",
    "OpenSSH RSA": b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 somebody@somewhere",
    "OpenSSH Ed25519": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPYXnJ6C somebody@somewhere",
    "JWK": b'{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHwRVEU"}',
}


class Confusion(JWTTestCase):
    """What everybody knows (a public key, in whatever spelling) is never what signs."""

    def test_public_keys_in_every_spelling_are_no_secrets(self) -> None:
        """CVE-2017-11424 and CVE-2022-29217 (PyJWT), CVE-2024-33663 (python-jose), CVE-2024-37568 (Authlib),
        CVE-2023-48238 (json-web-token), CVE-2024-54150 (cjwt)."""
        for spelling, public in PUBLIC_KEYS.items():
            for alg in ("HS256", "RS256", "ES256", "EdDSA"):
                with self.subTest(spelling, alg=alg):
                    self.assertRefused(forged(header={"alg": alg, "typ": "JWT"}, secret=public), "token_invalid")

    def test_cve_2022_23541_another_keys_kind_cannot_be_asked_for(self) -> None:
        """jsonwebtoken: a function that looks keys up gave a public key where a secret was meant."""
        for kid in PUBLIC_KEYS:
            secret = PUBLIC_KEYS[kid]
            self.assertRefused(forged(header={**HEADER, "kid": kid}, secret=secret), "token_invalid")

    def test_cve_2022_23539_a_key_is_of_no_other_kind_than_hs256(self) -> None:
        for alg in ("RS256", "ES256", "ES384", "PS512", "HS384", "HS512", "ES256K", "RSA-OAEP", "A256GCM"):
            self.assertRefused(forged(header={**HEADER, "alg": alg}), "token_invalid")

    def test_cve_2022_23529_what_is_no_bytes_is_no_secret(self) -> None:
        """jsonwebtoken: an object whose toString was the attacker's passed for a secret."""
        for secret in ("a" * 64, list(range(64)), None, 64):
            with self.assertRaises((TypeError, ValueError)):
                verify(forged(secret=b"a" * 64), [Key("k2", secret)], now=NOW)  # type: ignore[arg-type]

    def test_cve_2018_1000531_a_token_without_a_signature_is_not_a_signed_one(self) -> None:
        """inversoft prime-jwt, and CVE-2020-5497 and others: no signature was taken for a good one."""
        head, payload, _ = forged().split(".")
        for token in (f"{head}.{payload}", f"{head}.{payload}.", f"{head}..", f".{payload}.", ".."):
            self.assertRefused(token, "token_malformed")

    def test_cve_2024_5037_claims_count_only_under_a_signature(self) -> None:
        """OpenShift's telemeter believed the issuer of a token that nobody had signed."""
        unsigned = forged(claims(iss="gochatsecure"), {"alg": "none"})
        self.assertRefused(unsigned, "token_invalid")


class Bombs(JWTTestCase):
    """What is small and unfolds, or is long and gets split."""

    def test_cve_2024_33664_compressed_claims_are_not_unfolded(self) -> None:
        """python-jose, go-jose (CVE-2024-28180): a JWE of some KiB became gigabytes."""
        bomb = zlib.compress(b'{"exp":99999999999,"a":"' + b"a" * 10_000_000 + b'"}', 9)[2:-4]
        self.assertLess(len(base64url(bomb)), 14_000)
        small = zlib.compress(json.dumps(CLAIMS).encode(), 9)[2:-4]
        self.assertRefused(forged(small, {**HEADER, "zip": "DEF"}), "token_invalid")
        self.assertRefused(forged(small), "token_malformed")
        self.assertRefused(forged(bomb, {**HEADER, "zip": "DEF"}), "token_malformed")

    def test_cve_2023_51774_an_encrypted_token_is_not_a_signed_one(self) -> None:
        """json-jwt took a JWE where it was to verify a JWS. RFC 7516 A.1's header, five parts."""
        header = base64url(b'{"alg":"RSA-OAEP","enc":"A256GCM"}')
        self.assertRefused(".".join([header, "OKOawDo13gRp2ojaHV7L", "48V1_ALb6US04U3b", "5eym8T", "XFBoMYU"]),
                           "token_malformed")  # fmt: skip

    def test_cve_2025_27144_dots_are_counted_before_anything_is_split(self) -> None:
        """go-jose, and CVE-2025-22868 (x/oauth2): time and memory by the number of dots."""
        for token in ("." * MAX_TOKEN, "." * 10_000_000, "a." * 1_000_000):
            self.assertRefused(token, "token_malformed")


class Telling(JWTTestCase):
    def test_cve_2019_7644_an_error_does_not_tell_the_right_signature(self) -> None:
        """Auth0's WCF filter said which signature it had expected."""
        head, payload, mac = forged().split(".")
        wrong = f"{head}.{payload}.{base64url(bytes(32))}"
        error = self.assertRefused(wrong, "token_invalid")
        for told in (mac, NEW.secret.hex(), NEW.kid, payload):
            self.assertNotIn(told, f"{error!r} {error.code}")

    def test_cve_2016_5431_macs_are_compared_in_constant_time(self) -> None:
        self.assertEqual(SOURCE.count("compare_digest"), 1)
        self.assertNotRegex(SOURCE, r"_mac\([^)]*\)\s*(==|!=)|(==|!=)\s*_mac\(")

    def test_cve_2021_41106_a_key_is_its_bytes_and_not_the_name_of_a_file(self) -> None:
        """lcobucci/jwt signed with the path of the key's file."""
        for path in (b"/etc/gochatsecure/signing.key", b"file:///etc/gochatsecure/signing.key"):
            self.assertRefused(forged(secret=path), "token_invalid")


class RFCs(JWTTestCase):
    """Published examples of another algorithm, or of none, are refused; those of HS256 stand in test_jwt."""

    PAYLOAD = RFC_7515_TOKEN.split(".")[1]

    def test_rfc_7515_a_3_es256(self) -> None:
        mac = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        self.assertRefused(f"eyJhbGciOiJFUzI1NiJ9.{self.PAYLOAD}.{mac}", "token_invalid", now=0)

    def test_rfc_7515_a_5_unsecured(self) -> None:
        """RFC 7519 6.1, too."""
        self.assertRefused(f"eyJhbGciOiJub25lIn0.{self.PAYLOAD}.", "token_malformed", now=0)

    def test_rfc_7515_a_6_and_a_7_json_serialization(self) -> None:
        head, payload, mac = RFC_7515_TOKEN.split(".")
        flat = {"payload": payload, "protected": head, "header": {"kid": "k2"}, "signature": mac}
        general = {"payload": payload, "signatures": [{"protected": head, "signature": mac}]}
        for token in (json.dumps(flat), json.dumps(general)):
            self.assertRefused(token, "token_malformed", now=0)

    def test_rfc_7515_appendix_f_a_detached_payload(self) -> None:
        head, _, mac = forged().split(".")
        self.assertRefused(f"{head}..{mac}", "token_malformed")
        self.assertRefused(signed(f"{head}."), "token_malformed")

    def test_rfc_7515_4_1_11_crit_is_refused_even_if_it_names_what_is_known(self) -> None:
        for crit in (["exp"], ["alg"], [], ["http://example.invalid/UNDEFINED"]):
            self.assertRefused(forged(header={**HEADER, "crit": crit}), "token_invalid")

    def test_rfc_8725_3_2_the_mac_covers_what_was_sent_and_not_what_it_means(self) -> None:
        """The same claims spelled otherwise under the same MAC are another text."""
        head, _, _ = forged().split(".")
        spaced = base64url(json.dumps(CLAIMS, indent=1).encode())
        mac = hmac.digest(NEW.secret, forged().rpartition(".")[0].encode(), hashlib.sha256)
        self.assertRefused(f"{head}.{spaced}.{base64url(mac)}", "token_invalid")

    def test_rfc_8725_3_11_a_token_for_another_purpose_is_refused(self) -> None:
        for typ in ("at+jwt", "secevent+jwt", "dpop+jwt", "logout+jwt"):
            self.assertRefused(forged(header={**HEADER, "typ": typ}), "token_invalid")

    def test_every_prefix_of_a_good_token_is_refused(self) -> None:
        token = forged()
        for end in range(len(token)):
            with self.assertRaises(TokenError):
                verify(token[:end], KEYS, now=NOW)
