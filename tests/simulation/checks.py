"""Checks of the server from within: what it holds is bounded, and nothing is left when everybody has gone."""

from __future__ import annotations

from typing import Any

from gochatsecure.chat.state import Room
from gochatsecure.live.hub import Hub

from .process import LIMITS, Process
from .truth import Fail, Truth


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


def check_rules(hub: Hub, truth: Truth, known: dict[str, tuple[Room, int]]) -> None:
    """Each open room stands as its log says. `known`: those that were looked at, and after which entry."""
    for name, room in hub._lobby.rooms.items():
        last = room.position.last
        if known.get(name) == (room, last) or last != truth.last(room.stream):
            continue
        known[name] = (room, last)
        rules, standing = truth.rules_at(room.stream, last), room.standing
        told: dict[str, object] = {"roles": standing.roles, "invited": standing.invited, "topic": standing.topic}
        told |= {"seconds": standing.seconds, "visibility": standing.visibility}
        told |= {
            kind: {who: sentence.until for who, sentence in sentences.items()}
            for kind, sentences in (("banned", standing.banned), ("muted", standing.muted))
        }
        for what, held in told.items():
            if held != getattr(rules, what):
                truth.fail("rules", f"{name} has {what} {held}; its log says {getattr(rules, what)}")


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
        "cids": hub._desk._under_way or hub._desk._awaited,
        "under way": getattr(process.log, "_under_way", 0),
        "connections": process.server._listener._connections,
    }
    return {name: str(what) for name, what in held.items() if what}
