"""ChatServer: what an embedder holds. Assembles the parts, starts them, and lets them end in order.

It never touches signals, logging configuration, the working directory or `sys.exit`; any number of servers live in
one process, each on the event loop that started it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Self

from .auth.tokens import KeyRing, make_id
from .journal import Happening
from .live.authority import Authority
from .live.certificates import server_contexts
from .live.counts import Counts
from .live.hashing import Hashing
from .live.hooks import Authenticator
from .live.hub import Hub
from .live.listener import Listener
from .live.metrics import Parts, text_of
from .live.routes import Routes
from .live.sign_in import SignIn
from .live.watch import Files, Watch
from .log.account_table import SQLiteAccounts
from .log.accounts import Accounts, MemoryAccounts, Seen
from .log.memory import MemoryLog
from .log.port import Log
from .log.sqlite import SQLiteLog
from .settings import Settings

_logger = logging.getLogger("gochatsecure")


class ChatServer:
    """A chat server in the running event loop.

        async with ChatServer(addr="localhost:0", cert=..., key=..., store="memory:") as server:
            print(server.url)

    Takes a `Settings`, or its fields by name. `log` and `accounts` replace the store that the settings name; with
    a `log` alone, accounts are kept in memory. `authenticator` says who connects, where no token does.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        log: Log | None = None,
        accounts: Accounts | None = None,
        authenticator: Authenticator | None = None,
        wall: Callable[[], float] = time.time,
        make_id: Callable[[], str] = make_id,
        **fields: Any,
    ) -> None:
        """`wall` gives seconds since 1970, `make_id` ids that nobody can guess.

        Raises SettingsError; TypeError for an unknown field."""
        if settings is not None and fields:
            raise TypeError("give a Settings or its fields, not both")
        self.settings = settings or Settings(**fields)
        self._log_given = log
        self._accounts_given = accounts
        self._authenticator = authenticator
        self._wall = wall
        self._make_id = make_id
        self._log: Log | None = None
        self._accounts: Accounts | None = None
        self._hashing: Hashing | None = None
        self._watch: Watch | None = None
        self._hub: Hub | None = None
        self._routes: Routes | None = None
        self._listener: Listener | None = None
        self._parts: Parts | None = None
        self._closing: asyncio.Future[None] | None = None
        self._starting = False
        self._port = 0

    async def start(self) -> None:
        """Listen. Raises OperatorError (certificate, keys, store, address), and then nothing is left open."""
        if self._listener is not None or self._starting:
            raise RuntimeError("this server is running already")
        self._starting = True
        try:
            await self._start()
        finally:
            self._starting = False

    async def _start(self) -> None:
        settings = self.settings
        host, port = settings.host_and_port()
        tls = server_contexts(settings.cert, settings.key)
        path, default = settings.key_path()
        keys = KeyRing.load_or_make(path) if default else KeyRing.load(path)
        loop = asyncio.get_running_loop()
        counts = Counts()
        authority = Authority(keys, guests=settings.sign_in != "accounts", wall=self._wall)
        log = self._log_given or _log_of(settings, self._make_id)
        accounts = self._accounts_given or _accounts_of(settings, log)
        hub = self._hub = Hub(
            log,
            limits=settings.limits,
            history=settings.history,
            message_rate=settings.message_rate,
            identify=authority.identify,
            is_owned=lambda name: authority.account(name) is not None,
            counts=counts,
            wall=self._wall,
            monotonic=loop.time,
        )
        hashing = Hashing(settings.limits.hashers, settings.limits.hashes)
        sign_in = SignIn(
            authority=authority,
            accounts=accounts,
            log=log,
            hub=hub,
            limits=settings.limits,
            counts=counts,
            hashing=hashing,
            ways=settings.sign_in,
            register=settings.register == "open",
            rate=settings.sign_in_rate,
            make_id=self._make_id,
            make_salt=secrets.token_bytes,
            wall=self._wall,
            monotonic=loop.time,
        )
        routes = self._routes = Routes(
            sign_in=sign_in,
            hub=hub,
            limits=settings.limits,
            limited=settings.sign_in_rate > 0,
            hosts=settings.host,
            origins=settings.origin,
            scrapers=[ip_network(one) for one in settings.metrics],
            metrics=self.metrics,
            wall=self._wall,
            monotonic=loop.time,
            authenticator=self._authenticator,
        )
        listener = Listener(
            tls=tls,
            limits=settings.limits,
            routes=routes,
            hub=hub,
            counts=counts,
            most=settings.max_connections,
            most_per_address=settings.max_connections_per_address,
        )
        watch = Watch(
            Files(settings.cert, settings.key, path),
            authority=authority,
            accounts=accounts,
            hub=hub,
            limits=settings.limits,
            renew=listener.renew,
            wall=self._wall,
            monotonic=loop.time,
        )
        await log.open(hub.committed)
        try:
            await accounts.open()
            authority.take(await accounts.changes(Seen()))
            self._port = await listener.start(host, port)
        except BaseException:
            await accounts.close()
            await log.close()
            raise
        self._log, self._accounts, self._hashing, self._watch, self._listener = log, accounts, hashing, watch, listener
        self._parts = Parts(
            counts=counts,
            listener=listener,
            routes=routes,
            sign_in=sign_in,
            hub=hub,
            log=log,
            authority=authority,
            watch=watch,
        )
        watch.begin()
        routes.ready = True
        _logger.info(Happening("listening", url=self.url, store=settings.store))

    async def reload(self) -> None:
        """Look now at accounts, signing keys and certificate, and use what is new; it happens once a second anyway.

        What cannot be used is logged, and the old one stays."""
        if self._watch is not None:
            await self._watch.look(again=True)

    def metrics(self) -> str:
        """Numbers about this server and its process as of now, in Prometheus' text format 0.0.4; what is counted, since
        the start. Raises RuntimeError when it is not running."""
        if self._parts is None or self._listener is None:
            raise RuntimeError("this server is not running")
        return text_of(self._parts)

    async def close(self, grace: float | None = None) -> None:
        """Take no more, commit and show what is under way, say goodbye, let go. Twice is no error.

        Ends what has not ended within `grace` seconds (default: the limit `grace_s`).
        """
        if self._listener is None:
            return
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(grace))
        await asyncio.shield(self._closing)  # who gives up waiting does not stop it

    async def _close(self, grace: float | None) -> None:
        listener, log, hub, routes = self._listener, self._log, self._hub, self._routes
        accounts, hashing, watch = self._accounts, self._hashing, self._watch
        assert listener is not None and log is not None and hub is not None and routes is not None
        assert accounts is not None and hashing is not None and watch is not None
        loop = asyncio.get_running_loop()
        grace = self.settings.limits.grace_s if grace is None else grace
        until = loop.time() + grace
        routes.ready = False
        hub.drain()
        await listener.stop()
        await watch.close()
        hashing.close()
        try:
            with suppress(TimeoutError):  # a disk that hangs must not keep us: what is not committed has no ack
                await asyncio.wait_for(accounts.close(), max(0.1, grace))  # before the log: the last one out tidies up
                await asyncio.wait_for(log.close(), max(0.1, until - loop.time()))
        finally:
            await listener.empty(until - loop.time())
            self._listener = self._closing = self._watch = None
            _logger.info(Happening("closed"))

    @property
    def port(self) -> int:
        """The port that is listened on; before `start`, 0."""
        return self._port

    @property
    def url(self) -> str:
        """Where this server is reached, as `https://localhost:8080`."""
        host = self.settings.host_and_port()[0]
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - all interfaces, this machine's own name among them
            host = "localhost"
        return f"https://[{host}]:{self._port}" if ":" in host else f"https://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _log_of(settings: Settings, make_id: Callable[[], str]) -> Log:
    path = settings.store_path()
    if path is None:
        return MemoryLog(kept=settings.limits.memory_entries, queue=settings.limits.queue)
    durable = settings.durability == "power"
    return SQLiteLog(path, durable=durable, queue=settings.limits.queue, make_epoch=make_id)


def _accounts_of(settings: Settings, log: Log) -> Accounts:
    path = settings.store_path()
    return SQLiteAccounts(path) if path is not None and isinstance(log, SQLiteLog) else MemoryAccounts()
