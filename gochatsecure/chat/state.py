"""Who is where, what may be done, and what a committed entry changes. No I/O, no clock, no locks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import nsmallest

from .chain import erased, is_erased
from .commands import Append, Command, Delete, Edit, Find, Help, React, Rooms, Say, SetTopic, Tell, Who
from .errors import Refusal
from .events import Event, HelpText, Members, Presence, RoomList
from .fold import fold
from .model import (
    Content,
    Deleted,
    Draft,
    Edited,
    Entry,
    Identity,
    Message,
    Position,
    Posted,
    Reacted,
    Stream,
    Titled,
    Told,
    inbox_stream,
    room_of_stream,
    room_stream,
    target_of,
)
from .names import skeleton


class Room:
    """One open room: its members, by name, with the number of their sessions; and the end of its log."""

    __slots__ = ("deleting", "deletions", "members", "name", "pending", "position", "stream", "tail", "topic")

    def __init__(self, name: str, position: Position, tail: Iterable[Entry], kept: int, topic: str = "") -> None:
        """`tail` is the end of the room's log, oldest first; the newest `kept` entries (at least 1) stay at hand."""
        self.name = name
        self.stream = room_stream(name)
        self.members: dict[str, int] = {}
        self.position = position
        self.tail = deque(tail, maxlen=kept)
        self.topic = topic
        self.pending = 0  # drafts that are on their way into the log
        self.deleting: set[int] = set()  # the messages that some of those drafts delete
        self.deletions = 0  # how many have been committed

    def recent(self, limit: int) -> list[Message]:
        """The last messages as they are now, at most `limit`, oldest first, as far as they are at hand."""
        # The tail is the log's very end, so whatever became of a message in it is in it, too.
        messages = fold(self.tail)
        return messages[max(0, len(messages) - limit) :]

    @property
    def whole(self) -> bool:
        """All of its log is at hand."""
        return len(self.tail) == self.position.last

    def since(self, seq: int) -> Sequence[Entry] | None:
        """All entries after this one; None where they are not all at hand."""
        missing = self.position.last - seq
        if missing > len(self.tail):
            return None
        return list(self.tail)[len(self.tail) - missing :] if missing > 0 else ()

    def at(self, seq: int) -> Entry | None:
        """The entry with this number, if it is at hand."""
        before = self.position.last - seq
        return self.tail[-1 - before] if 0 <= before < len(self.tail) else None

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

    def decide(self, identity: Identity, command: Append, now_ms: int, about: Entry | Identity | None = None) -> Draft:
        """What `command` appends to the log. Raises Refusal where it must not.

        `about`: for an Amend, the entry that it concerns, if there is one; for a Tell, who it is for, if that is known.
        """
        parts: tuple[tuple[Stream, Content], ...]
        if isinstance(command, Tell):
            self._check_text(command.text)
            to = about or self.holder(command.to)
            if not isinstance(to, Identity):
                raise Refusal("not_connected", "nobody of that name is connected; nothing was sent")
            told = Told(to.key, command.text)
            parts = ((inbox_stream(identity.key), told),)
            if to.key != identity.key:
                parts += ((inbox_stream(to.key), told),)
        else:
            room = self.room_of(identity, command.room)
            parts = ((room.stream, self._content(identity, room, command, about)),)
        return Draft(identity.key, now_ms, parts, command.cid)

    def _content(self, identity: Identity, room: Room, command: Append, about: Entry | Identity | None) -> Content:
        match command:
            case Say(_, text, action, _, reply_to):
                self._check_text(text)
                if reply_to is not None and reply_to > room.position.last:
                    raise _NO_MESSAGE
                return Posted(text, action, reply_to)
            case SetTopic(_, text):
                self._check_length(text)
                return Titled(text)
            case Edit(_, seq, text):
                self._check_text(text)
                self._check_target(identity, room, seq, about, own=True)
                return Edited(seq, text)
            case Delete(_, seq):
                self._check_target(identity, room, seq, about, own=True)
                return Deleted(seq)
            case React(_, seq, emoji, on):
                self._check_target(identity, room, seq, about, own=False)
                return Reacted(seq, emoji, on)
        raise TypeError(f"appends nothing to a room: {type(command).__name__}")

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise Refusal("text_missing", "there is no text to send; type some")
        self._check_length(text)

    def _check_length(self, text: str) -> None:
        if len(text) > self._max_text or len(text.encode()) > self._max_text:
            raise Refusal("text_too_long", f"the text is too long; {self._max_text} bytes are the most")

    def _check_target(self, identity: Identity, room: Room, seq: int, about: object, *, own: bool) -> None:
        if not isinstance(about, Entry) or not isinstance(about.content, Posted):
            raise _NO_MESSAGE
        if own and about.sender != identity.key:
            raise Refusal("not_yours", "that message is somebody else's; you can change your own")
        if seq in room.deleting or is_erased(about):
            raise _DELETED

    def answer(self, identity: Identity, question: Command) -> Event:
        """The answer to a question about the present moment. Raises Refusal."""
        match question:
            case Who(name):
                return self.members(self.room_of(identity, name))
            case Rooms():
                rooms = [(r.name, len(r.members)) for r in self.rooms.values() if identity.may_enter(r.name)]
                fullest = nsmallest(self._names_listed, rooms, key=lambda room: (-room[1], room[0]))
                return RoomList(fullest, len(rooms))
            case Find(name):
                return Presence(name, self.sessions_of(name))
            case Help():
                return HelpText()
        raise TypeError(f"not a question about the present moment: {type(question).__name__}")

    def members(self, room: Room) -> Members:
        names = nsmallest(self._names_listed, room.members)
        return Members(room.name, [(name, room.members[name]) for name in names], len(room.members))

    def room_of(self, identity: Identity, name: str) -> Room:
        """The open room of that name, if this identity is in it. Raises Refusal."""
        room = self.rooms.get(name)
        if room is None or identity.name not in room.members:
            raise NOT_A_MEMBER
        return room

    # What has happened.

    def apply(self, entry: Entry) -> None:
        """Move the state by one committed entry. It is shown, as it is, to whoever follows its stream."""
        if not (name := room_of_stream(entry.stream)):
            return
        room = self.rooms[name]
        epoch, floor, _, _ = room.position
        room.position = Position(epoch, floor, entry.seq, entry.head)
        room.tail.append(entry)
        match entry.content:
            case Deleted(target):
                room.deletions += 1
                for number, kept in enumerate(room.tail):
                    if kept.seq == target or (isinstance(kept.content, Edited) and target_of(kept.content) == target):
                        room.tail[number] = erased(kept)
            case Titled(text):
                room.topic = text


NOT_A_MEMBER = Refusal("not_a_member", "you are not in that room; join it first")
_NO_MESSAGE = Refusal("no_such_message", "there is no message of that number in this room")
_DELETED = Refusal("message_deleted", "that message has been deleted")
