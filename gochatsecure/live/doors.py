"""Opening rooms, entering and leaving them, and coming back to where one left off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..chat.commands import Join
from ..chat.errors import Refusal
from ..chat.events import Entered, Joined, Left, Members, Replay
from ..chat.model import Message, Stream, room_of_stream, room_stream
from ..chat.names import canonical_room
from ..chat.state import Lobby, Room, judged, not_a_member
from ..chat.table import named
from ..limits import Limits
from ..log.port import Log
from ..wire.websocket import FORBIDDEN
from .fanout import Fanout
from .resume import fitting, resume
from .session import Session


class Doors:
    """`history`: messages shown on joining to who keeps no cursor."""

    def __init__(
        self, log: Log, lobby: Lobby, fanout: Fanout, limits: Limits, history: int, wall: Callable[[], float]
    ) -> None:
        self._log = log
        self._lobby = lobby
        self._fanout = fanout
        self._limits = limits
        self._history = history
        self._wall = wall
        self._opening: Counter[str] = Counter()  # by room: how many are reading its log to enter it

    async def join(self, session: Session, command: Join) -> Entered | None:
        """Enter a room; a session of a format that knows one room only leaves the one that it is in. Raises Refusal."""
        name = named(canonical_room, command.room, "room_invalid")
        if name in session.rooms:
            raise Refusal("already_joined", "you are in that room")
        if not session.identity.may_enter(name):
            raise Refusal("room_forbidden", "your token does not let you into that room")
        if session.format.greets and len(session.rooms) >= self._limits.rooms_per_session:
            raise Refusal(
                "too_many_rooms", f"a session is in {self._limits.rooms_per_session} rooms at most; leave one"
            )
        self._opening[name] += 1  # meanwhile it is not forgotten
        try:
            room = await self._open(name)
            self._check_entry(session, room)
            replay = Replay(room.position)
            if command.after is not None:
                replay = await resume(
                    self._log, room.stream, command.after, self._limits, lambda: room.position, room.since
                )
                self._check_entry(session, room)
            if not session.open:
                return None
            return self._enter(session, room, replay)
        finally:
            self._opening[name] -= 1
            if not self._opening[name]:
                del self._opening[name]
            self.forget_if_idle(name)

    def _check_entry(self, session: Session, room: Room) -> None:
        if session.identity.name in room.judged:
            raise judged()
        room.standing.check_entry(session.identity, int(self._wall() * 1000))

    async def _open(self, name: str) -> Room:
        """The room, with the end of its log at hand."""
        if (room := self._lobby.rooms.get(name)) is not None:
            return room
        kept = max(1, self._history)
        opening = await self._log.look(room_stream(name), kept)
        if (room := self._lobby.rooms.get(name)) is None:  # else another has opened it meanwhile: that one is newer
            room = self._lobby.rooms[name] = Room(name, opening.position, opening.tail, kept, opening.rules)
        return room

    def _enter(self, session: Session, room: Room, replay: Replay) -> Entered:
        """Attach what follows the replay, in one step: nothing can come between the two."""
        name = session.identity.name
        if not replay.more:
            if not session.format.greets and session.room:
                self.leave(session, session.room)
            if self._lobby.enter(room, session.identity):
                self._fanout.mention(room.stream, Joined(room.name, name))
            session.room = room.name
            session.rooms.add(room.name)
            self._fanout.follow(session, room.stream)
        recent: list[Message] = []
        if not session.format.greets:
            recent = fitting(room.recent(self._history)[::-1], self._limits.backlog)[::-1]
        standing = room.standing
        # A format of lines asks for them by /who: not to look costs nothing, and a thousand may come at once.
        members = self._lobby.members(room) if session.format.greets else Members(room.name, (), len(room.members))
        role = standing.role_of(session.identity)
        return Entered(
            room.name, name, role, replay, members, standing.topic, standing.visibility, standing.seconds, recent
        )

    def expel(self, stream: Stream, name: str) -> None:
        """Nobody of that name is in the room any more; a session that is in one room only ends."""
        room = room_of_stream(stream)
        for session in self._fanout.following(stream):
            if session.identity.name == name:
                self.leave(session, room)
                if not session.format.greets:
                    session.link.close(FORBIDDEN, "you were taken out of the room")

    def leave(self, session: Session, name: str, *, silently: bool = False) -> None:
        """Raises Refusal if the session is not in it. `silently`: everybody is leaving."""
        if name not in session.rooms:
            raise not_a_member()
        room = self._lobby.rooms[name]
        session.rooms.remove(name)
        if session.room == name:
            session.room = ""
        self._fanout.unfollow(session, room.stream)
        if self._lobby.leave(room, session.identity) and not silently:
            self._fanout.mention(room.stream, Left(name, session.identity.name))
        self.forget_if_idle(name)

    def forget_if_idle(self, name: str) -> None:
        room = self._lobby.rooms.get(name)
        if room is not None and room.idle and name not in self._opening:
            del self._lobby.rooms[name]
