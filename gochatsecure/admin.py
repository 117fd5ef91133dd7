"""The operator's commands: accounts, tokens, signing keys. Each works on the files alone, also beside a running server.

A password or a token is asked for, or read from standard input; never an argument, which others on this machine could
read.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path

from .auth import keyfile, passwords
from .auth.jwt import TokenError
from .auth.tokens import KeyRing, make_id
from .chat.model import Identity, Role
from .chat.names import InvalidName, canonical_user
from .errors import SettingsError, StoreError
from .log.account_table import AccountTable, opened
from .log.accounts import Account, Revocation
from .settings import Settings

USAGE = (
    ("user add|passwd NAME", "register a name; give it another password"),
    ("user disable|enable NAME", "a name that is disabled signs in no more"),
    ("user role NAME ROLE", "member, moderator or owner, in every room"),
    ("user sign-out NAME", "end all of its sign-ins"),
    ("user list", "every name, its role and state"),
    ("token mint NAME [SECONDS]", "a token for the owner of that name"),
    ("token inspect", "what is in a token, and whether it is good"),
    ("token revoke [NAME SID]", "end a sign-in: the token's, or the one named so"),
    ("key rotate", "make a key that signs from now on"),
    ("key retire KID", "what that key has signed is good no more"),
    ("key list", "their names, the newest last"),
)
"""What may be typed, and what it means."""


# Accounts.


def user(settings: Settings, words: Sequence[str]) -> int:
    match words:
        case ["list"]:
            with _table(settings) as table:
                for account in table.all():
                    made = time.strftime("%Y-%m-%d", time.gmtime(account.created))
                    state = "disabled" if account.disabled else "enabled"
                    print(f"{account.name} {account.role!s} {state} {made}")
        case ["add", name]:
            name = _name(name)
            record = _new_password(name)
            path = settings.store_path()
            where = "" if path is None or path.is_file() else f", in a new store: {path}"
            with _table(settings, make=True) as table:
                account = Account(name, record, Role.MEMBER, int(time.time()), secrets.randbits(48))
                if not table.add(account):
                    raise SettingsError(
                        f"user add: {name}, or a name that looks like it, is registered", "take another"
                    )
            print(f"{name} is registered{where}")
        case ["passwd", name]:
            _change(settings, name, lambda one: one._replace(password=_new_password(one.name)), ends=True)
            print(f"{name} has another password; all of its sign-ins end")
        case ["disable", name]:
            _change(settings, name, lambda one: one._replace(disabled=True), ends=True)
            print(f"{name} is disabled; all of its sign-ins end")
        case ["enable", name]:
            _change(settings, name, lambda one: one._replace(disabled=False))
            print(f"{name} may sign in")
        case ["role", name, called]:
            role = next((role for role in Role if str(role) == called and role is not Role.GUEST), None)
            if role is None:
                raise SettingsError("user role: there is no such role", "use member, moderator or owner")
            _change(settings, name, lambda one: one._replace(role=role), ends=True)
            print(f"{name} is {role!s}; all of its sign-ins end, and the next one is so")
        case ["sign-out", name]:
            _change(settings, name, lambda one: one, ends=True)
            print(f"{name}: all sign-ins end")
        case _:
            raise _usage("user")
    return 0


def _change(settings: Settings, name: str, change: Callable[[Account], Account], *, ends: bool = False) -> None:
    """`ends`: the tokens that there are of it are good no more."""
    with _table(settings) as table:
        account = table.get(_name(name))
        if account is None:
            raise SettingsError(f"user: {_name(name)} is not registered", "gochatsecure user list tells who is")
        newer = change(account)
        if ends:
            newer = newer._replace(generation=account.generation + 1)
        if not table.replace(newer, account):
            raise SettingsError(f"user: {account.name} was changed by somebody else meanwhile", "look, and try again")


@contextmanager
def _table(settings: Settings, *, make: bool = False) -> Iterator[AccountTable]:
    """`make`: a store that is not there yet, as before a server's first start. Raises SettingsError, StoreError."""
    path = settings.store_path()
    if path is None:
        raise SettingsError("-store: memory: keeps its accounts to itself", "name a store with -store sqlite:PATH")
    if not make and not path.is_file():
        raise StoreError(f"{path}: there is no such file", "name the server's own with -data, or -store sqlite:PATH")
    with opened(path) as table:
        yield table


def _name(typed: str) -> str:
    try:
        return canonical_user(typed)
    except InvalidName as error:
        raise _told(error) from None


