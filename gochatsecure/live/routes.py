"""What each path answers: signing in, the WebSocket handshake, health. Synchronous; a table, not a framework."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import NamedTuple

from ..auth.jwt import TokenError
from ..auth.rates import Rates, Sampled, address_key
from ..auth.tokens import KeyRing
from ..chat.model import Identity, Role
from ..chat.names import InvalidName, canonical_room, canonical_user
from ..journal import Happening
from ..limits import Limits
from ..version import __version__
from ..wire.formats import WireFormat
from ..wire.http1 import HTTPError, Request, Response
from ..wire.json_v1 import JSON
from ..wire.lines import LINES
from ..wire.websocket import acceptance, check_upgrade, offered
from .hub import Hub

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


class _Route(NamedTuple):
    handlers: Mapping[str, Callable[[Request, str], Response | Upgrade]]
    parameters: frozenset[str] = frozenset()


class Routes:
    """Answers requests. `hosts`: the names that may be asked for; empty for any. `origins`: the pages that may connect;
    empty for those from our own address alone."""

    def __init__(
        self,
        *,
        keys: KeyRing,
        hub: Hub,
        limits: Limits,
        sign_in: str,
        sign_in_rate: float,
        hosts: tuple[str, ...],
        origins: tuple[str, ...],
        make_id: Callable[[], str],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`sign_in_rate`: sign-ins a minute and address; 0 for no limit. `make_id`: ids that nobody can guess."""
        self._keys = keys
        self._hub = hub
        self._limits = limits
        self._sign_in = sign_in
        self._hosts = hosts
        self._origins = origins
        self._make_id = make_id
        self._wall = wall
        self._monotonic = monotonic
        self._sign_ins = Rates(sign_in_rate / 60, sign_in_rate, limits.tracked_addresses)
        opened = limits.sessions_per_minute if sign_in_rate else 0
        self._opened = Rates(opened / 60, opened, limits.tracked_addresses)
        self._refusals = Sampled(rate=10, burst=100)  # log lines a second
        self.ready = False
        self._table: Mapping[str, _Route] = {
            "/": _Route({"GET": self._welcome, "HEAD": self._welcome}),
            "/auth": _Route({"GET": self._auth}, frozenset({"username"})),
            "/auth/refresh": _Route({"POST": self._refresh}),
            "/ws": _Route({"GET": self._ws}, frozenset({"token", "room"})),
            "/healthz": _Route({"GET": self._healthz, "HEAD": self._healthz}),
            "/readyz": _Route({"GET": self._readyz, "HEAD": self._readyz}),
        }

    def date(self) -> str:
        """Now, as the Date header has it (RFC 9110 5.6.7)."""
        return formatdate(self._wall(), usegmt=True)

    def answer(self, request: Request, address: str) -> Response | Upgrade:
        """The answer to one request of the peer at `address`, error answers included."""
        try:
            answer = self._route(request, address)
        except HTTPError as error:
            # Our own words alone: what is mistyped may be a token.
            method = request.method if request.method in _METHODS else "other"
            path = request.path if request.path in self._table else "elsewhere"
            self._log_refusal(f"{method} {path}", address, error)
            answer = error.response()
        host = (request.values("host") or [""])[0]
        if isinstance(answer, Response) and host and not _LOOPBACK.fullmatch(host):
            # Not under this machine's own names, where it would capture every other server's port.
            hsts = ("Strict-Transport-Security", "max-age=31536000")
            answer = Response(answer.status, answer.body, (*answer.headers, hsts))
        return answer

    def _route(self, request: Request, address: str) -> Response | Upgrade:
        if self._hosts and _host_of(request) not in self._hosts:  # RFC 9110 7.4
            raise HTTPError(
                421, "host_unknown", "this server does not go by that name; the operator can add it with -host"
            )
        route = self._table.get(request.path)
        if route is None:
            raise HTTPError(404, "not_found", "there is nothing here; try /auth?username=NAME")
        handler = route.handlers.get(request.method)
        if handler is None:
            allowed = ", ".join(route.handlers)
            raise HTTPError(405, "method_not_allowed", f"use {allowed} here", (("Allow", allowed),))
        if request.body:
            raise HTTPError(400, "body_unexpected", "this request takes no body")
        if not request.query.keys() <= route.parameters:
            known = ", ".join(sorted(route.parameters)) or "none"
            raise HTTPError(400, "parameter_unknown", f"the query has an unknown parameter; known here: {known}")
        return handler(request, address)

    def _log_refusal(self, asked: str, address: str, error: HTTPError) -> None:
        """Some a second, however many there are."""
        if count := self._refusals.count(self._monotonic()):
            of = {"count": count} if count > 1 else {}
            _logger.info(Happening("refused", asked=asked, address=address, status=error.status, code=error.code, **of))

    # Health.

    def _welcome(self, request: Request, address: str) -> Response:
        text = f"GoChatSecure {__version__}\n\nSign in: GET /auth?username=NAME\nTalk: wss, /ws?token=TOKEN&room=ROOM\n"
        return Response(200, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))

    def _healthz(self, request: Request, address: str) -> Response:
        return _json(200, {"status": "alive", "version": __version__})

    def _readyz(self, request: Request, address: str) -> Response:
        return _json(200, {"status": "ready"}) if self.ready else _json(503, {"status": "not ready"})

    # Signing in.

    def _auth(self, request: Request, address: str) -> Response:
        if self._sign_in == "external":
            raise HTTPError(403, "sign_in_external", "sign in at the site that this server belongs to")
        self._limit(self._sign_ins, address)
        typed = request.query.get("username")
        if not typed:
            raise HTTPError(400, "username_missing", "name yourself: /auth?username=NAME")
        try:
            name = canonical_user(typed)
        except InvalidName as error:
            raise HTTPError(400, "username_invalid", str(error)) from None
        bearer = self._identify(_bearer(request)) if request.values("authorization") else None
        if bearer is not None and not (bearer.ours and bearer.name == name):
            bearer = None
        if not self._hub.is_free(name, bearer):
            raise HTTPError(409, "name_in_use", "somebody else has this name now; choose another, or show its token")
        _logger.info(Happening("sign_in", username=name, address=address))
        return self._token(bearer or Identity(name, self._make_id(), role=Role.GUEST))

    def _refresh(self, request: Request, address: str) -> Response:
        self._limit(self._sign_ins, address)
        identity = self._identify(_bearer(request))
        if self._sign_in == "external" or not identity.ours:
            raise HTTPError(403, "sign_in_external", "this token was made elsewhere; refresh it where it was made")
        if not self._hub.is_free(identity.name, identity):
            raise HTTPError(409, "name_in_use", "somebody else has this name now; choose another")
        return self._token(identity)

    def _token(self, identity: Identity) -> Response:
        life = self._limits.token_s
        token = self._keys.issue(identity, jti=self._make_id(), now=self._wall(), life=life)
        return _json(200, {"token": token, "username": identity.name, "expires_in": life})

    def _limit(self, rates: Rates, address: str) -> None:
        wait = rates.take(address_key(address), self._monotonic())
        if wait:
            retry = (("Retry-After", str(int(wait) + 1)),)
            raise HTTPError(429, "rate_limited", "too much of that from this address; wait a moment", retry)

    def _identify(self, token: str) -> Identity:
        try:
            return self._keys.identify(token, self._wall())
        except TokenError as error:
            challenge = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
            raise HTTPError(401, error.code, error.message, challenge) from None

    # The WebSocket.

    def _ws(self, request: Request, address: str) -> Upgrade:
        check_upgrade(request)
        self._check_origin(request)
        self._limit(self._opened, address)
        offers = offered(request)
        identity = self._identify(_token_of(request, offers))
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


def _bearer(request: Request) -> str:
    """The token in the Authorization header (RFC 6750 2.1). Raises HTTPError if there is none."""
    values = request.values("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise HTTPError(401, "token_missing", "send Authorization: Bearer TOKEN", (("WWW-Authenticate", "Bearer"),))
    return token.strip(" ")


def _token_of(request: Request, offers: list[str]) -> str:
    """The token of a handshake, from the safest place that has one. Raises HTTPError."""
    if request.values("authorization"):
        return _bearer(request)
    for offer in offers:
        if offer.startswith(_BEARER):
            return offer.removeprefix(_BEARER)
    if token := request.query.get("token"):
        return token
    detail = "sign in at /auth first, then /ws?token=TOKEN"
    raise HTTPError(401, "token_missing", detail, (("WWW-Authenticate", "Bearer"),))


def _json(status: int, body: Mapping[str, object]) -> Response:
    return Response(status, json.dumps(body).encode(), (("Content-Type", "application/json"),))
