"""Checks of the server from within: what it holds is bounded, and nothing is left when everybody has gone."""

from __future__ import annotations

from typing import Any

from gochatsecure.live.hub import Hub

from .process import LIMITS, Process
from .truth import Fail


def check_memory(hub: Hub, fail: Fail) -> None:
    """Cheap enough for every few steps."""
    for session in hub.sessions:
        outbox = session.outbox
        if outbox._size > LIMITS.outbox and not outbox._waits:
            fail("memory", f"{session.identity.name}: {outbox._size} bytes wait in an outbox")
        if session.pending > LIMITS.pending:
            fail("memory", f"{session.identity.name}: {session.pending} commands are under way")
    if not set(hub._greeting) <= hub.sessions:
        fail("memory", "somebody is greeted who has gone")
    for name, room in hub._lobby.rooms.items():
        if room.idle and name not in hub._doors._opening:
            fail("memory", f"the room {name} is not forgotten")


def remains(process: Process) -> dict[str, str]:
    """What the server still holds; empty once everybody has left and everything is committed."""
    assert process.server is not None and process.server._hub is not None and process.server._listener is not None
    hub = process.server._hub
    held: dict[str, Any] = {
        "sessions": hub.sessions,
        "rooms": hub._lobby.rooms,
        "present": hub._lobby._present,
        "lookalikes": hub._lobby._looks,
        "followers": hub._fanout._followers,
        "opening": hub._doors._opening,
        "greeting": hub._greeting,
        "under way": getattr(process.log, "_under_way", 0),
        "connections": process.server._listener._connections,
    }
    return {name: str(what) for name, what in held.items() if what}
