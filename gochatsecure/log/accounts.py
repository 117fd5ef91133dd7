"""Which names are registered, and which sign-ins have ended before their tokens: the port, and the engine that forgets.

Beside the log, in the same store. Another process may write there, too (the operator's commands): who keeps accounts
in memory asks for `changes` now and then. An account is never deleted, so that its name never becomes another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..chat.model import Role
from ..chat.names import skeleton


class Account(NamedTuple):
    """A registered name. `password` is a record by which it can be checked; `created` is in seconds since 1970.

    Its tokens name the `generation`: once that is another, they are good no more.
    """

    name: str
    password: str
    role: Role
    created: int
    generation: int
    disabled: bool = False


class Revocation(NamedTuple):
    """The sign-in `sid` of this name has ended; `until`: when its last token expires, in seconds since 1970."""

    name: str
    sid: str
    until: int


class Seen(NamedTuple):
    """How far one knows the changes."""

    account: int = 0
    revocation: int = 0


class Changes(NamedTuple):
    """What was added or changed since, as it is now; and how far that goes."""

    accounts: Sequence[Account]
    revocations: Sequence[Revocation]
    seen: Seen


class Accounts(Protocol):
    """Each of these returns once it is stored. All but opening and closing raise Temporary."""

    async def open(self) -> None:
        """Raises StoreError."""

    async def add(self, account: Account) -> bool:
        """False if its name, or one that looks like it, is registered already."""

    async def replace(self, account: Account, was: Account) -> bool:
        """False if the account is not as it was any more."""

    async def revoke(self, revocation: Revocation, now: float) -> None:
        """`now`: what has expired by then is forgotten."""

    async def changes(self, since: Seen) -> Changes: ...

    async def close(self) -> None:
        """Twice is no error."""


class MemoryAccounts:
    """As long as this process lives."""

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[int, Account]] = {}  # by look: the change that it came with
        self._revocations: list[tuple[int, Revocation]] = []
        self._seen = Seen()

    async def open(self) -> None:
        pass

    async def add(self, account: Account) -> bool:
        if skeleton(account.name) in self._accounts:
            return False
        self._put(account)
        return True

    async def replace(self, account: Account, was: Account) -> bool:
        _, kept = self._accounts.get(skeleton(was.name), (0, None))
        if kept != was:
            return False
        self._put(account)
        return True

    def _put(self, account: Account) -> None:
        self._seen = self._seen._replace(account=self._seen.account + 1)
        self._accounts[skeleton(account.name)] = (self._seen.account, account)

    async def revoke(self, revocation: Revocation, now: float) -> None:
        self._seen = self._seen._replace(revocation=self._seen.revocation + 1)
        self._revocations = [kept for kept in self._revocations if kept[1].until > now]
        self._revocations.append((self._seen.revocation, revocation))

    async def changes(self, since: Seen) -> Changes:
        accounts = [account for number, account in self._accounts.values() if number > since.account]
        revocations = [one for number, one in self._revocations if number > since.revocation]
        return Changes(accounts, revocations, self._seen)

    async def close(self) -> None:
        pass
