"""The words of a conversation: who speaks, and what is kept of it. Values only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, NamedTuple, NewType, get_args

Stream = NewType("Stream", str)
"""The name of one log: `room/NAME`, or `inbox/KEY` for what is said to one identity alone."""


def room_stream(room: str) -> Stream:
    return Stream("room/" + room)


def room_of_stream(stream: Stream) -> str:
    """The room's name, or "" for what is not a room's log."""
    return stream[5:] if stream.startswith("room/") else ""


def inbox_stream(key: str) -> Stream:
    return Stream("inbox/" + key)


ANY_ROOM = ("*",)


class Role(IntEnum):
    """What somebody is to a room: each may do all that those below it may."""

    GUEST = 0
    MEMBER = 1
    MODERATOR = 2
    OWNER = 3

    def __str__(self) -> str:
        """As a token and the JSON protocol call it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the server believes somebody is, and until when (`expires`, Unix seconds).

    A guest's name is its own only for one sign-in, `sid`; whoever takes the name later is somebody else.
    `role` is what it is in every room, if not more in this one. `rooms` are the patterns of the rooms it may enter, as
    `team-*`. `ours`: this server itself signed it in, and may renew its token. `generation` is that of the account
    whose password was shown; `signed_by` names the key that has signed for it.
    """

    name: str
    sid: str
    role: Role = Role.MEMBER
    expires: float = math.inf
    rooms: tuple[str, ...] = ANY_ROOM
    ours: bool = False
    generation: int | None = None
    signed_by: str = field(default="", compare=False)
    key: str = field(init=False, compare=False)
    """What the log knows this identity by: never shared by two people, even if the name is. No name holds a `~`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.name}~{self.sid}" if self.role is Role.GUEST else self.name)

    @property
    def guest(self) -> bool:
        return self.role is Role.GUEST

    def may_enter(self, room: str) -> bool:
        return any(fnmatchcase(room, pattern) for pattern in self.rooms)


def name_of(key: str) -> str:
    """The name people see, from an identity's key."""
    return key.partition("~")[0]


# Where one is in a log.


class Position(NamedTuple):
    """A log as it stands. `epoch`: this incarnation of it; `floor`: the oldest `seq` that is kept, `last + 1` if none
    is; `last`: the newest `seq`, 0 if there never was one; `head`: the chain's value there, 32 bytes."""

    epoch: str
    floor: int
    last: int
    head: bytes


class Cursor(NamedTuple):
    """How far a client has read: up to `seq`, where it saw `head` (if it keeps that), in that `epoch`."""

    epoch: str
    seq: int
    head: bytes | None = None


# What is kept.


class Posted(NamedTuple):
    """Said in a room; perhaps in reply to the message `reply_to`."""

    text: str
    action: bool = False
    reply_to: int | None = None


class Edited(NamedTuple):
    """The message `target` has another text."""

    target: int
    text: str


class Deleted(NamedTuple):
    """The message `target` was taken back. Whoever keeps the log erases its text, and that of its edits."""

    target: int


class Reacted(NamedTuple):
    """The sender has put `emoji` on the message `target`, or taken it off."""

    target: int
    emoji: str
    on: bool = True


class Titled(NamedTuple):
    """The room's topic."""

    text: str


class Told(NamedTuple):
    """Said to one identity, whose key is `to`: kept in both parties' inboxes."""

    to: str
    text: str


class Ranked(NamedTuple):
    """`whom`, a key, is this to the room from now on."""

    whom: str
    role: str


class Invited(NamedTuple):
    """`whom` may enter the room `into`: kept in the room's log, and in the inbox of who is invited."""

    whom: str
    into: str


class Kicked(NamedTuple):
    """`whom` was taken out of the room; into a private one it may not come back."""

    whom: str
    reason: str


class Banned(NamedTuple):
    """Nobody of the name of `whom` may be in the room, until then (milliseconds since 1970) or for good."""

    whom: str
    until: int | None
    reason: str


class Unbanned(NamedTuple):
    whom: str


class Muted(NamedTuple):
    """Nobody of the name of `whom` may say anything in the room, until then or for good."""

    whom: str
    until: int | None
    reason: str


class Unmuted(NamedTuple):
    whom: str


class Slowed(NamedTuple):
    """Each member may say one thing in so many seconds; 0: as much as the server lets it."""

    seconds: int


