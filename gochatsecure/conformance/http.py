"""What can be asked by HTTP, as one table: paths, methods, parameters, answers."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .shapes import Field, Shape


class Parameter(NamedTuple):
    name: str
    kind: Literal["room", "user", "token"]
    required: bool
    help: str


class Answer(NamedTuple):
    """One status and what its body is: an object of this shape, or a text of this media type."""

    status: int
    help: str
    body: Shape | None = None
    media: str = "application/json"


class Route(NamedTuple):
    """One path. `bearer`: whether it takes a token in `Authorization`. `codes`: the errors of its own that it knows."""

    path: str
    methods: tuple[str, ...]
    help: str
    parameters: tuple[Parameter, ...]
    bearer: Literal["no", "may", "must"]
    answers: tuple[Answer, ...]
    codes: tuple[str, ...] = ()
    body: Shape | None = None


def _body(*fields: tuple[str, str], note: str = "") -> Shape:
    return Shape(tuple(Field(name, kind, optional=False, nullable=False) for name, kind in fields), note)


TOKEN = _body(("token", "token"), ("username", "user"), ("expires_in", "number"))
PROBLEM = _body(("status", "number"), ("title", "word"), ("code", "word"), ("detail", "word"))
_ALIVE = _body(("status", "word"), ("version", "word"))
_READY = _body(("status", "word"))
_BAD_TOKEN = (
    *("token_missing", "token_malformed", "token_invalid", "token_expired", "token_not_yet_valid"),
    "token_revoked",
)
_BODY = ("content_type_unsupported", "body_invalid")
_BUSY = ("rate_limited", "sign_in_busy", "store_unavailable")
_CREDENTIALS = _body(("username", "user"), ("password", "word"))
_NAME = Parameter("username", "user", required=True, help="whom you want to be")

EVERYWHERE = [
    "malformed",
    "host_invalid",
    "target_invalid",
    "query_invalid",
    "parameter_unknown",
    "body_unexpected",
    "not_found",
    "host_unknown",
    "method_not_allowed",
    "request_timeout",
    "length_required",
    "body_too_large",
    "target_too_long",
    "headers_too_large",
    "headers_too_many",
    "version_unsupported",
    "internal_error",
]
"""Errors that any request may be answered with."""

ROUTES: tuple[Route, ...] = (
    Route(
        "/",
        ("GET", "HEAD"),
        "what this is, in a few words",
        (),
        "no",
        (Answer(200, "the line", None, "text/plain"),),
    ),
    Route(
        "/auth",
        ("GET",),
        "a token for a guest of that name; with a token of this server and name, another one of the same sign-in",
        (_NAME,),
        "may",
        (Answer(200, "signed in", TOKEN),),
        (
            *_BAD_TOKEN,
            *("username_missing", "username_invalid", "name_in_use", "name_registered", "sign_in_external"),
            *("guests_refused", "rate_limited"),
        ),
    ),
    Route(
        "/auth",
        ("POST",),
        "a token for the owner of a registered name",
        (),
        "no",
        (Answer(200, "signed in", TOKEN),),
        (
            *_BODY,
            *("username_missing", "username_invalid", "password_invalid", "bad_credentials", "account_disabled"),
            *("sign_in_external", *_BUSY),
        ),
        _CREDENTIALS,
    ),
    Route(
        "/register",
        ("POST",),
        "from now on the name needs this password; who has it as a guest shows its token",
        (),
        "may",
        (Answer(201, "registered, and signed in", TOKEN),),
        (
            *_BAD_TOKEN,
            *_BODY,
            *("username_missing", "username_invalid", "password_invalid", "name_in_use", "name_registered"),
            *("sign_in_external", "registration_closed", "accounts_full", *_BUSY),
        ),
        _CREDENTIALS,
    ),
    Route(
        "/auth/password",
        ("POST",),
        "another password; every sign-in of the name ends, and this is a new one",
        (),
        "must",
        (Answer(200, "changed", TOKEN),),
        (*_BAD_TOKEN, *_BODY, "password_invalid", "bad_credentials", "no_account", "account_changed", *_BUSY),
        _body(("password", "word"), ("new_password", "word")),
    ),
    Route(
        "/auth/refresh",
        ("POST",),
        "a fresh token of the same sign-in",
        (),
        "must",
        (Answer(200, "prolonged", TOKEN),),
        (*_BAD_TOKEN, "name_in_use", "sign_in_external", "rate_limited"),
    ),
    Route(
        "/auth/sign-out",
        ("POST",),
        "this sign-in ends, with all of its tokens and sessions",
        (),
        "must",
        (Answer(200, "ended", _body()),),
        (*_BAD_TOKEN, "sign_in_external", "store_busy", *_BUSY),
    ),
    Route(
        "/metrics",
        ("GET", "HEAD"),
        "numbers about the server, for Prometheus; there is no such path but for the operator's own networks",
        (),
        "no",
        (Answer(200, "the numbers", None, "text/plain"),),
    ),
    Route(
        "/ws",
        ("GET",),
        "a WebSocket; `room` is `default` unless given",
        (
            Parameter("token", "token", required=False, help="the token, where no header can be set"),
            Parameter("room", "room", required=False, help="the room of a lines session"),
        ),
        "may",
        (Answer(101, "a WebSocket from here on"),),
        (
            *_BAD_TOKEN,
            *("upgrade_required", "key_invalid", "subprotocol_unsupported", "origin_refused"),
            *("room_invalid", "room_forbidden", "name_in_use", "rate_limited", "draining"),
        ),
    ),
    Route("/healthz", ("GET", "HEAD"), "whether the process is alive", (), "no", (Answer(200, "it is", _ALIVE),)),
    Route(
        "/readyz",
        ("GET", "HEAD"),
        "whether it takes sessions",
        (),
        "no",
        (Answer(200, "it does", _READY), Answer(503, "it does not: it is starting or going away", _READY)),
    ),
)
"""By path."""
