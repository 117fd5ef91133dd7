"""Who is where, what may be done, and what a committed entry changes. No I/O, no clock, no locks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import nsmallest

from .errors import Refusal
from .model import (
    Command,
    Content,
    Draft,
    Entry,
    Event,
    Help,
    HelpText,
    Identity,
    Members,
    Posted,
    RoomList,
    Rooms,
    Say,
    Stream,
    Tell,
    Told,
    Who,
    inbox_stream,
    room_of_stream,
    room_stream,
)
from .names import InvalidName, canonical_room, canonical_user, skeleton


class Room:
    """One open room: its members, by name, with the number of their sessions; and the end of its log."""

    __slots__ = ("last", "members", "name", "pending", "stream", "tail")

    def __init__(self, name: str, tail: Iterable[Entry], kept: int) -> None:
        """`tail` is the end of the room's log, oldest first; the newest `kept` entries (at least 1) stay at hand."""
        self.name = name
        self.stream = room_stream(name)
        self.members: dict[str, int] = {}
        self.tail = deque(tail, maxlen=kept)
        self.last = self.tail[-1].seq if self.tail else 0
        self.pending = 0  # drafts that are on their way into the log

    def recent(self, limit: int) -> list[Entry] | None:
        """The last `limit` entries, oldest first; None where they are not all at hand."""
        if limit <= len(self.tail) or len(self.tail) == self.last:
            return list(self.tail)[max(0, len(self.tail) - limit) :]
        return None

    @property
    def idle(self) -> bool:
        """Nobody is in it and nothing is under way: it may be forgotten, the log has it."""
        return not self.members and not self.pending


class Lobby:
    """All that is known of the present moment. Its rooms' past is in the log."""

    def __init__(self, *, max_text: int, names_listed: int) -> None:
        """`max_text`: bytes of one message in UTF-8. `names_listed`: names in one answer."""
        self.rooms: dict[str, Room] = {}
        self._present: dict[str, tuple[Identity, int]] = {}  # by name: who holds it, in how many sessions
        self._looks: dict[str, set[str]] = {}  # by skeleton: the names present that look alike
        self._max_text = max_text
        self._names_listed = names_listed

    # Presence: it takes no place in any log.

    def holder(self, name: str) -> Identity | None:
        """Who is connected under this name."""
        return self._present[name][0] if name in self._present else None

    def sessions_of(self, name: str) -> int:
        return self._present[name][1] if name in self._present else 0

    def lookalikes(self, name: str) -> list[Identity]:
        """Who is connected under this name, or under one that a reader could take for it."""
        return [self._present[other][0] for other in self._looks.get(skeleton(name), ())]

    def arrive(self, identity: Identity) -> None:
        """One more session of this identity. Nobody else may hold its name."""
        self._present[identity.name] = (identity, self.sessions_of(identity.name) + 1)
        self._looks.setdefault(skeleton(identity.name), set()).add(identity.name)

    def depart(self, identity: Identity) -> bool:
        """One session of this identity less; True if it was the last."""
        sessions = self.sessions_of(identity.name) - 1
        if sessions:
            self._present[identity.name] = (identity, sessions)
            return False
        del self._present[identity.name]
        look = skeleton(identity.name)
        self._looks[look].remove(identity.name)
        if not self._looks[look]:
            del self._looks[look]
        return True

    def enter(self, room: Room, identity: Identity) -> bool:
        """One more session of this identity in the room; True if it is the first."""
        sessions = room.members.get(identity.name, 0) + 1
        room.members[identity.name] = sessions
        return sessions == 1

    def leave(self, room: Room, identity: Identity) -> bool:
        """One session of this identity less in the room; True if it was the last."""
        room.members[identity.name] -= 1
        if room.members[identity.name]:
            return False
        del room.members[identity.name]
        return True

    # What is asked.

    def decide(self, identity: Identity, command: Say | Tell, now_ms: int) -> Draft:
        """What `command` appends to the log. Raises Refusal where it must not."""
        text = command.text
        if not text.strip():
            raise Refusal("text_missing", "there is no text to send; type some")
        if len(text) > self._max_text or len(text.encode()) > self._max_text:
            raise Refusal("text_too_long", f"the text is too long; {self._max_text} bytes are the most")
        parts: tuple[tuple[Stream, Content], ...]
        if isinstance(command, Say):
            room = self.room_of(identity, command.room)
            parts = ((room.stream, Posted(text, command.action)),)
        else:
            to = self._addressee(command.to).key
            told = Told(to, text)
            parts = ((inbox_stream(identity.key), told),)
            if to != identity.key:
                parts += ((inbox_stream(to), told),)
        return Draft(identity.key, now_ms, parts, command.cid)

    def _addressee(self, name: str) -> Identity:
        try:
            name = canonical_user(name)
        except InvalidName as error:
            raise Refusal("username_invalid", str(error)) from None
        holder = self.holder(name)
        if holder is None:
            raise Refusal("not_connected", "nobody of that name is connected; nothing was sent")
        return holder

    def answer(self, identity: Identity, question: Command) -> Event:
        """The answer to a question about the present moment. Raises Refusal."""
        match question:
            case Who(room):
                members = self.room_of(identity, room).members
                return Members(room, nsmallest(self._names_listed, members), len(members))
            case Rooms():
                rooms = [(r.name, len(r.members)) for r in self.rooms.values() if identity.may_enter(r.name)]
                fullest = nsmallest(self._names_listed, rooms, key=lambda room: (-room[1], room[0]))
                return RoomList(fullest, len(rooms))
            case Help():
                return HelpText()
        raise TypeError(f"not a question about the present moment: {type(question).__name__}")

    def room_of(self, identity: Identity, name: str) -> Room:
        """The open room of that name, if this identity is in it. Raises Refusal."""
        room = self.rooms.get(name)
        if room is None or identity.name not in room.members:
            raise Refusal("not_a_member", "you are not in that room; join it first")
        return room

    # What has happened.

    def apply(self, entry: Entry) -> None:
        """Move the state by one committed entry. It is shown, as it is, to whoever follows its stream."""
        match entry.content:
            case Posted():
                room = self.rooms[room_of_stream(entry.stream)]
                room.last = entry.seq
                room.tail.append(entry)
            case Told():
                pass


def canonical_room_or_refuse(name: str) -> str:
    try:
        return canonical_room(name)
    except InvalidName as error:
        raise Refusal("room_invalid", str(error)) from None
