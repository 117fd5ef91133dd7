"""Who follows which log, and showing it to them: formatted once and framed once for each wire format."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence, Set

from ..chat.events import Event
from ..chat.model import Stream
from ..wire.formats import WireFormat
from ..wire.websocket import INTERNAL_ERROR
from .session import Session

_logger = logging.getLogger("gochatsecure")


class Fanout:
    def __init__(self) -> None:
        self._followers: dict[Stream, dict[WireFormat, set[Session]]] = {}

    def follow(self, session: Session, stream: Stream) -> None:
        self._followers.setdefault(stream, {}).setdefault(session.format, set()).add(session)

    def unfollow(self, session: Session, stream: Stream) -> None:
        """Twice is no error."""
        followers = self._followers.get(stream, {})
        if session in followers.get(session.format, ()):
            followers[session.format].remove(session)
            if not followers[session.format]:
                del followers[session.format]
            if not followers:
                del self._followers[stream]

    def following(self, stream: Stream) -> list[Session]:
        return [session for sessions in self._followers.get(stream, {}).values() for session in sessions]

    def show(self, stream: Stream, events: Sequence[Event], besides: Set[Session] = frozenset()) -> None:
        """To every follower, the same bytes."""
        for wire_format, sessions in list(self._followers.get(stream, {}).items()):
            try:
                frames = b"".join(map(wire_format.frames, events))
                for session in sessions - besides if besides else sessions:
                    session.outbox.put(frames)
            except Exception:
                self._give_up(sessions)

    def mention(self, stream: Stream, event: Event, besides: Session | None = None) -> None:
        """What takes no place in any log: a session that is behind in its reading goes without it."""
        for wire_format, sessions in list(self._followers.get(stream, {}).items()):
            try:
                frames = wire_format.frames(event)
                for session in sessions:
                    if session is not besides:
                        session.outbox.offer(frames)
            except Exception:
                self._give_up(sessions)

    def _give_up(self, sessions: set[Session]) -> None:
        _logger.exception("our bug: an event could not be shown")
        for session in sessions:  # later: to leave is an event, too, and might be the next that cannot be shown
            asyncio.get_running_loop().call_soon(session.link.close, INTERNAL_ERROR, "server error")
