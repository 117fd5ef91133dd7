"""What can be asked, as one table: decoding in every wire format, every help text and the reference come from it."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from . import commands
from .errors import Refusal
from .model import Cursor, Role
from .names import InvalidName, canonical_room, canonical_user

Kind = Literal[
    "room", "user", "text", "reason", "cid", "seq", "place", "count", "seconds", "flag", "emoji", "cursor", "token",
    "role", "visibility",
]  # fmt: skip

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "room": "the name of a room",
        "user": "the name of a person",
        "text": "a text",
        "cid": "a text of 1 to 64 visible ASCII characters, new for each new thing that you send",
        "seq": "a whole number from 1",
        "place": "a whole number from 0",
        "count": "a whole number from 1",
        "seconds": "a whole number from 1 to 1000000000",
        "flag": "true or false",
        "emoji": "an emoji, or another text of 1 to 32 characters without spaces",
        "cursor": 'an object {"epoch", "seq", "head"}, of which "head" may be left out',
        "token": "a token",
        "reason": "a text of at most 200 characters",
        "role": "one of member, moderator, owner",
        "visibility": "one of public, unlisted, private",
    }
)
"""What a value of each kind is, in words."""

_CID = re.compile("[!-~]{1,64}")
_HEAD = re.compile("[A-Za-z0-9_-]{43}")
_MOST = 2**53 - 1  # whole numbers up to here are exact in every JSON reader (RFC 8259 6)
_LEAST = {"seq": 1, "place": 0, "count": 1}
_LONGEST = 10**9  # seconds, some thirty years; more is for good
_REASON = 200  # characters; it is shown in one line
_ONE_OF = {"role": ("member", "moderator", "owner"), "visibility": ("public", "unlisted", "private")}


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: Kind
    required: bool = True

    @property
    def field(self) -> str:
        """What the command's own field is called: `with` is a word of Python."""
        return "with_" if self.name == "with" else self.name


