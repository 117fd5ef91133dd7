"""What a wire format is: a subprotocol's name, texts into commands, events into frames. Pure."""

from __future__ import annotations

from typing import Protocol

from ..chat.commands import Asked, RequestId
from ..chat.events import Event


class WireFormat(Protocol):
    """One way of writing commands and events. Without state: one instance serves every session."""

    @property
    def subprotocol(self) -> str:
        """Its name in Sec-WebSocket-Protocol."""

    @property
    def greets(self) -> bool:
        """Its sessions begin with a Welcome, and enter rooms when they ask to; others enter at once."""

    def decode(self, text: str, room: str) -> Asked:
        """What `text` asks, said by somebody in `room`."""

    def frames(self, event: Event) -> bytes:
        """The event as WebSocket frames: none, one, or several."""

    def answer(self, id: RequestId, event: Event) -> bytes:
        """The same, as the answer to the request that the client calls so."""
