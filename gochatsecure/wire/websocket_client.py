"""The client's side of one WebSocket, by wsproto: feed bytes, take texts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, ProtocolError

__all__ = ["LocalProtocolError", "Lost", "Rejected", "WebSocketClient"]

_HEAD = 16 * 1024  # bytes of the server's answer to the handshake


class Rejected(Exception):
    """The server did not become a WebSocket: `status` is HTTP's, `body` what it said."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        super().__init__(f"the server answered {status}")
        self.status = status
        self.body = body


class Lost(Exception):
    """The WebSocket has ended: with this close code, 1006 for none (RFC 6455 7.4.1)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code}{': ' + reason if reason else ''}")
        self.code = code
        self.reason = reason


class WebSocketClient:
    """One connection to `target` of `host`; `answer` are bytes that the server has to be sent."""

    def __init__(self, host: str, target: str, headers: Sequence[tuple[str, str]], subprotocol: str) -> None:
        self._connection = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers]
        asked = Request(host=host, target=target, extra_headers=extra, subprotocols=[subprotocol])
        self.answer = self._connection.send(asked)
        self._subprotocol = subprotocol
        self._head: bytes | None = b""
        self._parts: list[str] = []
        self._refused: Rejected | None = None  # the server has answered otherwise, and its body is under way

    def receive(self, data: bytes) -> Iterator[str]:
        """The whole texts that these bytes complete; b"" is the end of the stream. Raises Rejected, Lost."""
        if not data:
            raise self._refused or Lost(1006)
        try:
            for piece in self._pieces(data):
                self._connection.receive_data(piece)
                yield from self._texts()
        except ProtocolError as error:
            raise Lost(1002, str(error)) from None

    def send(self, text: str) -> bytes:
        return self._connection.send(Message(text))

    def send_binary(self, data: bytes) -> bytes:
        """What no server of ours takes."""
        return self._connection.send(Message(data))

    def close(self) -> bytes:
        """Our Close frame."""
        return self._connection.send(CloseConnection(1000))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """The handshake's head by itself: wsproto would drop frames that come behind it in the same bytes."""
        if self._head is None:
            yield data
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if end:
            self._head = None
            yield head + end
            if rest:
                yield rest
        elif len(self._head) > _HEAD:
            raise Lost(1002, "the server's answer has no end")

    def _texts(self) -> Iterator[str]:
        for event in self._connection.events():
            match event:
                case TextMessage():
                    self._parts.append(event.data)
                    if event.message_finished:
                        yield "".join(self._parts)
                        self._parts.clear()
                case Ping():
                    self.answer += self._connection.send(event.response())
                case AcceptConnection():
                    if event.subprotocol != self._subprotocol:
                        raise Lost(1002, "the server speaks another protocol")
                case RejectConnection():
                    self._refused = Rejected(event.status_code)
                    if not event.has_body:
                        raise self._refused
                case RejectData():
                    assert self._refused is not None  # RejectConnection comes first
                    self._refused = Rejected(self._refused.status, self._refused.body + bytes(event.data))
                    if event.body_finished or len(self._refused.body) > _HEAD:
                        raise self._refused
                case CloseConnection():
                    raise Lost(int(event.code), event.reason or "")
