"""What a signed token is: JWT (RFC 7519) in JWS compact form (RFC 7515), HMAC-SHA256 alone. No clock, no I/O.

    TokenError.code
    ├── token_malformed        not such a token, in its parts or, once the MAC is right, in its claims
    ├── token_invalid          no key of ours signed it; one code for a wrong MAC, key, algorithm, header
    ├── token_expired          ours, but too late
    ├── token_not_yet_valid    ours, but too early
    ├── token_refused          ours, but for another audience
    └── token_revoked          ours, but what it stood for has ended (said by who knows that)

The last four are only said of a token whose MAC is right. Messages are constants, and errors are raised
outside `except`, so that neither a message nor a chained exception carries a part of a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

MAX_TOKEN = 4096  # characters (JWT-1): fits the request line; ours have some 400
MAX_LEEWAY = 30.0  # seconds (JWT-5): clocks kept by NTP; RFC 7519 4.1.4: "no more than a few minutes"
MAX_TIME = 2**53  # seconds since 1970 (JWT-5): integers up to here are the same for all, RFC 8259 6
MAX_DIGITS = 20  # characters of an integer (JWT-5): 64 bits; int() of long texts is slow, CVE-2020-10735
MIN_SECRET = 32  # bytes (JWT-6): no shorter than the hash, RFC 7518 3.2
REFUSED = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"})  # JWT-3: rules and keys from outside

Code = Literal[
    "token_malformed", "token_invalid", "token_expired", "token_not_yet_valid", "token_refused", "token_revoked"
]


class TokenError(Exception):
    """A token that is not accepted. `code` is stable, for programs; `message` is one sentence for people."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A signing key and the name tokens call it by. ValueError for a secret of less than 32 bytes (JWT-6)."""

    kid: str
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET:
            raise ValueError(f"a signing secret has at least {MIN_SECRET} bytes (RFC 7518 3.2)")

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, secret=***)"


def encode(claims: Mapping[str, object], key: Key) -> str:
    """Sign `claims`. That `verify` takes them is the caller's duty: flat, short, times in whole seconds."""
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
    parts = (json.dumps(part, separators=(",", ":"), allow_nan=False) for part in (header, dict(claims)))
    signed = ".".join(_to_base64url(part.encode("ascii")) for part in parts)
    return f"{signed}.{_to_base64url(_mac(key, signed))}"


