"""What may change under a running server: accounts, signing keys, the certificate. Looked at about once a second.

The operator's commands write to the store and to the key file from a process of their own. What they end, ends here:
sessions whose authority is gone are closed before they are shown anything more. What cannot be used is said once, and
the old one stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..auth.tokens import KeyRing
from ..chat.errors import Temporary
from ..errors import OperatorError
from ..journal import Happening
from ..limits import Limits
from ..log.accounts import Accounts
from ..worker import Worker
from .authority import Authority
from .certificates import Contexts, expiry, server_contexts
from .hub import Hub

_logger = logging.getLogger("gochatsecure")
_DAY = 24 * 3600.0


class Files(NamedTuple):
    certificate: Path
    key: Path
    signing_keys: Path


_State = tuple[tuple[int, int, int] | None, ...]


def state_of(*paths: Path) -> _State:
    """Another one when one of the files has been changed or put in another's place; a missing one has None."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


async def look_at_accounts(accounts: Accounts, authority: Authority, hub: Hub) -> None:
    """Know what is new in the store, and end what it has ended. Done by whoever has just written there, too."""
    with suppress(Temporary):  # it has been logged, and the next look will do
        changes = await accounts.changes(authority.seen)
        if changes.seen != authority.seen:
            names = authority.take(changes)
            for account in changes.accounts:
                how = {"role": str(account.role), "disabled": account.disabled}
                _logger.info(Happening("account_changed", username=account.name, **how))
            hub.end(authority.objection, names)


class Watch:
    def __init__(
        self,
        files: Files,
        *,
        authority: Authority,
        accounts: Accounts,
        hub: Hub,
        limits: Limits,
        renew: Callable[[Contexts], None],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """What is there now MUST be what the server has just started with. `renew`: show this certificate."""
        self._files = files
        self._authority = authority
        self._accounts = accounts
        self._hub = hub
        self._limits = limits
        self._renew = renew
        self._wall = wall
        self._monotonic = monotonic
        self._worker = Worker("gochatsecure-watch")
        self._pair = state_of(files.certificate, files.key)
        self._keys = state_of(files.signing_keys)
        self._expires = _expiry(files.certificate)
        self._warned = -_DAY
        self._task: asyncio.Task[None] | None = None

    @property
    def expires(self) -> float | None:
        """When the certificate that is shown expires, in seconds since 1970; None if that cannot be read."""
        return self._expires if isinstance(self._expires, float) else None

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._worker.end(lambda: None)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                _logger.exception("our bug: a look at what may have changed failed")
            await asyncio.sleep(self._limits.look_s)

    async def look(self, *, again: bool = False) -> None:
        """See what has changed since the last time, and act on it. `again`: read the files however they look."""
        await look_at_accounts(self._accounts, self._authority, self._hub)
        await self._look_at_keys(again)
        await self._look_at_certificate(again)

    async def _look_at_keys(self, again: bool) -> None:
        path = self._files.signing_keys

        def look() -> KeyRing | OperatorError | None:  # one after the other there, so that nothing is told of twice
            known, self._keys = None if again else self._keys, state_of(path)
            try:
                return KeyRing.load(path) if self._keys != known else None
            except OperatorError as error:
                return error

        found = await self._worker.run(look)
        if isinstance(found, KeyRing):
            self._authority.keys = found
            _logger.info(Happening("keys_loaded", kids=",".join(found.kids)))
            self._hub.end(self._authority.objection)
        elif found is not None:
            _logger.error(Happening("keys_refused", cause=found))

    async def _look_at_certificate(self, again: bool) -> None:
        certificate, key, _ = self._files

        def look() -> tuple[Contexts, float | OperatorError] | OperatorError | None:
            known, self._pair = None if again else self._pair, state_of(certificate, key)
            try:
                return (server_contexts(certificate, key), _expiry(certificate)) if self._pair != known else None
            except OperatorError as error:
                return error

        found = await self._worker.run(look)
        if isinstance(found, OperatorError):
            _logger.error(Happening("certificate_refused", cause=found))
        elif found is not None:
            contexts, self._expires = found
            self._renew(contexts)
            self._warned = -_DAY
            _logger.info(Happening("certificate_loaded", file=certificate))
        if self._monotonic() - self._warned >= _DAY:
            self._warn()

    def _warn(self) -> None:
        """Once a day, while the certificate that is shown will soon expire."""
        self._warned = self._monotonic()
        if isinstance(self._expires, OperatorError):
            _logger.warning(Happening("certificate_unread", cause=self._expires))
        elif (left := self._expires - self._wall()) < self._limits.expiry_warning_s:
            _logger.warning(Happening("certificate_expires", file=self._files.certificate, days=int(left // _DAY)))


def _expiry(certificate: Path) -> float | OperatorError:
    try:
        return expiry(certificate)
    except OperatorError as error:
        return error
