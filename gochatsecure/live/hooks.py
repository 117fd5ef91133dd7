"""What an embedder may bring of its own. Whatever fails there lets nobody in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ..chat.model import Identity


class Handshake(NamedTuple):
    """A request for a WebSocket that has passed every check but the one of who asks."""

    query: Mapping[str, str]
    headers: tuple[tuple[str, str], ...]  # names in lower case
    address: str

    def header(self, name: str) -> str | None:
        """The header's value, if there is just one."""
        values = [value for known, value in self.headers if known == name.lower()]
        return values[0] if len(values) == 1 else None


class Authenticator(Protocol):
    async def authenticate(self, handshake: Handshake) -> Identity | None:
        """Who asks; None: the token will tell. The name MUST be in canonical form. Nothing else of this connection is
        done meanwhile; after the limit `request_s` it is given up."""
