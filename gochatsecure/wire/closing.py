"""What each close code means, and what a client should do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from . import websocket


class Ending(NamedTuple):
    """Why a WebSocket was closed. `again`: another try may end better; `advice` says when."""

    code: int
    meaning: str
    again: bool
    advice: str


_MEND = "not before your client is mended"
_TABLE = (
    Ending(websocket.NORMAL, "bye: you asked for it", True, "as you like"),
    Ending(websocket.GOING_AWAY, "the server is going away", True, "yes, after a moment"),
    Ending(websocket.PROTOCOL_ERROR, "not WebSocket", False, _MEND),
    Ending(websocket.UNSUPPORTED_DATA, "binary messages are not taken", False, _MEND),
    Ending(websocket.NOT_UTF8, "a text that is not UTF-8", False, _MEND),
    Ending(
        websocket.POLICY_VIOLATION,
        "too many fragments or pings, or a message that took too long",
        True,
        "yes, but not in the same way",
    ),
    Ending(websocket.MESSAGE_TOO_BIG, "a message over 64 KiB", True, "yes, with shorter ones"),
    Ending(websocket.INTERNAL_ERROR, "the server has made a mistake", True, "yes"),
    Ending(websocket.TRY_AGAIN_LATER, "the room could not be entered now", True, "yes, after a moment"),
    Ending(websocket.NOT_OUR_JSON, "over 100 requests in a row were refused, and the last was no JSON", False, _MEND),
    Ending(
        websocket.TOKEN_EXPIRED,
        "the token has expired or was revoked, the sign-in has ended, or the owner of the name has come",
        False,
        "with a new token",
    ),
    Ending(
        websocket.FORBIDDEN,
        "you were taken out of the room, or may not enter it",
        False,
        "not to that room",
    ),
    Ending(
        websocket.SLOW_CONSUMER,
        "you read too slowly: over 1 MiB was waiting",
        True,
        "yes; the history has what you missed",
    ),
    Ending(websocket.TOO_MANY_SESSIONS, "more than 16 sessions of one identity", True, "after closing one"),
    Ending(websocket.FLOODING, "over 100 commands in a row were refused", True, "yes, more slowly"),
)
CLOSE_CODES: Mapping[int, Ending] = MappingProxyType({ending.code: ending for ending in _TABLE})
"""Every code that this server closes with. 1006 is none: a client library says it when no Close frame came."""
