"""Accounts in the SQLite store. On a connection and a thread of their own: signing in waits for no message.

`AccountTable` is what the operator's commands use, beside a running server: each change is one transaction.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ..chat.errors import Temporary
from ..chat.model import Role
from ..chat.names import skeleton
from ..errors import StoreError
from ..private import own_folder, refuse_shared
from ..worker import Worker
from .accounts import Account, Changes, Revocation, Seen
from .migrations import migrate
from .rows import connect

_logger = logging.getLogger("gochatsecure.log")
_T = TypeVar("_T")
_COLUMNS = "name, password, role, created, generation, disabled"
_ROLES = {str(role): role for role in Role}


class AccountTable:
    """Used by one thread at a time. Raises sqlite3.Error, but for opening: StoreError."""

    def __init__(self, path: Path) -> None:
        """The file is made if there is none. One that is there is left to SQLite: closing any other descriptor of it
        would drop this process's locks, and whoever leaves last would take its commits away from under it."""
        path = Path(os.path.realpath(path))
        try:
            own_folder(path.parent)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            refuse_shared(path, StoreError)
            self._connection = connect(path, durable=True)
            migrate(self._connection)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreError(f"{path}: cannot be used: {reason}", "choose another -store or -data") from None

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def add(self, account: Account) -> bool:
        name, password, role, created, generation, disabled = account
        try:
            with self._transaction() as connection:
                connection.execute(
                    "INSERT INTO account (name, look, password, role, created, disabled, generation, changed)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(changed), 0) + 1 FROM account))",
                    (name, skeleton(name), password, str(role), created, int(disabled), generation),
                )
        except sqlite3.IntegrityError:
            return False
        return True

    def replace(self, account: Account, was: Account) -> bool:
        with self._transaction() as connection:
            if self.get(was.name) != was:
                return False
            connection.execute(
                "UPDATE account SET password = ?, role = ?, disabled = ?, generation = ?,"
                " changed = (SELECT max(changed) + 1 FROM account) WHERE name = ?",
                (account.password, str(account.role), int(account.disabled), account.generation, was.name),
            )
        return True

    def get(self, name: str) -> Account | None:
        found = self._connection.execute(f"SELECT {_COLUMNS} FROM account WHERE name = ?", (name,)).fetchone()
        return None if found is None else _account(*found)

    def ended(self, name: str, sid: str, generation: int | None, now: int) -> str:
        """Why a sign-in has ended before its token, or "". Who has no `generation` is asked for the sign-in alone."""
        revoked = "SELECT 1 FROM revoked WHERE name = ? AND sid = ? AND until > ?"
        if self._connection.execute(revoked, (name, sid, now)).fetchone():
            return "it was revoked, or signed out"
        account = self.get(name)
        if generation is not None and (account is None or account.generation != generation):
            return "the account has changed since"
        return "the name is disabled" if account is not None and account.disabled else ""

    def all(self) -> list[Account]:
        return [_account(*row) for row in self._connection.execute(f"SELECT {_COLUMNS} FROM account ORDER BY name")]

    def revoke(self, revocation: Revocation, now: float) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM revoked WHERE until <= ?", (int(now),))
            connection.execute("INSERT INTO revoked (name, sid, until) VALUES (?, ?, ?)", revocation)

    def changes(self, since: Seen) -> Changes:
        accounts = self._connection.execute(
            f"SELECT changed, {_COLUMNS} FROM account WHERE changed > ? ORDER BY changed", (since.account,)
        ).fetchall()
        revocations = self._connection.execute(
            "SELECT id, name, sid, until FROM revoked WHERE id > ? ORDER BY id", (since.revocation,)
        ).fetchall()
        seen = Seen(accounts[-1][0] if accounts else since.account, revocations[-1][0] if revocations else since[1])
        return Changes([_account(*row[1:]) for row in accounts], [Revocation(*row[1:]) for row in revocations], seen)


@contextmanager
def opened(path: Path) -> Iterator[AccountTable]:
    """For an operator's command: whatever goes wrong is a StoreError."""
    with closing(AccountTable(path)) as table:
        try:
            yield table
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}", "try again, or see what else uses it") from None


def _account(name: str, password: str, role: str, created: int, generation: int, disabled: int) -> Account:
    return Account(name, password, _ROLES[role], created, generation, bool(disabled))


class SQLiteAccounts:
    """`Accounts`, for a server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: AccountTable | None = None
        self._worker = Worker("gochatsecure-accounts")
        self._ended = False
        self._failing = False  # said once, and not every second

    async def open(self) -> None:
        def make() -> None:
            self._table = AccountTable(self._path)

        await self._worker.run(make)

    async def add(self, account: Account) -> bool:
        return await self._ask(lambda table: table.add(account))

    async def replace(self, account: Account, was: Account) -> bool:
        return await self._ask(lambda table: table.replace(account, was))

    async def revoke(self, revocation: Revocation, now: float) -> None:
        await self._ask(lambda table: table.revoke(revocation, now))

    async def changes(self, since: Seen) -> Changes:
        return await self._ask(lambda table: table.changes(since))

    async def _ask(self, question: Callable[[AccountTable], _T]) -> _T:
        def ask() -> _T:
            assert self._table is not None, "open() comes first"
            return question(self._table)

        try:
            answer = await self._worker.run(ask)
            self._failing = False
            return answer
        except sqlite3.Error as error:
            if not self._failing:
                _logger.error("store: accounts: %s", error)
            self._failing = True
        except RuntimeError:
            pass  # it is closed: the server is going away
        raise Temporary("store_unavailable", "the accounts cannot be reached now", 2000)

    async def close(self) -> None:
        if not self._ended:
            self._ended = True
            await self._worker.end(self._let_go)

    def _let_go(self) -> None:
        if self._table is not None:
            with suppress(sqlite3.Error):
                self._table.close()
