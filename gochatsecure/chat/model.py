"""The words of a conversation: who speaks, what is asked, what is kept, what is shown. Values only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, NewType

from .errors import Refusal

Stream = NewType("Stream", str)
"""The name of one log: `room/NAME`, or `inbox/KEY` for what is said to one identity alone."""


def room_stream(room: str) -> Stream:
    return Stream("room/" + room)


def room_of_stream(stream: Stream) -> str:
    """The room's name, or "" for what is not a room's log."""
    kind, _, name = stream.partition("/")
    return name if kind == "room" else ""


def inbox_stream(key: str) -> Stream:
    return Stream("inbox/" + key)


ANY_ROOM = ("*",)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the server believes somebody is, and until when (`expires`, Unix seconds).

    A guest's name is its own only for one sign-in, `sid`; whoever takes the name later is somebody else.
    `rooms` are the patterns of the rooms it may enter, as `team-*`. `ours`: this server itself signed it in, and may
    renew its token.
    """

    name: str
    sid: str
    guest: bool = False
    expires: float = math.inf
    rooms: tuple[str, ...] = ANY_ROOM
    ours: bool = False

    @property
    def key(self) -> str:
        """What the log knows this identity by: never shared by two people, even if the name is. No name holds a `~`."""
        return f"{self.name}~{self.sid}" if self.guest else self.name

    def may_enter(self, room: str) -> bool:
        return any(fnmatchcase(room, pattern) for pattern in self.rooms)


def name_of(key: str) -> str:
    """The name people see, from an identity's key."""
    return key.partition("~")[0]


# What is asked.


class Say(NamedTuple):
    """Say `text` to everybody in `room`; an `action` is what `/me` does."""

    room: str
    text: str
    action: bool = False
    cid: str | None = None


class Tell(NamedTuple):
    """Say `text` to `to` alone, wherever `to` is connected: a private message."""

    to: str
    text: str
    cid: str | None = None


class Join(NamedTuple):
    room: str


class Who(NamedTuple):
    room: str


class Rooms(NamedTuple):
    pass


class History(NamedTuple):
    room: str
    limit: int | None = None


class Help(NamedTuple):
    pass


class Quit(NamedTuple):
    pass


Command = Say | Tell | Join | Who | Rooms | History | Help | Quit


# What is kept.


class Posted(NamedTuple):
    """Said in a room."""

    text: str
    action: bool = False


class Told(NamedTuple):
    """Said to one identity, whose key is `to`: kept in both parties' inboxes."""

    to: str
    text: str


Content = Posted | Told


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
    """One committed entry of one log. `seq` counts from 1 without gaps and is the only order; `sender` is a key."""

    stream: Stream
    seq: int
    ts: int
    sender: str
    cid: str | None
    content: Content


# What is shown. An entry is an event as it is; the others take no place in any log.


class Joined(NamedTuple):
    room: str
    name: str


class Left(NamedTuple):
    room: str
    name: str


class Members(NamedTuple):
    """Answer to `Who`: the first `names` of `total`, sorted."""

    room: str
    names: Sequence[str]
    total: int


class RoomList(NamedTuple):
    """Answer to `Rooms`: names with how many are in each, the fullest first; the first of `total`."""

    rooms: Sequence[tuple[str, int]]
    total: int


class Backlog(NamedTuple):
    """Entries of one room, oldest first: on joining, or the answer to `History`."""

    room: str
    entries: Sequence[Entry]


class HelpText(NamedTuple):
    """Answer to `Help`: each wire format tells its own way of asking."""


class Refused(NamedTuple):
    """A command was not carried out."""

    refusal: Refusal


Event = Entry | Joined | Left | Members | RoomList | Backlog | HelpText | Refused
