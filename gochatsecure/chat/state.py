"""Who is where, what may be done, and what a committed entry changes. No I/O, no clock, no locks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nsmallest

from .chain import erased, is_erased
from .commands import (
    Append,
    Bans,
    Command,
    Delete,
    Edit,
    Find,
    Help,
    Invite,
    Judge,
    Kick,
    Rank,
    React,
    Rooms,
    Say,
    SetTopic,
    Talk,
    Tell,
    Voice,
    Who,
)
from .content import content_of
from .errors import Refusal, Temporary
from .events import BanList, Event, HelpText, Member, Members, Presence, RoomList
from .fold import fold
from .model import (
    RULES,
    Banned,
    Deleted,
    Draft,
    Edited,
    Entry,
    Identity,
    Invited,
    Kicked,
    Message,
    Position,
    Posted,
    Role,
    inbox_stream,
    name_of,
    room_of_stream,
    room_stream,
    target_of,
)
from .names import skeleton
from .standing import Sentence, Standing


class Room:
    """One open room: its members, by name, with the number of their sessions; how it stands; the end of its log."""

    __slots__ = (
        "deleting",
        "deletions",
        "judged",
        "members",
        "name",
        "pending",
        "position",
        "said",
        "standing",
        "stream",
        "tail",
    )

    def __init__(
        self, name: str, position: Position, tail: Iterable[Entry], kept: int, rules: Iterable[Entry] = ()
    ) -> None:
        """`tail` is the end of the room's log, oldest first; the newest `kept` entries (at least 1) stay at hand.

        `rules`: as Standing takes them."""
        self.name = name
        self.stream = room_stream(name)
        self.members: dict[str, int] = {}
        self.position = position
        self.tail = deque(tail, maxlen=kept)
        self.standing = Standing(rules)
        self.pending = 0  # drafts that are on their way into the log
        self.deleting: set[int] = set()  # the messages that some of those drafts delete
        self.judged: Counter[str] = Counter()  # the names that some of those drafts decide about
        self.deletions = 0  # how many have been committed
        self.said: dict[str, int] = {}  # in slow mode: when each (a key) said something, as far as it matters still

    def begin(self, identity: Identity, command: Append, now_ms: int) -> None:
        """A draft that this command has made is on its way."""
        self.pending += 1
        if isinstance(command, Say):
            if self.standing.seconds:
                since = now_ms - 1000 * self.standing.seconds
                self.said = {key: said for key, said in self.said.items() if said > since}
                self.said[identity.key] = now_ms
        elif isinstance(command, Delete):
            self.deleting.add(command.seq)
        elif isinstance(command, Judge):
            self.judged[command.name] += 1

    def settle(self, command: Append) -> None:
        """It is not any more."""
        self.pending -= 1
        if isinstance(command, Delete):
            self.deleting.discard(command.seq)
        elif self.judged and isinstance(command, Judge):
            self.judged[command.name] -= 1
            if not self.judged[command.name]:
                del self.judged[command.name]

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

    def __init__(self, *, max_text: int, names_listed: int, room_rules: int) -> None:
        """`max_text`: bytes of one message in UTF-8. `names_listed`: names in one answer. `room_rules`: people that one
        kind of rule of a room may be about."""
        self.rooms: dict[str, Room] = {}
        self._present: dict[str, tuple[Identity, int]] = {}  # by name: who holds it, in how many sessions
        self._looks: dict[str, set[str]] = {}  # by skeleton: the names present that look alike
        self._max_text = max_text
        self._names_listed = names_listed
        self._room_rules = room_rules

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

    def renew(self, identity: Identity) -> None:
        """The same one, under a newer token."""
        self._present[identity.name] = (identity, self.sessions_of(identity.name))

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

        `about`: for an Amend, the entry that it concerns, if there is one; for a Tell, an Invite or a Rank, who it is
        about, if that is known.
        """
        if isinstance(command, Tell):
            self._check_text(command.text)
            to = self._person(command.to, about)
            told = content_of(command, to.key, now_ms)
            inboxes = dict.fromkeys((inbox_stream(identity.key), inbox_stream(to.key)))  # once, to oneself
            return Draft(identity.key, now_ms, tuple((inbox, told) for inbox in inboxes), command.cid)
        room = self.room_of(identity, command.room)
        self._check_judged(identity, room, command, about)
        room.standing.check_right(identity, command, untouched=not room.position.last and not room.pending)
        if isinstance(command, Voice):
            room.standing.check_voice(identity, now_ms)
        if isinstance(command, Talk):
            self._check(identity, room, command, about, now_ms)
            content = content_of(command, "", now_ms)
            return Draft(identity.key, now_ms, ((room.stream, content),), command.cid)
        whom = self._whom(identity, room, command, about)
        if isinstance(command, SetTopic):
            self._check_length(command.text)
        room.standing.check_rule(identity, command, whom, now_ms, self._room_rules)
        content = content_of(command, whom.key, now_ms)
        streams = [room.stream, *([inbox_stream(whom.key)] if isinstance(content, Invited) else [])]
        return Draft(identity.key, now_ms, tuple((stream, content) for stream in streams), command.cid)

    def _check_judged(self, identity: Identity, room: Room, command: Append, about: object) -> None:
        """Raises Temporary where something that is on its way may change who has the right to do this."""
        if not room.judged:
            return
        concerned = {identity.name}
        if isinstance(command, Judge):
            concerned.add(command.name)
        elif isinstance(command, Delete) and isinstance(about, Entry):
            concerned.add(name_of(about.sender))
        if room.judged.keys() & concerned or isinstance(command, Rank | SetTopic):
            raise judged()

    def _person(self, name: str, about: Entry | Identity | None) -> Identity:
        found = about or self.holder(name)
        if not isinstance(found, Identity):
            raise Refusal("not_connected", "nobody of that name is connected; nothing was sent")
        return found

    def _whom(self, identity: Identity, room: Room, command: Append, about: Entry | Identity | None) -> Identity:
        """Whom a command about somebody is about; who asks it, if it is about nobody."""
        if not isinstance(command, Judge):
            return identity
        if isinstance(command, Invite) or (isinstance(command, Rank) and command.name not in room.standing.roles):
            return self._person(command.name, about)
        whom = self.holder(command.name) or Identity(command.name, "")
        known = command.name in room.members or whom.key in room.standing.invited or whom.key in room.standing.roles
        if isinstance(command, Kick) and not known:
            raise Refusal("not_here", "nobody of that name is in this room")
        return whom

    def _check(self, identity: Identity, room: Room, command: Talk, about: object, now_ms: int) -> None:
        match command:
            case Say(_, text, _, _, reply_to):
                self._check_text(text)
                if reply_to is not None and reply_to > room.position.last:
                    raise _no_message()
                room.standing.check_pace(identity, room.said.get(identity.key), now_ms)
            case Edit(_, seq, text):
                self._check_text(text)
                self._check_target(room, seq, about, lambda author: author == identity.key)
            case Delete(_, seq):
                own = identity.key
                self._check_target(
                    room, seq, about, lambda author: author == own or self._outranks(room, identity, author)
                )
            case React(_, seq):
                self._check_target(room, seq, about, lambda author: True)

    def _outranks(self, room: Room, identity: Identity, key: str) -> bool:
        """Whether it may take back what the other, who may be away, has said."""
        holder = self.holder(name_of(key))
        other = holder if holder is not None and holder.key == key else Identity(key, "", Role.GUEST)
        role = room.standing.role_of(identity)
        return role >= Role.MODERATOR and role > max(other.role, room.standing.roles.get(key, Role.GUEST))

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise Refusal("text_missing", "there is no text to send; type some")
        self._check_length(text)

    def _check_length(self, text: str) -> None:
        if len(text) > self._max_text or len(text.encode()) > self._max_text:
            raise Refusal("text_too_long", f"the text is too long; {self._max_text} bytes are the most")

    def _check_target(self, room: Room, seq: int, about: object, may: Callable[[str], bool]) -> None:
        """`may`: whether what this author, a key, has said may be changed so."""
        if not isinstance(about, Entry) or not isinstance(about.content, Posted):
            raise _no_message()
        if not may(about.sender):
            raise _not_yours()
        if seq in room.deleting or is_erased(about):
            raise _deleted()

    def answer(self, identity: Identity, question: Command) -> Event:
        """The answer to a question about the present moment. Raises Refusal."""
        match question:
            case Who(name):
                return self.members(self.room_of(identity, name))
            case Bans(name):
                room = self.room_of(identity, name)
                room.standing.check_right(identity, question, untouched=False)
                banned, muted = room.standing.banned, room.standing.muted
                return BanList(name, self._first(banned), self._first(muted), len(banned), len(muted))
            case Rooms():
                rooms = [(room.name, len(room.members)) for room in self.rooms.values() if _is_listed(room, identity)]
                fullest = nsmallest(self._names_listed, rooms, key=lambda room: (-room[1], room[0]))
                return RoomList(fullest, len(rooms))
            case Find(name):
                return Presence(name, self.sessions_of(name))
            case Help():
                return HelpText()
        raise TypeError(f"not a question about the present moment: {type(question).__name__}")

    def _first(self, sentences: Mapping[str, Sentence]) -> dict[str, Sentence]:
        return {name: sentences[name] for name in nsmallest(self._names_listed, sentences)}

    def members(self, room: Room) -> Members:
        listed = []
        for name in nsmallest(self._names_listed, room.members):
            role = room.standing.role_of(self.holder(name) or Identity(name, "", Role.GUEST))
            listed.append(Member(name, room.members[name], role))
        return Members(room.name, listed, len(room.members))

    def room_of(self, identity: Identity, name: str) -> Room:
        """The open room of that name, if this identity is in it. Raises Refusal."""
        room = self.rooms.get(name)
        if room is None or identity.name not in room.members:
            raise not_a_member()
        return room

    # What has happened.

    def apply(self, entry: Entry) -> str | None:
        """Move the state by one committed entry. It is shown, as it is, to whoever follows its stream.

        Answers with the name of who may be in that room no more, once this is shown."""
        if not (name := room_of_stream(entry.stream)):
            return None
        room = self.rooms[name]
        epoch, floor, _, _ = room.position
        room.position = Position(epoch, floor, entry.seq, entry.head)
        room.tail.append(entry)
        match entry.content:
            case Posted():  # nearly all of it
                pass
            case Deleted(target):
                room.deletions += 1
                for number, kept in enumerate(room.tail):
                    if kept.seq == target or (isinstance(kept.content, Edited) and target_of(kept.content) == target):
                        room.tail[number] = erased(kept)
            case rule if type(rule) in RULES:
                room.standing.apply(entry)
                if isinstance(rule, Kicked | Banned):
                    return name_of(rule.whom)
        return None


def _is_listed(room: Room, identity: Identity) -> bool:
    """Whether it is told that there is this room."""
    if not identity.may_enter(room.name):
        return False
    return room.standing.visibility == "public" or identity.name in room.members


def not_a_member() -> Refusal:
    return Refusal("not_a_member", "you are not in that room; join it first")


def _no_message() -> Refusal:
    return Refusal("no_such_message", "there is no message of that number in this room")


def _deleted() -> Refusal:
    return Refusal("message_deleted", "that message has been deleted")


def _not_yours() -> Refusal:
    return Refusal("not_yours", "that message is somebody else's; you can change your own")


def judged() -> Temporary:
    return Temporary("room_busy", "something is being decided about who is who in this room; try again", 100)