def same(left: bytes, right: bytes) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ. The only such comparison."""
    return hmac.compare_digest(left, right)


def verify(
    token: str, keys: Sequence[Key], *, now: float, leeway: float = 0.0, audience: str | None = None
) -> dict[str, object]:
    """The claims of a token that one of `keys` (oldest first) signed and that is good `now`, or TokenError."""
    return verified(token, keys, now=now, leeway=leeway, audience=audience)[0]


def verified(
    token: str, keys: Sequence[Key], *, now: float, leeway: float = 0.0, audience: str | None = None
) -> tuple[dict[str, object], Key]:
    """Such a token's claims, and the key that has signed it.

    `now` is seconds since 1970. `leeway` is seconds that clocks may differ by: ValueError beyond 30.
    `audience` is who we are: a token must name it or, when it is None, must have no `aud`. RFC 7519 4.1.3.
    """
    if not 0 <= leeway <= MAX_LEEWAY:
        raise ValueError(f"leeway is from 0 to {MAX_LEEWAY} seconds")
    claims, key = claims_of(token, keys)
    exp, nbf, iat = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    aud = claims.get("aud", [None])  # [None]: nobody in particular
    if exp is None or not isinstance(aud, str | list):  # exp is optional in RFC 7519, required by JWT-5
        raise TokenError("token_malformed", "The token has no expiry, or an audience without a name.")
    if audience not in ([aud] if isinstance(aud, str) else aud):  # `in` a str would find parts of it
        raise TokenError("token_refused", "The token is for another audience.")
    # JWT-5: "not good" rather than "bad": every comparison with a NaN is false, which must refuse, not admit.
    if not now < exp + leeway:  # RFC 7519 4.1.4: "on or after" exp
        raise TokenError("token_expired", "The token has expired.")
    if not all(start is None or start - leeway <= now for start in (nbf, iat)):  # RFC 7519 4.1.5, 4.1.6
        raise TokenError("token_not_yet_valid", "The token is not valid yet.")
    return claims, key


def claims_of(token: str, keys: Sequence[Key]) -> tuple[dict[str, object], Key]:
    """What one of `keys` has signed, and which. Whether it is good now is not asked. Raises TokenError."""
    payload, key = _authenticated_payload(token, keys)
    return _object(payload), key


def _authenticated_payload(token: str, keys: Sequence[Key]) -> tuple[bytes, Key]:
    """The payload, decoded but unread, of a token whose MAC one of `keys` made, and that key (JWT-1 to JWT-4)."""
    if len(token) > MAX_TOKEN or not token.isascii() or token.count(".") != 2:  # JWT-1, RFC 7515 7.1
        raise TokenError("token_malformed", "The token is not three parts of ASCII, or is too long.")
    header, payload, mac = (_from_base64url(part) for part in token.split("."))
    signed = token.rpartition(".")[0]
    for key in _candidates(_object(header), keys):
        if same(_mac(key, signed), mac):  # JWT-4: before anything reads the payload. RFC 7515 5.2, RFC 8725 3.3
            return payload, key
    raise TokenError("token_invalid", "The token was not signed by this server.")


def _candidates(header: dict[str, object], keys: Sequence[Key]) -> list[Key]:
    """JWT-3: who may have signed, newest first; the algorithm is ours to say. RFC 8725 3.1, 3.10, 3.11."""
    typ, kid = header.get("typ", "JWT"), header.get("kid", "")
    if not isinstance(typ, str) or not isinstance(kid, str):
        raise TokenError("token_malformed", "The token's header is not a JWT's.")
    if header.get("alg") != "HS256" or typ.upper() != "JWT" or not REFUSED.isdisjoint(header):
        raise TokenError("token_invalid", "The token's header asks for what this server does not do.")
    return [key for key in reversed(keys) if "kid" not in header or key.kid == kid]


def _mac(key: Key, signed: str) -> bytes:
    return hmac.digest(key.secret, signed.encode("ascii"), hashlib.sha256)


def _to_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _from_base64url(text: str) -> bytes:
    """JWT-2: one or more bytes in their only spelling. RFC 7515 2; RFC 4648 3.2, 3.3, 3.5."""
    if re.fullmatch("[A-Za-z0-9_-]+", text) and len(text) % 4 != 1:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if _to_base64url(raw) == text:  # else the last character has bits that mean nothing: YR for YQ
            return raw
    raise TokenError("token_malformed", "The token is not in unpadded base64url.")


def _object(raw: bytes) -> dict[str, object]:
    """JWT-5: a flat JSON object that all readers read alike. RFC 7519 4, RFC 8725 3.7, RFC 8259 4 to 8."""
    found: object = None
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_members, parse_int=_integer,
                           parse_float=_no_number, parse_constant=_no_number)  # fmt: skip
    except (ValueError, TypeError, RecursionError):  # the hooks' refusals too; none is chained, see above
        pass
    if not isinstance(found, dict):
        raise TokenError("token_malformed", "The token does not hold a plain JSON object.")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    """Each name once; values: strings, integers, true, false, null, lists of strings; no lone surrogates."""
    for name, value in pairs:
        texts = value if isinstance(value, list) else [value] if isinstance(value, str | dict) else []
        "".join([name, *texts]).encode("utf-8")  # TypeError: no string; ValueError: a lone surrogate
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name given twice")
    return dict(pairs)


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("an integer too long")
    return int(text)


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN, Infinity or a fraction")


def _time(claims: dict[str, object], name: str) -> int | None:
    """JWT-5: seconds since 1970, None without that claim. True, 1e9 and "1" are no times here. RFC 7519 2."""
    value = claims.get(name)
    if name in claims and (type(value) is not int or not 0 <= value <= MAX_TIME):
        raise TokenError("token_malformed", "A time in the token is not in whole seconds since 1970.")
    return value if isinstance(value, int) else None
