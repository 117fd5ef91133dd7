"""Who a token says somebody is: issuing, verifying, and the file of signing keys. Pure but for reading that file.

The file holds one key a line, oldest first: `KID SECRET`, or a SECRET alone. The newest signs, each verifies, so keys
rotate by adding a line. The key is the secret's own text, so that a site which fronts this server can sign with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from ..chat.model import ANY_ROOM, Identity, Role
from ..chat.names import InvalidName, canonical_user
from ..errors import KeyFileError
from ..private import own_folder, refuse_shared
from .jwt import MIN_SECRET, Key, TokenError, claims_of, encode, verified

_WELL_KNOWN = ("supersecretkey", "your-256-bit-secret", "changeme", "secret", "password", "example")
_LEEWAY = 5.0  # seconds by which a fronting site's clock may be ahead or behind
_ISSUER = "gochatsecure"
_ROLES = {str(role): role for role in Role}


class KeyRing:
    """The signing keys, oldest first: sign with the last, verify with each."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Raises KeyFileError when there is none, or two of one name."""
        if not keys:
            raise KeyFileError("there is no signing key", "put a line there, as `openssl rand -hex 32` makes one")
        if len({key.kid for key in keys}) < len(keys):
            raise KeyFileError("two signing keys have the same name", "give each line its own KID")
        self._keys = tuple(keys)
        self._marks = {key.kid: hashlib.sha256(b"mark:" + key.secret).hexdigest()[:16] for key in keys}

    @property
    def kids(self) -> tuple[str, ...]:
        """The names of its keys, oldest first."""
        return tuple(key.kid for key in self._keys)

    def has(self, signed_by: str) -> bool:
        """Whether the key by that mark (`Identity.signed_by`) is one of these: the secret itself, whatever its name."""
        return signed_by in self._marks.values()

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The keys of a file. Raises KeyFileError."""
        try:
            refuse_shared(path, KeyFileError)
            text = path.read_text("utf-8")
        except FileNotFoundError:
            raise KeyFileError(f"{path}: there is no such file", "name the signing key with -secret-file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(f"{path}: cannot be read: {error}", "name another file with -secret-file") from None
        try:
            return cls.of_text(text)
        except KeyFileError as error:
            raise KeyFileError(f"{path}: {error.cause}", error.mend) from None

    @classmethod
    def of_text(cls, text: str) -> KeyRing:
        """The keys of a file with that text. Raises KeyFileError."""
        return cls([parse_key(line) for line in text.splitlines() if line.strip() and line[0] != "#"])

    @classmethod
    def load_or_make(cls, path: Path) -> KeyRing:
        """The keys of a file, which is made with one new key if it is not there. Raises KeyFileError."""
        try:
            own_folder(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return cls.load(path)
        except OSError as error:
            raise KeyFileError(f"{path}: cannot be made: {error.strerror}", "choose another -data") from None
        with os.fdopen(descriptor, "w") as file:
            file.write("# Signing keys of GoChatSecure: KID SECRET, oldest first; the last signs, each verifies.\n")
            file.write(new_line())
            file.flush()
            os.fsync(file.fileno())
        return cls.load(path)

    def claims(self, token: str) -> dict[str, object]:
        """What is in a token of one of these keys, whether it is good now or not. Raises TokenError."""
        return claims_of(token, self._keys)[0]

    def issue(self, identity: Identity, *, jti: str, now: float, life: float) -> str:
        """A token named `jti`, good for `life` seconds, for this identity whatever its own expiry is."""
        claims: dict[str, object] = {
            "iss": _ISSUER,
            "sub": identity.name,
            "username": identity.name,  # what clients of the original read
            "iat": int(now),
            "exp": int(now + life),
            "jti": jti,
            "sid": identity.sid,
        }
        if identity.role is not Role.MEMBER:
            claims["role"] = str(identity.role)
        if identity.rooms != ANY_ROOM:
            claims["rooms"] = list(identity.rooms)
        if identity.generation is not None:
            claims["gen"] = identity.generation
        return encode(claims, self._keys[-1])

    def identify(self, token: str, now: float) -> Identity:
        """Who the bearer is. Raises TokenError."""
        claims, key = verified(token, self._keys, now=now, leeway=_LEEWAY)
        names = {claims[field] for field in ("sub", "username") if isinstance(claims.get(field), str)}
        sid, jti = claims.get("sid", ""), claims.get("jti")
        if not sid and isinstance(jti, str) and "~" not in jti and len(jti) <= 64:
            sid = jti  # made elsewhere, and a sign-in by itself: by this name it can be revoked
        expires, generation = claims["exp"], claims.get("gen")
        rooms = claims.get("rooms", list(ANY_ROOM))
        if len(names) != 1 or not isinstance(sid, str) or "~" in sid or len(sid) > 64 or not isinstance(expires, int):
            raise TokenError("token_malformed", "the token must name one user, as sub or username")
        claimed = claims.get("role", str(Role.MEMBER))
        role = _ROLES.get(claimed) if isinstance(claimed, str) else None
        if role is None:
            raise TokenError("token_malformed", "the token's role is none; leave it out, or say guest")
        if role is Role.GUEST and not claims.get("sid"):
            raise TokenError("token_malformed", "a guest's token must have a sid, which makes it one guest's")
        if not isinstance(rooms, list):
            raise TokenError("token_malformed", "the token's rooms must be a list of patterns")
        if not (generation is None or type(generation) is int):
            raise TokenError("token_malformed", "the token's generation must be a whole number")
        (name,) = names
        assert isinstance(name, str)
        try:
            if canonical_user(name) != name:
                raise InvalidName
        except InvalidName:
            raise TokenError("token_malformed", "the token's user name is not one in canonical form") from None
        ours, signed_by = claims.get("iss") == _ISSUER, self._marks[key.kid]
        return Identity(name, sid, role, expires + _LEEWAY, tuple(rooms), ours, generation, signed_by)


def new_line() -> str:
    """A key that nobody can guess, as a line of the file."""
    return f"{secrets.token_hex(4)} {secrets.token_hex(32)}\n"


def parse_key(line: str) -> Key:
    fields = line.split()
    if len(fields) > 2 or (len(fields) == 2 and not re.fullmatch("[A-Za-z0-9._-]{1,64}", fields[0])):
        raise KeyFileError("a line is not KID SECRET", "write each key as one line: a short name, a space, the secret")
    secret = fields[-1].encode()
    kid = fields[0] if len(fields) == 2 else hashlib.sha256(b"kid:" + secret).hexdigest()[:8]
    guessed = any(fields[-1].lower().startswith(known) for known in _WELL_KNOWN)
    if len(secret) < MIN_SECRET or len(set(secret)) < 10 or guessed:
        cause = f"the signing key {kid} is shorter than {MIN_SECRET} bytes, or can be guessed"
        raise KeyFileError(cause, "make one with `openssl rand -hex 32`")
    return Key(kid, secret)


def make_id() -> str:
    """A token's or a sign-in's id: 96 random bits."""
    return secrets.token_urlsafe(12)
