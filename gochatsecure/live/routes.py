"""What each path answers: signing in, the WebSocket handshake, health. A table, not a framework."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from email.utils import formatdate
from functools import partial
from typing import Any, NamedTuple

from ..auth.rates import Network, Rates, Sampled, is_within
from ..chat.model import Identity
from ..chat.names import InvalidName, canonical_room, canonical_user
from ..journal import Happening
from ..limits import Limits
from ..version import __version__
from ..wire.exposition import MEDIA_TYPE
from ..wire.formats import WireFormat
from ..wire.http1 import HTTPError, Request, Response
from ..wire.json_v1 import JSON
from ..wire.lines import LINES
from ..wire.websocket import acceptance, check_upgrade, offered
from .hooks import Authenticator, Handshake
from .hub import Hub
from .sign_in import SignIn, bearer_of, check_rate, json_answer

_logger = logging.getLogger("gochatsecure")
_BEARER = "bearer."  # the subprotocol that carries a token, as browsers can set no header; never echoed
_FORMATS: Mapping[str, WireFormat] = {LINES.subprotocol: LINES, JSON.subprotocol: JSON}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::[0-9]+)?", re.IGNORECASE)


class Upgrade(NamedTuple):
    """The request becomes a WebSocket: who speaks, in which room, in which wire format, and the headers of the 101."""

    identity: Identity
    room: str
    wire_format: WireFormat
    headers: list[tuple[str, str]]


Final = Callable[[], Response | Upgrade]
"""What is decided in the moment in which it is done: nothing may come between finding a name free and taking it."""
Later = Coroutine[Any, Any, Response | Final]
"""An answer that has to be waited for. MUST be awaited, or closed."""


class _Route(NamedTuple):
    handlers: Mapping[str, Callable[[Request, str], Response | Upgrade | Later]]
    parameters: frozenset[str] = frozenset()
    """Of GET."""
    body: bool = False
    within: Sequence[Network] | None = None
    """The networks for which there is such a path; None: for everybody."""


class Routes:
    """Answers requests. `hosts`: the names that may be asked for; empty for any. `origins`: the pages that may connect;
    empty for those from our own address alone. `scrapers`: the networks that may read our `metrics`."""

    def __init__(
        self,
        *,
        sign_in: SignIn,
        hub: Hub,
        limits: Limits,
        limited: bool,
        hosts: tuple[str, ...],
        origins: tuple[str, ...],
        scrapers: Sequence[Network],
        metrics: Callable[[], str],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        authenticator: Authenticator | None = None,
    ) -> None:
        """`limited`: whether WebSockets an address are limited."""
        self._sign_in = sign_in
        self._hub = hub
        self._hosts = hosts
        self._origins = origins
        self._wall = wall
        self._monotonic = monotonic
        self._authenticator = authenticator
        self._metrics = metrics
        opened = limits.sessions_per_minute if limited else 0
        self._opened = Rates(opened / 60, opened, limits.tracked_addresses)
        self._refusals = Sampled(rate=10, burst=100)  # log lines a second
        self.ready = False
        self._table: Mapping[str, _Route] = {
            "/": _Route({"GET": self._welcome, "HEAD": self._welcome}),
            "/register": _Route({"POST": sign_in.register}, body=True),
            "/auth": _Route({"GET": sign_in.guest, "POST": sign_in.sign_in}, frozenset({"username"}), body=True),
            "/auth/password": _Route({"POST": sign_in.change}, body=True),
            "/auth/refresh": _Route({"POST": sign_in.refresh}),
            "/auth/sign-out": _Route({"POST": sign_in.sign_out}),
            "/ws": _Route({"GET": self._ws}, frozenset({"token", "room"})),
            "/healthz": _Route({"GET": self._healthz, "HEAD": self._healthz}),
            "/readyz": _Route({"GET": self._readyz, "HEAD": self._readyz}),
            "/metrics": _Route({"GET": self._scrape, "HEAD": self._scrape}, within=scrapers),
        }

    def date(self) -> str:
        """Now, as the Date header has it (RFC 9110 5.6.7)."""
        return formatdate(self._wall(), usegmt=True)

    def answer(self, request: Request, address: str) -> Response | Upgrade | Later:
        """The answer to one request of the peer at `address`, error answers included."""
        try:
            answer = self._route(request, address)
        except HTTPError as error:
            answer = self._refuse(request, address, error)
        if isinstance(answer, Response | Upgrade):
            return self._dressed(request, answer)
        return self._later(request, address, answer)

    async def _later(self, request: Request, address: str, waiting: Later) -> Response | Final:
        try:
            answer = await waiting
        except HTTPError as error:
            answer = self._refuse(request, address, error)
        return partial(self._finish, request, address, answer)

    def _finish(self, request: Request, address: str, answer: Response | Final) -> Response | Upgrade:
        try:
            done = answer if isinstance(answer, Response) else answer()
        except HTTPError as error:
            done = self._refuse(request, address, error)
        return self._dressed(request, done)

    def _dressed(self, request: Request, answer: Response | Upgrade) -> Response | Upgrade:
        host = (request.values("host") or [""])[0]
        if isinstance(answer, Response) and host and not _LOOPBACK.fullmatch(host):
            # Not under this machine's own names, where it would capture every other server's port.
            hsts = ("Strict-Transport-Security", "max-age=31536000")
            answer = Response(answer.status, answer.body, (*answer.headers, hsts))
        return answer

    def _route(self, request: Request, address: str) -> Response | Upgrade | Later:
        if self._hosts and _host_of(request) not in self._hosts:  # RFC 9110 7.4
            raise HTTPError(421, "host_unknown", "not a name of this server; the operator can add it with -host")
        route = self._table.get(request.path)
        if route is None or not (route.within is None or is_within(address, route.within)):
            raise HTTPError(404, "not_found", "there is nothing here; try /auth?username=NAME")
        handler = route.handlers.get(request.method)
        if handler is None:
            allowed = ", ".join(route.handlers)
            raise HTTPError(405, "method_not_allowed", f"use {allowed} here", (("Allow", allowed),))
        if request.body and not (route.body and request.method == "POST"):
            raise HTTPError(400, "body_unexpected", "this request takes no body")
        parameters = route.parameters if request.method == "GET" else frozenset()
        if not request.query.keys() <= parameters:
            known = ", ".join(sorted(parameters)) or "none"
            raise HTTPError(400, "parameter_unknown", f"the query has an unknown parameter; known here: {known}")
        return handler(request, address)

    def _refuse(self, request: Request, address: str, error: HTTPError) -> Response:
        """Some a second are logged, however many there are."""
        if count := self._refusals.count(self._monotonic()):
            # Our own words alone: what is mistyped may be a token.
            method = request.method if request.method in _METHODS else "other"
            asked = f"{method} {request.path if request.path in self._table else 'elsewhere'}"
            of = {"count": count} if count > 1 else {}
            _logger.info(Happening("refused", asked=asked, address=address, status=error.status, code=error.code, **of))
        return error.response()

    # Health, and numbers.

    @property
    def tracked(self) -> int:
        """Addresses whose rate of WebSockets is remembered."""
        return len(self._opened)

    def _welcome(self, request: Request, address: str) -> Response:
        text = f"GoChatSecure {__version__}\n\nSign in: GET /auth?username=NAME\nTalk: wss, /ws?token=TOKEN&room=ROOM\n"
        return Response(200, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))

    def _healthz(self, request: Request, address: str) -> Response:
        return json_answer(200, {"status": "alive", "version": __version__})

    def _readyz(self, request: Request, address: str) -> Response:
        return json_answer(200, {"status": "ready"}) if self.ready else json_answer(503, {"status": "not ready"})

    def _scrape(self, request: Request, address: str) -> Response:
        return Response(200, self._metrics().encode(), (("Content-Type", MEDIA_TYPE),))

    # The WebSocket.

    def _ws(self, request: Request, address: str) -> Upgrade | Later:
        check_upgrade(request)
        self._check_origin(request)
        check_rate(self._opened, address, self._monotonic())
        if self._authenticator is not None:
            return self._authenticate(self._authenticator, request, address)
        return self._admit(request)

    async def _authenticate(self, authenticator: Authenticator, request: Request, address: str) -> Final:
        try:
            identity = await authenticator.authenticate(Handshake(request.query, request.headers, address))
            if identity is not None and canonical_user(identity.name) != identity.name:
                raise ValueError("the name is not in canonical form")
        except Exception:
            _logger.exception("the embedder's authenticator failed: nobody is let in")
            raise HTTPError(500, "internal_error", "the server could not find out who you are") from None
        return partial(self._admit, request, identity)

    def _admit(self, request: Request, identity: Identity | None = None) -> Upgrade:
        """Let in who the token says it is, or who somebody else has found out."""
        offers = offered(request)
        if identity is None:
            identity = self._sign_in.identify(_token_of(request, offers))
        else:
            self._sign_in.check(identity)
        try:
            room = canonical_room(request.query.get("room") or "default")
        except InvalidName as error:
            raise HTTPError(400, "room_invalid", str(error)) from None
        if not identity.may_enter(room):
            raise HTTPError(403, "room_forbidden", "this token does not let you into that room")
        if not self.ready:
            raise HTTPError(503, "draining", "the server is going away; connect again soon", (("Retry-After", "2"),))
        if not self._hub.is_free(identity.name, identity):
            raise HTTPError(409, "name_in_use", "somebody else has this name now; sign in with another")
        wanted = [offer for offer in offers if not offer.startswith(_BEARER)]
        chosen = next((offer for offer in wanted if offer in _FORMATS), None)
        if wanted and chosen is None:
            raise HTTPError(400, "subprotocol_unsupported", f"ask for one of: {', '.join(_FORMATS)}; or for none")
        wire_format = LINES if chosen is None else _FORMATS[chosen]
        return Upgrade(identity, room, wire_format, acceptance(request, chosen))

    def _check_origin(self, request: Request) -> None:
        """Which pages may use a browser's user to connect. Who is no browser sends no Origin, and needs its token."""
        origins = request.values("origin")
        allowed = self._origins or [f"https://{host.lower()}" for host in request.values("host")]
        if origins and (len(origins) > 1 or _plain_origin(origins[0]) not in map(_plain_origin, allowed)):
            detail = "pages of this origin may not connect; the operator can allow it with -origin"
            raise HTTPError(403, "origin_refused", detail)


def _host_of(request: Request) -> str:
    """The name that was asked for, without a port; "" for none (HTTP/1.0)."""
    return re.sub(":[0-9]*$", "", (request.values("host") or [""])[0].lower())


def _plain_origin(origin: str) -> str:
    origin = origin.lower()
    return origin.removesuffix(":443") if origin.startswith("https:") else origin


def _token_of(request: Request, offers: list[str]) -> str:
    """The token of a handshake, from the safest place that has one. Raises HTTPError."""
    if request.values("authorization"):
        return bearer_of(request)
    for offer in offers:
        if offer.startswith(_BEARER):
            return offer.removeprefix(_BEARER)
    if token := request.query.get("token"):
        return token
    detail = "sign in at /auth first, then /ws?token=TOKEN"
    raise HTTPError(401, "token_missing", detail, (("WWW-Authenticate", "Bearer"),))
