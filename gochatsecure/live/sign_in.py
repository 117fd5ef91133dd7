"""Signing in and out over HTTP: as a guest, or as the owner of a registered name, by its password.

What has to hash or to store is a coroutine; all else answers at once. An unknown name is refused like a wrong password,
in the same words and after the same work. Whatever ends somebody's authority takes effect before it is answered.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from ..auth import passwords
from ..auth.attempts import Attempts
from ..auth.jwt import TokenError
from ..auth.rates import Rates, Sampled, address_key
from ..chat.errors import Temporary
from ..chat.model import Identity, Role
from ..chat.names import InvalidName, canonical_user
from ..journal import Happening
from ..limits import Limits
from ..log.accounts import Account, Accounts, Revocation
from ..log.port import Log
from ..wire.http1 import HTTPError, Request, Response
from .authority import Authority
from .counts import Counts
from .hashing import Hashing
from .hub import Hub
from .watch import look_at_accounts

_logger = logging.getLogger("gochatsecure")
_T = TypeVar("_T")
_GENERATIONS = 48  # random bits of an account's first generation: no token of an earlier one of its name fits


class SignIn:
    def __init__(
        self,
        *,
        authority: Authority,
        accounts: Accounts,
        log: Log,
        hub: Hub,
        limits: Limits,
        counts: Counts,
        hashing: Hashing,
        ways: str,
        register: bool,
        rate: float,
        make_id: Callable[[], str],
        make_salt: Callable[[int], bytes],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`ways`: the setting `sign_in`. `register`: whether anybody may register a name. `rate`: sign-ins a minute and
        address; 0 for no limit. `make_salt`: so many bytes that nobody can guess."""
        self._authority = authority
        self._accounts = accounts
        self._log = log
        self._hub = hub
        self._limits = limits
        self._counts = counts
        self._hashing = hashing
        self._ways = ways
        self._open = register
        self._make_id = make_id
        self._make_salt = make_salt
        self._wall = wall
        self._monotonic = monotonic
        tracked = limits.tracked_addresses
        self._sign_ins = Rates(rate / 60, rate, tracked)
        registrations = limits.registrations_per_hour if rate else 0
        self._registrations = Rates(registrations / 3600, registrations, tracked)
        self._attempts = Attempts(limits)
        self._failures = Sampled(rate=10, burst=100)  # log lines a second
        self._stand_in = passwords.stand_in(make_salt(passwords.SALT), make_salt(32))

    @property
    def tracked(self) -> Mapping[str, int]:
        """Keys that each table of rates remembers."""
        return {"sign-ins": len(self._sign_ins), "registrations": len(self._registrations)}

    # Guests.

    def guest(self, request: Request, address: str) -> Response:
        """GET /auth: a name that nobody has now."""
        self._check_ways(guest=True)
        self._limit(self._sign_ins, address)
        name = _name(request.query.get("username"))
        bearer = self.identify(bearer_of(request)) if request.values("authorization") else None
        if bearer is not None and bearer.ours and bearer.name == name and not bearer.guest:
            return self._answer(200, bearer)
        if self._authority.is_taken(name):
            raise _taken()
        if bearer is not None and not (bearer.ours and bearer.name == name):
            bearer = None
        if not self._hub.is_free(name, bearer):
            raise HTTPError(409, "name_in_use", "somebody else has this name now; choose another, or show its token")
        self._counts.sign_ins["guest"] += 1
        _audit("sign_in", name, address, guest=True)
        return self._answer(200, bearer or Identity(name, self._make_id(), role=Role.GUEST))

    def refresh(self, request: Request, address: str) -> Response:
        """POST /auth/refresh: a later token of the same sign-in."""
        self._limit(self._sign_ins, address)
        identity = self.identify(bearer_of(request))
        if self._ways == "external" or not identity.ours:
            raise HTTPError(403, "sign_in_external", "this token was made elsewhere; refresh it where it was made")
        if not self._hub.is_free(identity.name, identity):
            raise HTTPError(409, "name_in_use", "somebody else has this name now; choose another")
        return self._answer(200, identity)

    # Owners of names.

    async def register(self, request: Request, address: str) -> Response:
        """POST /register: from now on the name needs this password."""
        self._check_ways()
        if not self._open:
            raise HTTPError(403, "registration_closed", "ask the operator for an account")
        typed, password = request.fields("username", "password")
        self._limit(self._sign_ins, address)
        name = _name(typed)
        _check_password(password, name)
        bearer = self.identify(bearer_of(request)) if request.values("authorization") else None
        await self._check_unowned(name, bearer)
        self._limit(self._registrations, address)
        record = await self._hash(partial(passwords.record_of, password, self._make_salt(passwords.SALT)))
        await self._check_unowned(name, bearer)  # while it was hashed somebody may have taken it
        generation = int.from_bytes(self._make_salt(_GENERATIONS // 8))
        account = Account(name, record, Role.MEMBER, int(self._wall()), generation)
        if not await self._store(self._accounts.add(account)):
            raise _taken()
        await look_at_accounts(self._accounts, self._authority, self._hub)  # its guest's sessions end here
        self._counts.sign_ins["registered"] += 1
        _audit("registered", name, address)
        self._attempts.right(address_key(address), name, self._monotonic())
        return self._answer(201, self._owner(account))

    async def _check_unowned(self, name: str, bearer: Identity | None) -> None:
        if self._authority.is_taken(name):
            raise _taken()
        if self._authority.registered >= self._limits.accounts:
            raise HTTPError(503, "accounts_full", "no more names can be registered; ask the operator", _retry(3600))
        if bearer is not None and (bearer.name != name or not bearer.guest):
            bearer = None
        if not self._hub.is_free(name, bearer):
            raise HTTPError(409, "name_in_use", "somebody else has this name now; choose another, or show its token")
        if await self._store(self._log.marks(name, 1)):  # its owner signs in elsewhere: that inbox is not for sale
            raise _taken()

    async def sign_in(self, request: Request, address: str) -> Response:
        """POST /auth: the owner of a registered name, by its password."""
        self._check_ways()
        self._limit(self._sign_ins, address)
        typed, password = request.fields("username", "password")
        name = _name(typed)
        account = await self._check(name, password, address)
        if account.disabled:
            self._audit_failure(name, address, "account_disabled")
            raise HTTPError(403, "account_disabled", "this name has been disabled; ask the operator")
        if passwords.is_outdated(account.password):
            account = await self._renew(account, password)
        self._counts.sign_ins["owner"] += 1
        _audit("sign_in", name, address)
        return self._answer(200, self._owner(account))

    async def _renew(self, account: Account, password: str) -> Account:
        """Keep the password as it is kept nowadays. If that fails, the next sign-in will do."""
        try:
            record = await self._hash(
                partial(passwords.record_of, password, self._make_salt(passwords.SALT)), known=True
            )
            newer = account._replace(password=record)
            if await self._store(self._accounts.replace(newer, account)):
                await look_at_accounts(self._accounts, self._authority, self._hub)
        except HTTPError:
            pass
        return account

    async def change(self, request: Request, address: str) -> Response:
        """POST /auth/password: another password. It ends every sign-in of the name; the answer is a new one."""
        self._limit(self._sign_ins, address)
        identity = self.identify(bearer_of(request))
        password, new = request.fields("password", "new_password")
        if identity.guest or identity.generation is None:
            raise HTTPError(403, "no_account", "this token is of no registered name; register it first")
        name = identity.name
        _check_password(new, name)
        account = await self._check(name, password, address)
        record = await self._hash(partial(passwords.record_of, new, self._make_salt(passwords.SALT)), known=True)
        newer = account._replace(password=record, generation=account.generation + 1)
        if self._authority.objection(identity) or not await self._store(self._accounts.replace(newer, account)):
            raise HTTPError(409, "account_changed", "the account was changed meanwhile; sign in and try again")
        await look_at_accounts(self._accounts, self._authority, self._hub)
        _audit("password_changed", name, address)
        return self._answer(200, self._owner(newer))

    async def sign_out(self, request: Request, address: str) -> Response:
        """POST /auth/sign-out: this sign-in ends, with all of its tokens and sessions."""
        self._limit(self._sign_ins, address)
        identity = self.identify(bearer_of(request))
        if not identity.sid:
            raise HTTPError(403, "sign_in_external", "this token was made elsewhere, and names no sign-in")
        if identity.guest and self._authority.revoked >= self._limits.revocations:
            raise HTTPError(503, "store_busy", "too many have signed out lately; let the token expire", _retry(3600))
        until = max(identity.expires, self._wall() + self._limits.token_s) + 60
        revocation = Revocation(identity.name, identity.sid, int(min(until, 2**53)))
        await self._store(self._accounts.revoke(revocation, self._wall()))
        await look_at_accounts(self._accounts, self._authority, self._hub)
        self._hub.let_go(identity)
        _audit("signed_out", identity.name, address)
        return json_answer(200, {})

    # What they share.

    async def _check(self, name: str, password: str, address: str) -> Account:
        """The account whose password this is. Raises HTTPError."""
        if not passwords.is_possible(password):
            raise HTTPError(400, "password_invalid", f"a password is text of at most {passwords.MAX_LENGTH} bytes")
        key, now, attempts = address_key(address), self._monotonic(), self._attempts
        known = attempts.knows(key, name, now)
        if wait := attempts.begin(key, name, now):
            self._audit_failure(name, address, "rate_limited")
            raise HTTPError(429, "rate_limited", "too many wrong passwords; wait before the next", _retry(wait))
        account = self._authority.account(name)
        record = self._stand_in if account is None else account.password
        try:
            right = await self._hash(partial(passwords.fits, password, record), known=known)
        except HTTPError:
            attempts.undo(key, name, now)
            raise
        account = self._authority.account(name)  # as it is now: it may have been changed, or disabled, meanwhile
        if account is None or account.password != record or not right:
            self._audit_failure(name, address, "bad_credentials")
            raise HTTPError(401, "bad_credentials", "the name or the password is wrong", _CHALLENGE)
        attempts.right(key, name, now)
        return account

    def _audit_failure(self, name: str, address: str, code: str) -> None:
        """Some a second are logged, without a name that is not registered: it may be a mistyped password."""
        self._counts.sign_ins[code] += 1
        if count := self._failures.count(self._monotonic()):
            known = {"username": name} if self._authority.account(name) is not None else {}
            _logger.info(Happening("sign_in_failed", **known, address=address, code=code, count=count))

    async def _hash(self, job: Callable[[], _T], *, known: bool = False) -> _T:
        return await self._store(self._hashing.run(job, known=known))

    async def _store(self, asked: Awaitable[_T]) -> _T:
        try:
            return await asked
        except Temporary as error:
            raise HTTPError(503, error.code, error.message, _retry(error.retry_after_ms / 1000)) from None

    def _owner(self, account: Account) -> Identity:
        """A new sign-in of the account's owner."""
        return Identity(account.name, self._make_id(), account.role, generation=account.generation)

    def _answer(self, status: int, identity: Identity) -> Response:
        life = self._limits.token_s
        token = self._authority.keys.issue(identity, jti=self._make_id(), now=self._wall(), life=life)
        return json_answer(status, {"token": token, "username": identity.name, "expires_in": life})

    def _check_ways(self, *, guest: bool = False) -> None:
        if self._ways == "external":
            raise HTTPError(403, "sign_in_external", "sign in at the site that this server belongs to")
        if guest and self._ways == "accounts":
            raise HTTPError(403, "guests_refused", "guests are not let in here; register, or sign in with a password")

    def _limit(self, rates: Rates, address: str) -> None:
        check_rate(rates, address, self._monotonic())

    def check(self, identity: Identity) -> None:
        """Raises HTTPError when the authority of who needs no token has ended."""
        if (objection := self._authority.objection(identity)) is not None:
            raise HTTPError(401, "token_revoked", objection, _CHALLENGE)

    def identify(self, token: str) -> Identity:
        """Whose token it is. Raises HTTPError."""
        try:
            return self._authority.identify(token)
        except TokenError as error:
            challenge = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
            raise HTTPError(401, error.code, error.message, challenge) from None


_CHALLENGE = (("WWW-Authenticate", "Bearer"),)


def _taken() -> HTTPError:
    return HTTPError(409, "name_registered", "this name, or one like it, is registered; sign in, or choose another")


def _name(typed: str | None) -> str:
    if not typed:
        raise HTTPError(400, "username_missing", "name yourself: /auth?username=NAME")
    try:
        return canonical_user(typed)
    except InvalidName as error:
        raise HTTPError(400, "username_invalid", str(error)) from None


def _check_password(password: str, name: str) -> None:
    try:
        passwords.check(password, name)
    except passwords.WeakPassword as error:
        raise HTTPError(400, "password_invalid", str(error)) from None


def _audit(what: str, name: str, address: str, **fields: object) -> None:
    _logger.info(Happening(what, username=name, address=address, **fields))


def _retry(seconds: float) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(int(seconds) + 1)),)


def check_rate(rates: Rates, address: str, now: float) -> None:
    """Raises HTTPError when this address has to wait."""
    if wait := rates.take(address_key(address), now):
        raise HTTPError(429, "rate_limited", "too much of that from this address; wait a moment", _retry(wait))


def bearer_of(request: Request) -> str:
    """The token in the Authorization header (RFC 6750 2.1). Raises HTTPError if there is none."""
    values = request.values("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise HTTPError(401, "token_missing", "send Authorization: Bearer TOKEN", _CHALLENGE)
    return token.strip(" ")


def json_answer(status: int, body: Mapping[str, object]) -> Response:
    return Response(status, json.dumps(body).encode(), (("Content-Type", "application/json"),))
