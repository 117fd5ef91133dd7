"""What a wire format is: a subprotocol's name, texts into commands, events into frames. Pure."""

from __future__ import annotations

from typing import Protocol

from ..chat.model import Command, Event


class WireFormat(Protocol):
    """One way of writing commands and events. Without state: one instance serves every session."""

    @property
    def subprotocol(self) -> str:
        """Its name in Sec-WebSocket-Protocol."""

    def decode(self, text: str, room: str) -> Command:
        """The command that `text` is, said by somebody in `room`. Raises Refusal."""

    def frames(self, event: Event) -> bytes:
        """The event as WebSocket frames: none, one, or several."""