class Opened(NamedTuple):
    """Who may find and enter the room: `public`, `unlisted` or `private`."""

    visibility: str


Rule = Titled | Ranked | Invited | Kicked | Banned | Unbanned | Muted | Unmuted | Slowed | Opened
"""How a room stands is what the last of each kind, and about each person, has said, if no later one takes it back."""

Content = Posted | Edited | Deleted | Reacted | Told | Rule

RULES: frozenset[type] = frozenset(get_args(Rule))

KINDS: dict[str, type[Content]] = {
    "message": Posted,
    "edited": Edited,
    "deleted": Deleted,
    "reacted": Reacted,
    "private": Told,
    "topic": Titled,
    "role": Ranked,
    "invited": Invited,
    "kicked": Kicked,
    "banned": Banned,
    "unbanned": Unbanned,
    "muted": Muted,
    "unmuted": Unmuted,
    "slow": Slowed,
    "visibility": Opened,
}
"""What each kind of entry is called: in the store, in the chain, and as an event of the JSON protocol."""

KIND_OF: dict[type[Content], str] = {kind: name for name, kind in KINDS.items()}


def text_of(content: Content) -> str | None:
    """The words in it, which can be erased; None for a kind that has none."""
    return getattr(content, "text", None)


def person_of(content: Content) -> str | None:
    """The key of whom it is said to, or of whom it speaks."""
    return content.to if isinstance(content, Told) else getattr(content, "whom", None)


def shown(content: Content) -> Content:
    """As anybody may see it: with people's names where their keys are kept."""
    person = person_of(content)
    if person is None or "~" not in person:
        return content
    hidden: Any = content
    return hidden._replace(**{"to" if isinstance(content, Told) else "whom": name_of(person)})  # type: ignore[no-any-return]


def slot_of(stream: Stream, content: Content) -> tuple[str, str] | None:
    """Which rule of a room it is: its kind, and about whom, "" for the room itself. The last one of each counts; None
    for what is none, or only takes others back. A ban and a mute go by name."""
    if type(content) not in RULES or not room_of_stream(stream) or isinstance(content, Kicked | Unbanned | Unmuted):
        return None
    person = person_of(content) or ""
    return KIND_OF[type(content)], name_of(person) if isinstance(content, Banned | Muted) else person


def taken_back(content: Content) -> tuple[tuple[str, str], ...]:
    """The slots of the rules that count no more once this is there."""
    match content:
        case Kicked(whom) | Banned(whom):
            return ("role", whom), ("invited", whom)
        case Unbanned(whom):
            return (("banned", name_of(whom)),)
        case Unmuted(whom):
            return (("muted", name_of(whom)),)
    return ()


def until_of(content: Content) -> int | None:
    """When a ban or a mute ends by itself: then it counts no more, and the next of its kind may take its place."""
    return content.until if isinstance(content, Banned | Muted) else None


def target_of(content: Content) -> int | None:
    """The `seq` of the message that it is about, in the same stream."""
    return getattr(content, "target", None)


class Draft(NamedTuple):
    """What is to be appended, all of it in one commit or nothing.

    The first part is the one that `sender` is answered about; `cid`, where given, makes it happen once.
    `ts` is in milliseconds since 1970, UTC. `context` comes back with the outcome, untouched.
    """

    sender: str
    ts: int
    parts: tuple[tuple[Stream, Content], ...]
    cid: str | None = None
    context: object = None


class Entry(NamedTuple):
    """One committed entry of one log. `seq` counts from 1 without gaps and is the only order; `sender` is a key.

    `head` is the chain's value here. `seal` belongs to the text, if there is one: the salt of its commitment (SALT
    bytes), or, once the text is erased and "", the commitment itself (32 bytes). `chain` tells more.
    """

    stream: Stream
    seq: int
    ts: int
    sender: str
    cid: str | None
    content: Content
    head: bytes = b""
    seal: bytes = b""


class Message(NamedTuple):
    """A message in its present state: its entry, and what has become of it since."""

    entry: Entry
    text: str
    edited: Entry | None = None
    deleted: Entry | None = None
    reactions: Mapping[str, Sequence[str]] = MappingProxyType({})
    """By emoji, the names of those who have it on, the first first."""
