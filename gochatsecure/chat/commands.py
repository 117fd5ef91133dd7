"""What can be asked. Values only; every field has the name that the table in `table` gives it."""

from __future__ import annotations

from typing import NamedTuple

from .errors import Refusal
from .model import Cursor


class Say(NamedTuple):
    """Say `text` to everybody in `room`; an `action` is what `/me` does."""

    room: str
    text: str
    action: bool = False
    cid: str | None = None
    reply_to: int | None = None


class Tell(NamedTuple):
    """Say `text` to `to` alone, wherever `to` is connected: a private message."""

    to: str
    text: str
    cid: str | None = None


class Edit(NamedTuple):
    """Give one's message `seq` another text."""

    room: str
    seq: int
    text: str
    cid: str | None = None


class Delete(NamedTuple):
    """Take one's message `seq` back: its text is erased."""

    room: str
    seq: int
    cid: str | None = None


class React(NamedTuple):
    """Put `emoji` on message `seq`, or take one's own off it."""

    room: str
    seq: int
    emoji: str
    on: bool = True
    cid: str | None = None


class SetTopic(NamedTuple):
    room: str
    text: str
    cid: str | None = None


class Rank(NamedTuple):
    """Give `name` a role in the room; or be its owner, if nobody is and nothing has been said there yet."""

    room: str
    name: str
    role: str
    cid: str | None = None


class Invite(NamedTuple):
    room: str
    name: str
    cid: str | None = None


class Kick(NamedTuple):
    room: str
    name: str
    reason: str = ""
    cid: str | None = None


class Ban(NamedTuple):
    """For so many `seconds`, or for good."""

    room: str
    name: str
    seconds: int | None = None
    reason: str = ""
    cid: str | None = None


class Unban(NamedTuple):
    room: str
    name: str
    cid: str | None = None


class Mute(NamedTuple):
    """For so many `seconds`, or for good."""

    room: str
    name: str
    seconds: int | None = None
    reason: str = ""
    cid: str | None = None


class Unmute(NamedTuple):
    room: str
    name: str
    cid: str | None = None


class Slow(NamedTuple):
    room: str
    seconds: int
    cid: str | None = None


class Open(NamedTuple):
    room: str
    visibility: str
    cid: str | None = None


class Bans(NamedTuple):
    """Who is banned from the room, and who is muted in it?"""

    room: str


class Join(NamedTuple):
    """Enter a room; with `after`, be told first what has happened since then."""

    room: str
    after: Cursor | None = None


class Leave(NamedTuple):
    room: str


class Inbox(NamedTuple):
    """What was said to one privately since then, and before this session began."""

    after: Cursor


class History(NamedTuple):
    """Messages of a `room`, or of one's conversation `with_` somebody, as they are now: the newest `limit`, or those
    next `before`, `after` or `around` that `seq`."""

    room: str | None = None
    with_: str | None = None
    before: int | None = None
    after: int | None = None
    around: int | None = None
    limit: int | None = None


class Search(NamedTuple):
    """Messages of a room that hold `text`, the newest first."""

    room: str
    text: str
    before: int | None = None
    limit: int | None = None


class Who(NamedTuple):
    """Who is in the room?"""

    room: str


class Rooms(NamedTuple):
    pass


class Find(NamedTuple):
    """Is this person connected?"""

    name: str


class Type(NamedTuple):
    """One is typing, in a room or to somebody."""

    room: str | None = None
    to: str | None = None


class Read(NamedTuple):
    """One has read a room, or a conversation, up to `seq`."""

    seq: int
    room: str | None = None
    with_: str | None = None


class Unread(NamedTuple):
    """Where is there something that one has not read?"""


class Refresh(NamedTuple):
    """Go on under this newer token of the same identity."""

    token: str


class Echo(NamedTuple):
    """Are you there?"""


class Help(NamedTuple):
    pass


class Quit(NamedTuple):
    pass


Amend = Edit | Delete | React
"""Concerns an earlier message of the room."""

Talk = Say | Amend
"""Is what a room is for; it changes nobody's rights."""

Voice = Say | Edit | React | SetTopic
"""Lets the room read something new."""

Judge = Rank | Invite | Kick | Ban | Unban | Mute | Unmute
"""Is about somebody, called `name`."""

Govern = SetTopic | Slow | Open | Judge
"""Makes a rule of the room."""

Append = Say | Tell | Amend | Govern
"""Has to be stored."""

Command = (
    Append
    | Join
    | Leave
    | Inbox
    | History
    | Search
    | Who
    | Bans
    | Rooms
    | Find
    | Type
    | Read
    | Unread
    | Refresh
    | Echo
    | Help
    | Quit
)

RequestId = str | int | None
"""What a client calls one request of its own, for the answer to name; None where the wire format has no such thing."""


class Asked(NamedTuple):
    """One request: what is asked, or why it cannot be understood."""

    id: RequestId
    command: Command | Refusal
