"""One connection of the client: a WebSocket and the stream below it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

from ..chat.chain import base64url
from ..chat.model import Cursor
from ..chat.names import InvalidName, canonical_room
from ..wire.websocket_client import LocalProtocolError, WebSocketClient
from .chains import decoded


class Line:
    """`websocket` is fed by who reads; what is sent on it is written at once."""

    def __init__(self, writer: asyncio.StreamWriter, websocket: WebSocketClient) -> None:
        self._writer = writer
        self.websocket = websocket

    def send(self, text: str) -> None:
        if not self._writer.transport.is_closing():  # else it is sent again on the next line
            with suppress(LocalProtocolError):  # likewise: the WebSocket is closing
                self._writer.write(self.websocket.send(text))

    def flush(self) -> None:
        """What the WebSocket itself has to say."""
        answer, self.websocket.answer = self.websocket.answer, b""
        if answer and not self._writer.transport.is_closing():
            self._writer.write(answer)

    def close(self) -> None:
        with suppress(OSError, LocalProtocolError):
            self._writer.write(self.websocket.close())


class Shown(NamedTuple):
    """What is handed out: an event, if there is one, and the cursor behind it."""

    event: dict[str, Any] | None
    place: str = ""
    cursor: Cursor | None = None


def cursor_of(position: dict[str, Any]) -> Cursor:
    return Cursor(position["epoch"], position["last"], decoded(position["head"]))


def told(cursor: Cursor) -> dict[str, Any]:
    """As a request says it."""
    head = {} if cursor.head is None else {"head": base64url(cursor.head)}
    return {"epoch": cursor.epoch, "seq": cursor.seq, **head}


def canonical(room: str) -> str:
    """As the server calls it. What is no name, the server refuses."""
    try:
        return canonical_room(room)
    except InvalidName:
        return room
