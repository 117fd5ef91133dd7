"""WebSocket (RFC 6455) by wsproto, and what wsproto leaves to its user: the handshake's checks, and every limit.

Frames go to wsproto one by one, and never those that are a whole text message each: they are read by `frames`.

No extension is ever negotiated: permessage-deflate would let 65 KB inflate to 64 MiB, leaks lengths across senders,
and would make each member's frames different bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import NamedTuple

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import generate_accept_token

from ..limits import Limits
from .frames import frame_size, take_text
from .http1 import HTTPError, Request

# Close codes: RFC 6455 7.4.1, and our own.
NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NOT_UTF8 = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
NOT_OUR_JSON = 4400
TOKEN_EXPIRED = 4401
FORBIDDEN = 4403
SLOW_CONSUMER = 4408
TOO_MANY_SESSIONS = 4409
FLOODING = 4429

_VERSION = (("Sec-WebSocket-Version", "13"),)
_PARTS = 64  # pieces of a message kept before they are joined: a piece may be one character, and cost fifty bytes
_NO_STATUS = 1005  # what wsproto calls a Close without a code


class Text(NamedTuple):
    """One whole text message."""

    text: str


class Control(NamedTuple):
    """A ping or a pong came; `answer` is the frame to send back, if any."""

    answer: bytes


class Closed(NamedTuple):
    """The peer closes, or MUST be closed: send `answer`, read no more. `fault` is empty where nobody is to blame."""

    answer: bytes
    code: int
    fault: str


Received = Text | Control | Closed


def check_upgrade(request: Request) -> None:
    """Raises HTTPError unless this is a WebSocket handshake (RFC 6455 4.2.1)."""
    if "websocket" not in request.tokens("upgrade") or "upgrade" not in request.tokens("connection"):
        detail = "connect with a WebSocket client: wss://, not https://"
        raise HTTPError(426, "upgrade_required", detail, (("Upgrade", "websocket"), ("Connection", "Upgrade")))
    if request.version != "1.1":
        raise HTTPError(505, "version_unsupported", "a WebSocket handshake needs HTTP/1.1")
    if request.values("sec-websocket-version") != ["13"]:
        raise HTTPError(426, "version_unsupported", "WebSocket version 13 is needed", _VERSION)
    keys = request.values("sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HTTPError(400, "key_invalid", "Sec-WebSocket-Key must be 16 bytes in base64")


def _is_key(key: str) -> bool:
    try:
        return len(nonce := base64.b64decode(key, validate=True)) == 16 and base64.b64encode(nonce).decode() == key
    except ValueError:
        return False


def offered(request: Request) -> list[str]:
    """The subprotocols that the client offers, in its order; their case matters (RFC 6455 11.3.4)."""
    offers = (offer.strip() for value in request.values("sec-websocket-protocol") for offer in value.split(","))
    return [offer for offer in offers if offer]


def acceptance(request: Request, subprotocol: str | None) -> list[tuple[str, str]]:
    """The headers of the 101 for a checked handshake."""
    (key,) = request.values("sec-websocket-key")
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", generate_accept_token(key.encode()).decode()),
    ]
    if subprotocol is not None:
        headers.append(("Sec-WebSocket-Protocol", subprotocol))
    return headers


class WebSocketServer:
    """The server's side of one WebSocket: feed bytes, take what they mean. Holds at most one message's text."""

    __slots__ = (
        "_connection",
        "_control_from",
        "_controls",
        "_fragments",
        "_inside",
        "_limits",
        "_parts",
        "_rest",
        "_size",
        "_waiting",
        "ended",
        "since",
    )

    def __init__(self, limits: Limits, trailing: bytes = b"") -> None:
        """`trailing` are the bytes that arrived behind the handshake."""
        self._limits = limits
        self._connection = Connection(ConnectionType.SERVER)
        self._waiting = bytearray(trailing)
        self._rest = 0  # bytes to come of the frame of which wsproto has got a part
        self._inside = False  # of a message that is no text and goes on in the next frame
        self._parts: list[str] = []
        self._size = 0
        self._fragments = 0
        self._controls = 0
        self._control_from = 0.0
        self.since: float | None = None  # when the message that is under way began
        self.ended = False

    def feed(self, data: bytes) -> None:
        """After `Closed` nothing may be fed: it would be kept for ever."""
        self._waiting += data

    def receive(self, now: float) -> Iterator[Received]:
        """What has arrived, lazily, so that the caller may stop at any point and go on later. `now`: seconds.

        Nothing follows `Closed`.
        """
        between = self._between_messages()
        while not self.ended:
            if between and (text := take_text(self._waiting, self._limits.message)) is not None:
                yield Text(text)
            elif self._pass_on():
                yield from self._events(now)
                between = self._between_messages()
            else:
                return

    def _between_messages(self) -> bool:
        return not self._rest and not self._inside and self.since is None

    def _pass_on(self) -> bool:
        """Give wsproto the next frame, or what there is of it; False if there is nothing."""
        waiting = self._waiting
        size = self._rest or frame_size(waiting)
        if not size or not waiting:
            return False
        self._connection.receive_data(bytes(waiting[:size]))
        self._rest = max(0, size - len(waiting))
        del waiting[:size]
        return True

    def _events(self, now: float) -> Iterator[Received]:
        """What wsproto makes of it."""
        limits = self._limits
        for event in self._connection.events():
            if isinstance(event, TextMessage):
                self._parts.append(event.data)
                self._size += len(event.data) if event.data.isascii() else len(event.data.encode())
                if self._size > limits.message:
                    yield self._fail(MESSAGE_TOO_BIG, f"a message has at most {limits.message} bytes")
                elif self.is_late(now):
                    yield self._fail(POLICY_VIOLATION, f"a message takes at most {limits.message_s:g} s")
                elif event.message_finished:
                    text = "".join(self._parts) if self.since is not None else event.data
                    self._parts.clear()
                    self._size = self._fragments = 0
                    self.since = None
                    yield Text(text)
                else:
                    self._fragments += event.frame_finished
                    if self.since is None:
                        self.since = now
                    if len(self._parts) > _PARTS:
                        self._parts = ["".join(self._parts)]
                    if self._fragments >= limits.fragments:
                        yield self._fail(POLICY_VIOLATION, f"a message has at most {limits.fragments} frames")
            elif isinstance(event, Ping | Pong):
                if now - self._control_from >= 1:
                    self._control_from, self._controls = now, 0
                self._controls += 1
                if self._controls > limits.control_frames_per_s:
                    yield self._fail(POLICY_VIOLATION, "too many pings")
                else:
                    # A ping may cross our Close; nothing may follow that.
                    answer = b""
                    if isinstance(event, Ping) and self._connection.state is ConnectionState.OPEN:
                        answer = self._connection.send(event.response())
                    yield Control(answer)
            elif isinstance(event, BytesMessage):
                self._inside = not event.message_finished
                yield self._binary(event)
            elif isinstance(event, CloseConnection):
                yield self._closed(event)
            if self.ended:
                return

    def is_late(self, now: float) -> bool:
        """The message under way has been so for longer than one may."""
        return self.since is not None and now - self.since > self._limits.message_s

    def close(self, code: int, reason: str) -> bytes:
        """Our Close frame, once; b"" after that. `reason`: at most 123 bytes."""
        if self._connection.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        return self._connection.send(CloseConnection(code, reason))

    def _binary(self, event: BytesMessage) -> Received:
        """Some of a binary message has come. Refused with its first frame; the echo of the tests takes it."""
        return self._fail(UNSUPPORTED_DATA, "text messages only")

    def _fail(self, code: int, reason: str) -> Closed:
        self.ended = True
        return Closed(self.close(code, reason), code, reason)

    def _closed(self, event: CloseConnection) -> Closed:
        if self._connection.state is ConnectionState.OPEN:  # wsproto could not parse what came
            return self._fail(int(event.code), "not a WebSocket frame that a client may send")
        self.ended = True
        answer = self.close(NORMAL if event.code == _NO_STATUS else int(event.code), "")
        return Closed(answer, int(event.code), "")
