"""What is shown. Values only. An entry is an event as it is; the others take no place in any log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .errors import Refusal
from .model import Entry, Message, Position, Role


class Welcome(NamedTuple):
    """The first event: who one is, for how long, within which limits, and one's inbox as it stands.

    What is said to one after `inbox.last` is shown as it comes."""

    name: str
    session: str
    expires_in: float
    limits: Mapping[str, int]
    version: str
    inbox: Position


class Joined(NamedTuple):
    room: str
    name: str


class Left(NamedTuple):
    room: str
    name: str


class Typing(NamedTuple):
    """Somebody is typing: in a room, or, where that is "", to oneself."""

    room: str
    name: str


class Marked(NamedTuple):
    """One has read so far, on this device or another: a room, or the conversation `with_` somebody."""

    room: str | None
    with_: str | None
    seq: int


class Draining(NamedTuple):
    """The server is going away; come back after so many milliseconds."""

    reconnect_after_ms: int


class Member(NamedTuple):
    """Somebody in a room, in so many `sessions`."""

    name: str
    sessions: int
    role: Role


class Members(NamedTuple):
    """Answer to `Who`: the first of `total`, by name."""

    room: str
    members: Sequence[Member]
    total: int


class BanList(NamedTuple):
    """Answer to `Bans`: by name, until when (milliseconds since 1970; None: for good) and why; of each the first, by
    name, of so many in all."""

    room: str
    banned: Mapping[str, tuple[int | None, str]]
    muted: Mapping[str, tuple[int | None, str]]
    banned_total: int
    muted_total: int


class RoomList(NamedTuple):
    """Answer to `Rooms`: names with how many are in each, the fullest first; the first of `total`."""

    rooms: Sequence[tuple[str, int]]
    total: int


class Presence(NamedTuple):
    """Answer to `Find`: in how many sessions that name is connected."""

    name: str
    sessions: int


class Acked(NamedTuple):
    """Answer to an `Append`: it is stored as this entry, in that epoch; `dup`: it was before.

    `delivered`, of a private message: the other is connected."""

    entry: Entry
    epoch: str
    dup: bool
    delivered: bool | None = None


class Replay(NamedTuple):
    """What has happened since a cursor. With `more` it goes on after the last of the `events`. If it could not be
    `recovered`, there are none, and the log goes on after `position`."""

    position: Position
    recovered: bool = True
    more: bool = False
    events: Sequence[Entry] = ()


class Entered(NamedTuple):
    """Answer to `Join`: one is in the room, unless there is `more` to be replayed first.

    `name` and `role` are one's own; `slow`: seconds between two messages of one; `recent` are the room's last messages,
    for who does not keep a cursor."""

    room: str
    name: str
    role: Role
    replay: Replay
    members: Members
    topic: str
    visibility: str
    slow: int
    recent: Sequence[Message]


class Replayed(NamedTuple):
    """Answer to `Inbox`."""

    replay: Replay


class Messages(NamedTuple):
    """Answer to `History`, oldest first: all that there are from `first` to `last`; with `more` there are others
    beyond, in the direction that was asked for."""

    room: str | None
    with_: str | None
    messages: Sequence[Message]
    first: int
    last: int
    more: bool
    floor: int


class Found(NamedTuple):
    """Answer to `Search`, the newest first; with `more` it goes on `before` that `seq`."""

    room: str
    messages: Sequence[Message]
    before: int
    more: bool


class UnreadList(NamedTuple):
    """Answer to `Unread`: for each place with a mark of one's own, that mark and how many messages came after it."""

    rooms: Sequence[tuple[str, int, int]]
    conversations: Sequence[tuple[str, int, int]]


class Refreshed(NamedTuple):
    """Answer to `Refresh`: the session may now last so many seconds."""

    expires_in: float


class Done(NamedTuple):
    """Answer to what has no other."""


class HelpText(NamedTuple):
    """Answer to `Help`: each wire format tells its own way of asking."""


class Refused(NamedTuple):
    """A command was not carried out."""

    refusal: Refusal


Event = (
    Entry
    | Welcome
    | Joined
    | Left
    | Typing
    | Marked
    | Draining
    | Members
    | BanList
    | RoomList
    | Presence
    | Acked
    | Entered
    | Replayed
    | Messages
    | Found
    | UnreadList
    | Refreshed
    | Done
    | HelpText
    | Refused
)