@dataclass(frozen=True, slots=True)
class Row:
    """One command: the value it becomes, its parameters, its line of help; `op` asks for it in the JSON protocol.

    `word` asks for it in the lines protocol, where `typed` are the parameters that are typed, in order, and a `room`
    that is not typed is the one that one is in. `fixed` are fields that this row sets itself. Who is less than `may` to
    the room may not ask for it.
    """

    op: str
    command: type[Any]
    parameters: tuple[Parameter, ...]
    help: str
    word: str | None = None
    typed: tuple[str, ...] = ()
    fixed: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    may: Role = Role.GUEST

    known: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)
    """The parameters by name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", {parameter.name: parameter for parameter in self.parameters})

    @property
    def usage(self) -> str:
        """How it is typed."""
        known, shown = self.known, []
        for name in self.typed:
            word = "N" if known[name].kind == "count" else "NAME" if known[name].kind == "user" else name.upper()
            shown.append(word if known[name].required else f"[{word}]")
        separator = "" if self.word == "@" else " "
        return separator.join(filter(None, [self.word, " ".join(shown)]))


def _maybe(name: str, kind: Kind) -> Parameter:
    return Parameter(name, kind, required=False)


_ROOM, _TEXT, _CID_, _SEQ = (
    Parameter("room", "room"),
    Parameter("text", "text"),
    Parameter("cid", "cid"),
    Parameter("seq", "seq"),
)
_NAME, _REASON_, _FOR = Parameter("name", "user"), _maybe("reason", "reason"), _maybe("seconds", "seconds")
_SAY = (_ROOM, _TEXT, _CID_, _maybe("action", "flag"), _maybe("reply_to", "seq"))


def _rule(op: str, command: type[Any], about: tuple[Parameter, ...], help: str, may: Role = Role.MODERATOR) -> Row:
    """A rule of the room: typed as it is called."""
    typed = tuple(parameter.name for parameter in about)
    return Row(op, command, (_ROOM, *about, _CID_), help, "/" + op, typed, may=may)


SAY = Row("send", commands.Say, _SAY, "say it to everybody in the room", "", ("text",))
TELL = Row(
    "private",
    commands.Tell,
    (Parameter("to", "user"), _TEXT, _CID_),
    "say it to NAME alone, wherever NAME is connected",
    "@",
    ("to", "text"),
)
TABLE: tuple[Row, ...] = (
    Row("join", commands.Join, (_ROOM, _maybe("after", "cursor")), "go to ROOM", "/join", ("room",)),
    Row("leave", commands.Leave, (_ROOM,), "leave a room"),
    Row("edit", commands.Edit, (_ROOM, _SEQ, _TEXT, _CID_), "give a message of yours another text"),
    Row("delete", commands.Delete, (_ROOM, _SEQ, _CID_), "take a message of yours back: its text is erased"),
    Row(
        "react",
        commands.React,
        (_ROOM, _SEQ, Parameter("emoji", "emoji"), _CID_, _maybe("on", "flag")),
        "put an emoji on a message, or take yours off",
    ),
    Row(
        "topic",
        commands.SetTopic,
        (_ROOM, _TEXT, _CID_),
        "say what this room is about",
        "/topic",
        ("text",),
        may=Role.MODERATOR,
    ),
    _rule("invite", commands.Invite, (_NAME,), "let somebody into this room, if it is private"),
    _rule("kick", commands.Kick, (_NAME, _REASON_), "take somebody out of this room"),
    _rule("ban", commands.Ban, (_NAME, _FOR, _REASON_), "keep somebody out of this room, for so long or for good"),
    _rule("unban", commands.Unban, (_NAME,), "take a ban back"),
    _rule(
        "mute", commands.Mute, (_NAME, _FOR, _REASON_), "let somebody say nothing in this room, for so long or for good"
    ),
    _rule("unmute", commands.Unmute, (_NAME,), "take that back"),
    _rule(
        "slow",
        commands.Slow,
        (Parameter("seconds", "place"),),
        "one message in so many seconds from each; 0: as many as they like",
    ),
    _rule(
        "role",
        commands.Rank,
        (_NAME, Parameter("role", "role")),
        "make somebody a member, moderator or owner of this room; yourself its owner, if it is new",
        Role.OWNER,
    ),
    _rule(
        "visibility",
        commands.Open,
        (Parameter("visibility", "visibility"),),
        "let this room be public, unlisted, or private: then only who is invited finds it",
        Role.OWNER,
    ),
    Row("bans", commands.Bans, (_ROOM,), "who is banned from this room, or muted in it", "/bans", may=Role.MODERATOR),
    Row("members", commands.Who, (_ROOM,), "who is in this room", "/who"),
    Row("rooms", commands.Rooms, (), "the rooms that somebody is in", "/rooms"),
    Row("who", commands.Find, (Parameter("name", "user"),), "whether somebody is connected", "/find", ("name",)),
    Row(
        "history",
        commands.History,
        (
            _maybe("room", "room"),
            _maybe("with", "user"),
            _maybe("before", "seq"),
            _maybe("after", "place"),
            _maybe("around", "seq"),
            _maybe("limit", "count"),
        ),
        "the last N messages",
        "/history",
        ("limit",),
    ),
    Row(
        "search",
        commands.Search,
        (_ROOM, _TEXT, _maybe("before", "seq"), _maybe("limit", "count")),
        "messages that hold TEXT",
        "/search",
        ("text",),
    ),
    Row("inbox", commands.Inbox, (Parameter("after", "cursor"),), "what was said to you alone before this session"),
    Row(
        "typing", commands.Type, (_maybe("room", "room"), _maybe("to", "user")), "you are typing, there or to somebody"
    ),
    Row(
        "read",
        commands.Read,
        (_maybe("room", "room"), _maybe("with", "user"), Parameter("seq", "place")),
        "you have read so far",
    ),
    Row("unread", commands.Unread, (), "where there is something that you have not read"),
    Row("", commands.Say, _SAY, "say what you do: * you TEXT", "/me", ("text",), MappingProxyType({"action": True})),
    Row("", commands.Say, _SAY, "say TEXT as it is, whatever it begins with", "/say", ("text",)),
    Row("refresh", commands.Refresh, (Parameter("token", "token"),), "go on under a newer token of yours"),
    Row("ping", commands.Echo, (), "nothing but an answer"),
    Row("", commands.Help, (), "this list", "/help"),
    Row("", commands.Quit, (), "leave", "/quit"),
)
MAY: Mapping[type[Any], Role] = MappingProxyType({row.command: row.may for row in TABLE})
OP_OF: Mapping[type[Any], str] = MappingProxyType({row.command: row.op for row in (SAY, TELL, *TABLE) if row.op})
BY_WORD: Mapping[str, Row] = MappingProxyType({row.word: row for row in TABLE if row.word is not None})
BY_OP: Mapping[str, Row] = MappingProxyType({row.op: row for row in (SAY, TELL, *TABLE) if row.op})
STORED: frozenset[str] = frozenset(
    op for op, row in BY_OP.items() if any(part.kind == "cid" for part in row.parameters)
)


def checked(parameter: Parameter, value: Any) -> object:
    """The value that a command takes for this one, which came as JSON has it. Raises Refusal."""
    match parameter.kind:
        case "room" if isinstance(value, str):
            return named(canonical_room, value, "room_invalid")
        case "user" if isinstance(value, str):
            return named(canonical_user, value, "username_invalid")
        case "text" if isinstance(value, str) and _is_unicode(value):
            return value
        case "token" if isinstance(value, str):
            return value
        case "reason" if isinstance(value, str) and len(value) <= _REASON and _is_unicode(value):
            return value
        case "role" | "visibility" if value in _ONE_OF[parameter.kind]:
            return value
        case "cid" if isinstance(value, str) and _CID.fullmatch(value):
            return value
        case "emoji" if isinstance(value, str) and 1 <= len(value) <= 32 and _is_unicode(value):
            if not any(sign.isspace() or sign < " " for sign in value):
                return value
        case "flag" if isinstance(value, bool):
            return value
        case "cursor" if isinstance(value, dict):
            epoch, seq, head = value.get("epoch"), value.get("seq"), value.get("head")
            if isinstance(epoch, str) and isinstance(seq, int) and _is_number(seq, 0) and isinstance(head, str | None):
                return Cursor(epoch, seq, None if head is None else _head(parameter, head))
        case "seconds" if _is_number(value, 1) and value <= _LONGEST:
            return value
        case "seq" | "place" | "count" if _is_number(value, _LEAST[parameter.kind]):
            return value
    raise _unfit(parameter)


def _unfit(parameter: Parameter) -> Refusal:
    return Refusal("field_invalid", f"{parameter.name}: not {KINDS[parameter.kind]}")


def _is_number(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= _MOST


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _head(parameter: Parameter, text: str) -> bytes:
    try:
        if _HEAD.fullmatch(text):
            return urlsafe_b64decode(text + "=")
    except binascii.Error:
        pass
    raise _unfit(parameter)


def named(canonical: Callable[[str], str], name: str, code: str) -> str:
    """The canonical form of a name. Raises Refusal with this code."""
    try:
        return canonical(name)
    except InvalidName as error:
        raise Refusal(code, str(error)) from None
