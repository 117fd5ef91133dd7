"""Every error code that a client may be told, in a frame or by HTTP, and when."""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """In the `error` of an answer. `temporary`: with `retry_after_ms`, after which the same request may succeed."""

    code: str
    when: str
    temporary: bool = False


class HTTPCode(NamedTuple):
    """In the problem details (RFC 9457) of an HTTP answer."""

    status: int
    code: str
    when: str


_REFUSALS_END = "; after over 100 refusals in a row, of whatever kind, the session is closed"

ERRORS: tuple[ErrorCode, ...] = (
    ErrorCode("malformed", "the message is not one JSON object with a proper `id`" + _REFUSALS_END),
    ErrorCode("op_unknown", "there is no such `op`"),
    ErrorCode("field_missing", "a field that the request needs is not there"),
    ErrorCode("field_invalid", "a field is not of its kind, or there are two where one goes"),
    ErrorCode("room_invalid", "the name of the room cannot be one"),
    ErrorCode("username_invalid", "the name of a person cannot be one"),
    ErrorCode("text_missing", "nothing but spaces"),
    ErrorCode("text_too_long", "over 4096 bytes"),
    ErrorCode("text_invalid", "no Unicode text"),
    ErrorCode("cid_reused", "the `cid` was used for something else"),
    ErrorCode("not_a_member", "join the room first"),
    ErrorCode("already_joined", "you are in that room"),
    ErrorCode("too_many_rooms", "over 100; leave one"),
    ErrorCode("room_forbidden", "your token does not let you into that room"),
    ErrorCode("no_such_message", "`edit`, `delete`, `react` or `reply_to` names none of this room"),
    ErrorCode("message_deleted", "it names one that was taken back"),
    ErrorCode("not_yours", "it names one of somebody else, which only its author may change"),
    ErrorCode("not_connected", "nobody of that name is connected, and nobody owns the name"),
    ErrorCode(
        "not_allowed", "for a moderator or an owner of the room to do, or to somebody who has as much to say there"
    ),
    ErrorCode("guest_role", "a guest can have no role"),
    ErrorCode("last_owner", "make somebody else an owner first"),
    ErrorCode("not_here", "nobody of that name is in the room"),
    ErrorCode("not_banned", "nobody of that name is banned"),
    ErrorCode("not_muted", "nobody of that name is muted"),
    ErrorCode("too_many_rules", "over 1000 people are banned, or muted, or invited, or have a role"),
    ErrorCode("banned", "you may not enter that room"),
    ErrorCode("invite_only", "the room is private"),
    ErrorCode("muted", "you may not say anything in that room"),
    ErrorCode("history_fork", "the log does not hold what you have seen of it"),
    ErrorCode("token_malformed", "of `refresh`: it is no token"),
    ErrorCode("token_invalid", "of `refresh`: this server did not sign it"),
    ErrorCode("token_expired", "of `refresh`: too late"),
    ErrorCode("token_not_yet_valid", "of `refresh`: too early"),
    ErrorCode("token_revoked", "of `refresh`: its authority has ended"),
    ErrorCode("token_refused", "of `refresh`: it is somebody else's, or of another sign-in"),
    ErrorCode(
        "rate_limited",
        "too many requests, joins, or people written to privately; `welcome.limits` tells",
        temporary=True,
    ),
    ErrorCode("slow_mode", "that room takes one message in so many seconds", temporary=True),
    ErrorCode("room_busy", "something is being decided about you in that room", temporary=True),
    ErrorCode("store_busy", "too much waits to be stored", temporary=True),
    ErrorCode("store_unavailable", "it could not be stored, and nobody was shown it", temporary=True),
    ErrorCode("draining", "the server is going away", temporary=True),
)
"""Of the JSON protocol."""

LINES_ONLY = frozenset({"command_unknown", "argument_missing", "argument_invalid", "argument_unexpected"})
"""Codes of what is typed wrongly: the lines protocol says their sentence alone."""

