"""Who may speak now: the signing keys, the registered names, the sign-ins that have ended. In memory.

A token says who somebody was when it was made. Whether that still holds is asked here, of every token that is shown and
of every session that is open when something has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..auth.jwt import TokenError
from ..auth.tokens import KeyRing
from ..chat.model import Identity
from ..chat.names import skeleton
from ..log.accounts import Account, Changes, Seen

ENDED = "this sign-in has ended; sign in again"
_DISABLED = "this name has been disabled"
_REGISTERED = "this name is registered now; sign in with its password"
_RETIRED = "the key of this token has been retired; sign in again"
_NO_GUESTS = "guests are not let in here; sign in with a password"


class Authority:
    def __init__(self, keys: KeyRing, *, guests: bool, wall: Callable[[], float]) -> None:
        """`guests`: whether those who own no name are let in. `wall` gives seconds since 1970."""
        self.keys = keys
        self._guests = guests
        self._wall = wall
        self._accounts: dict[str, Account] = {}  # by look
        self._revoked: OrderedDict[tuple[str, str], int] = OrderedDict()  # by name and sid: until when
        self.seen = Seen()

    def identify(self, token: str) -> Identity:
        """Whose token this is. Raises TokenError."""
        identity = self.keys.identify(token, self._wall())
        objection = self.objection(identity)
        if objection is not None:
            raise TokenError("token_revoked", objection)
        return identity

    def objection(self, identity: Identity) -> str | None:
        """Why its authority has ended, if it has. Whether it has expired is not asked here."""
        if identity.signed_by and not self.keys.has(identity.signed_by):
            return _RETIRED
        if self._revoked and (identity.name, identity.sid) in self._revoked:
            return ENDED
        if identity.guest:
            if not self._guests:
                return _NO_GUESTS
            return _REGISTERED if skeleton(identity.name) in self._accounts else None
        account = self.account(identity.name)
        if account is not None and account.disabled:
            return _DISABLED
        if identity.generation is None:  # of a site that fronts this server, which answers for its people itself
            return ENDED if identity.ours and account is not None else None
        return None if account is not None and account.generation == identity.generation else ENDED

    def account(self, name: str) -> Account | None:
        account = self._accounts.get(skeleton(name))
        return account if account is not None and account.name == name else None

    def is_taken(self, name: str) -> bool:
        """Whether the name, or one that looks like it, is registered."""
        return skeleton(name) in self._accounts

    @property
    def registered(self) -> int:
        return len(self._accounts)

    @property
    def revoked(self) -> int:
        return len(self._revoked)

    def take(self, changes: Changes) -> set[str]:
        """Know what has changed. Answers with the names whose sessions have to be looked at."""
        for account in changes.accounts:
            self._accounts[skeleton(account.name)] = account
        for name, sid, until in changes.revocations:
            self._revoked[name, sid] = until
        if changes.revocations:
            self.forget_expired()
        self.seen = changes.seen
        return {account.name for account in changes.accounts} | {one.name for one in changes.revocations}

    def forget_expired(self) -> None:
        now = self._wall()
        for key in [key for key, until in self._revoked.items() if until <= now]:
            del self._revoked[key]