def _new_password(name: str) -> str:
    """Its record."""
    password = _secret(f"new password of {name}: ")
    if sys.stdin.isatty() and _secret("the same again: ") != password:
        raise SettingsError("the two passwords differ", "type the same one twice")
    try:
        passwords.check(password, name)
    except passwords.WeakPassword as error:
        raise _told(error) from None
    return passwords.record_of(password, secrets.token_bytes(passwords.SALT))


def _secret(prompt: str) -> str:
    if sys.stdin.isatty():
        return getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n")


def _told(error: ValueError) -> SettingsError:
    cause, _, mend = str(error).rstrip(".").partition("; ")
    return SettingsError(cause, mend)


# Tokens.


def token(settings: Settings, words: Sequence[str]) -> int:
    now = time.time()
    keys = KeyRing.load(settings.key_path()[0])
    match words:
        case ["mint", name]:
            print(keys.issue(_owner(settings, _name(name)), jti=make_id(), now=now, life=settings.limits.token_s))
        case ["mint", name, seconds]:
            life = int(seconds) if re.fullmatch("[0-9]{1,12}", seconds) else 0
            if not life:
                raise SettingsError("token mint: SECONDS is not a number of 1 to 12 digits", "write 3600 for an hour")
            print(keys.issue(_owner(settings, _name(name)), jti=make_id(), now=now, life=life))
        case ["inspect"]:
            return _inspect(settings, keys, _secret("token: "), now)
        case ["revoke"]:
            try:
                identity = keys.identify(_secret("token: "), now)
            except TokenError as error:
                raise _not_good(error) from None
            if not identity.sid:
                raise SettingsError("token revoke: it names no sign-in", "retire its key with gochatsecure key retire")
            _revoke(settings, identity.name, identity.sid, max(identity.expires, now + settings.limits.token_s), now)
        case ["revoke", name, sid]:
            _revoke(settings, _name(name), sid, now + 400 * 24 * 3600, now)  # how long its tokens last is not known
        case _:
            raise _usage("token")
    return 0


def _owner(settings: Settings, name: str) -> Identity:
    path = settings.store_path()
    account = None
    if path is not None and path.is_file():
        with _table(settings) as table:
            account = table.get(name)
    if account is None:
        return Identity(name, make_id())
    if account.disabled:
        raise SettingsError(f"token mint: {name} is disabled", "enable it first with gochatsecure user enable")
    return Identity(name, make_id(), account.role, generation=account.generation)


def _inspect(settings: Settings, keys: KeyRing, shown: str, now: float) -> int:
    try:
        print(json.dumps(keys.claims(shown), indent=2, ensure_ascii=True))
        identity = keys.identify(shown, now)
    except TokenError as error:
        raise _not_good(error) from None
    ended = None
    path = settings.store_path()
    if path is not None and path.is_file():
        with _table(settings) as table:
            ended = table.ended(identity.name, identity.sid, identity.generation, int(now))
    if ended:
        raise SettingsError(f"token: not good: {ended}", "sign in again")
    print(f"good for {int(identity.expires - now)} s")
    return 0


def _revoke(settings: Settings, name: str, sid: str, until: float, now: float) -> None:
    with _table(settings, make=True) as table:
        table.revoke(Revocation(name, sid, int(min(until + 60, 2**53))), now)
    print(f"{name}: the sign-in {sid} has ended")


def _not_good(error: TokenError) -> SettingsError:
    return SettingsError(f"token: not good: {error.code}: {error.message.rstrip('.')}", "sign in again")


# Keys.


def key(settings: Settings, words: Sequence[str]) -> int:
    path: Path = settings.key_path()[0]
    match words:
        case ["list"]:
            *older, newest = KeyRing.load(path).kids
            for kid in older:
                print(f"{kid} verifies")
            print(f"{newest} signs")
        case ["rotate"]:
            print(f"{keyfile.rotate(path)} signs from now on; retire the older ones once their tokens have expired")
        case ["retire", kid]:
            keyfile.retire(path, kid)
            print(f"{kid} is retired; who signed in with it has to do so again")
        case _:
            raise _usage("key")
    return 0


def _usage(command: str) -> SettingsError:
    known = ", ".join(words for words, _ in USAGE if words.startswith(command + " "))
    return SettingsError(f"{command}: not one of its commands", f"use one of: {known}")


COMMANDS: Mapping[str, Callable[[Settings, Sequence[str]], int]] = {"user": user, "token": token, "key": key}
