"""Forging tokens, for the tests of jwt.py."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import unittest
from pathlib import Path
from typing import Any

from gochatsecure.auth import jwt
from gochatsecure.auth.jwt import Key, TokenError, verify

NOW = 1_700_000_000
OLD = Key("k1", bytes(range(32)))
NEW = Key("k2", bytes(range(32, 64)))
KEYS = [OLD, NEW]
CLAIMS = {"sub": "alice", "username": "alice", "iat": NOW, "exp": NOW + 60, "jti": "j1", "sid": "s1"}
HEADER = {"alg": "HS256", "typ": "JWT", "kid": "k2"}
SOURCE = Path(jwt.__file__).read_text(encoding="utf-8")

# RFC 7515 A.1: key, token; the payload has no iat, the header no kid, both have \r\n between their members.
RFC_7515_SECRET = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
RFC_7515_TOKEN = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(text: str, secret: bytes = NEW.secret) -> str:
    """A token with the right MAC over `text`, whatever that is."""
    return f"{text}.{base64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def forged(payload: Any = CLAIMS, header: Any = HEADER, secret: bytes = NEW.secret) -> str:
    """A token of any header and payload: bytes as they are, a str as UTF-8, other values as JSON."""

    def raw(part: Any) -> bytes:
        if isinstance(part, bytes):
            return part
        return part.encode() if isinstance(part, str) else json.dumps(part).encode()

    return signed(f"{base64url(raw(header))}.{base64url(raw(payload))}", secret)


def claims(**changes: Any) -> dict[str, Any]:
    """CLAIMS with changes; None takes a claim away."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}


def with_text(name: str, value: str) -> str:
    """CLAIMS as JSON with one claim spelled by hand."""
    return json.dumps(claims(**{name: "@@"})).replace('"@@"', value)


def naive(token: str, now: float = NOW) -> Any:
    """The negative control: what one writes in a hurry. Right MAC, stdlib decoding, `exp < now`."""

    def decoded(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "==")

    header, payload, mac = token.split(".")
    if json.loads(decoded(header))["alg"] != "HS256":
        raise ValueError("algorithm")
    if hmac.digest(NEW.secret, f"{header}.{payload}".encode(), "sha256") != decoded(mac):
        raise ValueError("signature")
    found = json.loads(decoded(payload))
    if found["exp"] < now or found.get("nbf", 0) > now:
        raise ValueError("time")
    return found


class JWTTestCase(unittest.TestCase):
    def assertRefused(self, token: str, code: str, keys: Any = KEYS, now: float = NOW, **to: Any) -> Any:
        """Refused with this code, and with nothing of the token in what may reach a log."""
        with self.assertRaises(TokenError) as caught:
            verify(token, keys, now=now, **to)
        error = caught.exception
        self.assertEqual(error.code, code)
        self.assertEqual(str(error), error.message)
        self.assertIn(f'"{error.message}"', SOURCE, "a message is a constant")
        self.assertIsNone(error.__cause__)
        self.assertIsNone(error.__context__, "JSONDecodeError.doc would hold the payload")
        return error

    def assertNaiveAcceptsButRefused(self, token: str, code: str = "token_malformed") -> None:
        naive(token)  # negative control: does not raise
        self.assertRefused(token, code)