HTTP_ERRORS: tuple[HTTPCode, ...] = (
    HTTPCode(400, "malformed", "not well-formed HTTP/1.1"),
    HTTPCode(400, "host_invalid", "the Host header is none"),
    HTTPCode(400, "target_invalid", "the path has an empty, dotted or escaped part"),
    HTTPCode(400, "query_invalid", "the query is not NAME=VALUE pairs, each name once"),
    HTTPCode(400, "parameter_unknown", "the query has a parameter that this path does not know"),
    HTTPCode(400, "body_unexpected", "this request takes no body"),
    HTTPCode(400, "key_invalid", "of the WebSocket handshake: Sec-WebSocket-Key"),
    HTTPCode(400, "subprotocol_unsupported", "none of those that are asked for is spoken here"),
    HTTPCode(400, "username_missing", "there is no name"),
    HTTPCode(400, "username_invalid", "the name cannot be one"),
    HTTPCode(400, "body_invalid", "the body is not one JSON object with the texts that this path takes"),
    HTTPCode(400, "password_invalid", "too short, too long, or one that everybody would guess"),
    HTTPCode(400, "room_invalid", "the room's name cannot be one"),
    HTTPCode(401, "token_missing", "with `WWW-Authenticate: Bearer`, as all of 401"),
    HTTPCode(401, "token_malformed", "it is no token"),
    HTTPCode(401, "token_invalid", "this server did not sign it"),
    HTTPCode(401, "token_expired", "too late"),
    HTTPCode(401, "token_not_yet_valid", "too early"),
    HTTPCode(401, "token_revoked", "signed out, or its account has changed"),
    HTTPCode(401, "bad_credentials", "the name or the password is wrong"),
    HTTPCode(401, "token_refused", "it is for another server"),
    HTTPCode(403, "origin_refused", "pages of that origin may not connect"),
    HTTPCode(403, "room_forbidden", "the token does not let its bearer into that room"),
    HTTPCode(403, "sign_in_external", "tokens are made elsewhere"),
    HTTPCode(403, "guests_refused", "only who has an account is let in"),
    HTTPCode(403, "registration_closed", "the operator makes the accounts"),
    HTTPCode(403, "account_disabled", "the operator has disabled the name"),
    HTTPCode(403, "no_account", "the token is of no registered name"),
    HTTPCode(404, "not_found", "no such path"),
    HTTPCode(405, "method_not_allowed", "with `Allow`"),
    HTTPCode(408, "request_timeout", "the request did not arrive in time"),
    HTTPCode(409, "name_in_use", "somebody else has the name"),
    HTTPCode(409, "name_registered", "the name, or one that looks like it, is registered"),
    HTTPCode(409, "account_changed", "the account was changed meanwhile; sign in and try again"),
    HTTPCode(411, "length_required", "a body without Content-Length"),
    HTTPCode(413, "body_too_large", "over 8 KiB"),
    HTTPCode(414, "target_too_long", "a request line over 4 KiB"),
    HTTPCode(415, "content_type_unsupported", "the body has to be application/json"),
    HTTPCode(421, "host_unknown", "asked for under a name that is not on the operator's list"),
    HTTPCode(426, "upgrade_required", "`/ws` without a WebSocket handshake"),
    HTTPCode(426, "version_unsupported", "not WebSocket version 13"),
    HTTPCode(429, "rate_limited", "with `Retry-After`"),
    HTTPCode(431, "headers_too_large", "a head over 16 KiB"),
    HTTPCode(431, "headers_too_many", "over 64 header lines"),
    HTTPCode(500, "internal_error", "our mistake"),
    HTTPCode(503, "draining", "with `Retry-After`, as all of 503"),
    HTTPCode(503, "sign_in_busy", "too many passwords wait to be checked"),
    HTTPCode(503, "store_busy", "too many have signed out lately"),
    HTTPCode(503, "store_unavailable", "the accounts cannot be reached now"),
    HTTPCode(503, "accounts_full", "no more names can be registered"),
    HTTPCode(505, "version_unsupported", "not HTTP/1.0 or 1.1; for a WebSocket, not 1.1"),
)
"""By HTTP."""
