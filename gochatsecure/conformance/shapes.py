"""What is shown, as one table: the fields of every answer and every event, and what a value of each kind is.

What can be asked is in `chat/table`. A row is the fields' names, each with `?` where it may be left out, `~` where it
may be null. A field is everywhere the same thing; where it is not, `NAME:KIND` says what it is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Schema = Mapping[str, Any]
"""A JSON Schema, draft 2020-12, of what `validate` knows of it."""

_MOST = 2**53 - 1


def _text(**bounds: object) -> Schema:
    return {"type": "string", **bounds}


def _whole(least: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": _MOST}


def _list(kind: str) -> Schema:
    return {"type": "array", "items": {"$ref": f"#/$defs/{kind}"}}


KINDS: Mapping[str, Schema] = MappingProxyType(
    {
        # As `chat/table` has them.
        "room": _text(minLength=1),
        "user": _text(minLength=1),
        "text": _text(),
        "cid": _text(pattern="^[!-~]{1,64}$"),
        "seq": _whole(1),
        "place": _whole(0),
        "count": _whole(1),
        "flag": {"type": "boolean"},
        "emoji": _text(minLength=1, maxLength=32),
        "cursor": {"$ref": "#/$defs/cursor"},
        "token": _text(minLength=1),
        "seconds": {"type": "integer", "minimum": 1, "maximum": 10**9},
        "reason": _text(maxLength=200),
        "role": _text(pattern="^(member|moderator|owner)$"),
        "visibility": _text(pattern="^(public|unlisted|private)$"),
        # Only shown.
        "id": {"anyOf": [_text(maxLength=64), {"type": "integer", "minimum": -_MOST, "maximum": _MOST}]},
        "hash": _text(pattern="^[A-Za-z0-9_-]{43}$"),
        "salt": _text(pattern="^[A-Za-z0-9_-]{22}$"),
        "number": _whole(0),
        "standing": _text(pattern="^(guest|member|moderator|owner)$"),
        "sentences": _list("sentence"),
        "word": _text(minLength=1),
        "position": {"$ref": "#/$defs/position"},
        "limits": {"$ref": "#/$defs/limits"},
        "stamp": {"$ref": "#/$defs/stamp"},
        "entries": _list("entry"),
        "messages": _list("told"),
        "members": _list("member"),
        "rooms": _list("room_count"),
        "marked rooms": _list("marked_room"),
        "conversations": _list("conversation"),
        "reactions": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    }
)
"""By kind: the values that are of it."""

FIELDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "room": ("room", "the room, by its name in canonical form"),
        "with": ("user", "the other in a conversation"),
        "from": ("user", "who did it"),
        "to": ("user", "whom it is for"),
        "name": ("user", "a person"),
        "username": ("user", "your own name"),
        "epoch": ("word", "this incarnation of the log: `seq` and `head` mean nothing in another"),
        "seq": ("seq", "the entry's place in its log, from 1 without gaps"),
        "head": ("hash", "the chain's value there"),
        "salt": ("salt", "of the text's commitment"),
        "commitment": ("hash", "what stands for a text that was erased"),
        "ts": ("number", "when it was said, in milliseconds since 1970, UTC; it orders nothing"),
        "cid": ("cid", "what its sender calls it; in an inbox null for the other party"),
        "text": ("text", "the words"),
        "action": ("flag", "it is what somebody does (`/me`)"),
        "reply_to": ("seq", "the message that it answers"),
        "target": ("seq", "the message that it is about"),
        "emoji": ("emoji", "the sign"),
        "on": ("flag", "put on, or taken off"),
        "floor": ("number", "the oldest entry that is kept"),
        "last": ("number", "the newest entry, 0 if there is none"),
        "first": ("number", "where the page begins"),
        "before": ("number", "where to go on"),
        "recovered": ("flag", "what came after the cursor could be told"),
        "more": ("flag", "there is more: ask again"),
        "events": ("entries", "what was missed, oldest first"),
        "messages": ("messages", "as they are now"),
        "members": ("members", "who is in the room"),
        "total": ("number", "how many there are in all; the list may be shorter"),
        "topic": ("text", "what the room is about"),
        "whom": ("user", "whom it is about"),
        "role": ("role", "what one is to the room; who has been given nothing is `guest` or `member`"),
        "into": ("room", "the room"),
        "until": ("number", "when it ends, in milliseconds since 1970, UTC; null for never"),
        "reason": ("reason", "why, or nothing"),
        "seconds": ("number", "between two messages of one; 0 for as many as they like"),
        "slow": ("number", "seconds between two messages of one, 0 for none"),
        "visibility": ("visibility", "who finds the room and may enter it"),
        "banned": ("sentences", "who may not be in the room"),
        "muted": ("sentences", "who may not say anything in it"),
        "banned_total": ("number", "how many there are in all; the list may be shorter"),
        "muted_total": ("number", "how many there are in all; the list may be shorter"),
        "dup": ("flag", "it was stored before"),
        "delivered": ("flag", "the other is connected"),
        "sessions": ("number", "on how many devices"),
        "rooms": ("rooms", "the fullest first"),
        "conversations": ("conversations", "private ones"),
        "read": ("number", "your mark: the last that you have read"),
        "unread": ("number", "how many messages of others came after it; 1000 stands for more"),
        "expires_in": ("number", "seconds until the session ends, null for never"),
        "session": ("word", "the number of this session"),
        "version": ("word", "of the server"),
        "limits": ("limits", "what you may ask of this server"),
        "inbox": ("position", "where your inbox stands; what comes after is shown as it comes"),
        "edited": ("stamp", "by which entry it was given this text"),
        "deleted": ("stamp", "by which entry it was taken back"),
        "reactions": ("reactions", "names by emoji"),
        "reconnect_after_ms": ("number", "when to come back"),
        "code": ("word", "stable, for programs"),
        "message": ("word", "one sentence for people, which repeats nothing of what was sent"),
        "temporary": ("flag", "the same request may succeed later"),
        "retry_after_ms": ("number", "when"),
    }
)
"""By name: a field's kind where a row does not say another, and what it is."""


class Field(NamedTuple):
    name: str
    kind: str
    optional: bool
    nullable: bool


class Shape(NamedTuple):
    """An object: its fields, in the order in which we write them. Of the groups in `either` exactly one is there."""

    fields: tuple[Field, ...]
    note: str = ""
    either: tuple[tuple[str, ...], ...] = ()


def shape(row: str, note: str = "", either: tuple[tuple[str, ...], ...] = ()) -> Shape:
    fields = []
    for part in row.split():
        name, _, kind = part.rstrip("?~").partition(":")
        kind = kind.replace("_", " ") or FIELDS[name][0]
        fields.append(Field(name, kind, "?" in part, "~" in part))
    return Shape(tuple(fields), note, either)


_TEXT_OR_GONE = (("text", "salt"), ("commitment",))
_PLACE = (("room",), ("with",))
_ENTRY = "room seq ts from cid~"
_ACK = "room cid epoch seq head ts dup"
_REPLAY = "epoch floor last head recovered more events"

ANSWERS: Mapping[str, Shape] = MappingProxyType(
    {
        "join": shape(
            f"room {_REPLAY} members total role:standing topic visibility slow",
            "with `after`: and be told what came since",
        ),
        "leave": shape(""),
        "send": shape(_ACK),
        "private": shape("to cid epoch seq head ts dup delivered", "`seq` and `head` are your inbox's"),
        "edit": shape(_ACK),
        "delete": shape(_ACK),
        "react": shape(_ACK, "`on: false` takes it off"),
        "topic": shape(_ACK),
        "invite": shape(_ACK),
        "kick": shape(_ACK),
        "ban": shape(_ACK, "without `seconds` for good"),
        "unban": shape(_ACK),
        "mute": shape(_ACK, "without `seconds` for good"),
        "unmute": shape(_ACK),
        "slow": shape(_ACK),
        "role": shape(_ACK),
        "visibility": shape(_ACK),
        "bans": shape("room banned muted banned_total muted_total"),
        "history": shape(
            "room? with? messages first last more floor",
            "of a room, or of a conversation; the newest, or those next to one of `before`, `after`, `around`",
            _PLACE,
        ),
        "search": shape("room messages before more", "the newest first"),
        "inbox": shape(_REPLAY, "as `join`, without a room: what came before `welcome`"),
        "members": shape("room members total"),
        "rooms": shape("rooms total"),
        "who": shape("name sessions"),
        "typing": shape("", "nothing is stored"),
        "read": shape("room? with? seq:place", "the mark as it is now: it never goes back", _PLACE),
        "unread": shape("rooms:marked_rooms conversations", "your marks, and how many messages came after each"),
        "refresh": shape("expires_in~", "a token of the same sign-in prolongs the session"),
        "ping": shape(""),
    }
)
"""By op: what its `ok` holds."""

ENTRIES: Mapping[str, Shape] = MappingProxyType(
    {
        "message": shape(
            f"{_ENTRY} text? action reply_to~ salt? commitment? head", "somebody spoke in the room", _TEXT_OR_GONE
        ),
        "edited": shape(f"{_ENTRY} target text? salt? commitment? head", "a message has another text", _TEXT_OR_GONE),
        "deleted": shape(f"{_ENTRY} target head", "a message was taken back"),
        "reacted": shape(f"{_ENTRY} target emoji on head", "somebody put an emoji on a message, or took it off"),
        "topic": shape(f"{_ENTRY} text? salt? commitment? head", "the room is about something else", _TEXT_OR_GONE),
        "role": shape(f"{_ENTRY} whom role head", "somebody has another role in the room"),
        "invited": shape(
            "room? seq ts from cid~ whom into head", "may enter; in the inbox of who is invited it comes without `room`"
        ),
        "kicked": shape(f"{_ENTRY} whom reason head", "is taken out of the room"),
        "banned": shape(f"{_ENTRY} whom until~ reason head", "is taken out of the room and may not come back"),
        "unbanned": shape(f"{_ENTRY} whom head", "may come back"),
        "muted": shape(f"{_ENTRY} whom until~ reason head", "may not say anything"),
        "unmuted": shape(f"{_ENTRY} whom head", "may speak again"),
        "slow": shape(f"{_ENTRY} seconds head", "how long everybody has to wait between two messages"),
        "visibility": shape(f"{_ENTRY} visibility head", "who finds the room and may enter it"),
        "private": shape(
            "seq ts from cid~ to text? salt? commitment? head",
            "an entry of your inbox; your own devices get what you sent, too",
            _TEXT_OR_GONE,
        ),
    }
)
"""By name: the events that are entries of a log. The fields between `cid` and `head`, without the salt, are hashed in
this order."""

EVENTS: Mapping[str, Shape] = MappingProxyType(
    {
        "welcome": shape("username session expires_in~ version limits inbox", "the first"),
        **ENTRIES,
        "joined": shape("room from", "the first session of somebody has come"),
        "left": shape("room from", "the last one has gone"),
        "typing": shape("room? from", "without `room`: to you"),
        "read": shape("room? with? seq:place", "you have read so far, on another device", _PLACE),
        "draining": shape("reconnect_after_ms", "the server is going away"),
    }
)
"""By name: every event."""

LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "text": "bytes of one text",
        "commands_per_s": "requests a second, 0 for no limit",
        "commands_at_once": "requests in one burst",
        "joins_per_minute": "rooms entered a minute, 0 for no limit",
        "private_targets_per_minute": "different people written to privately a minute, 0 for no limit",
        "history_page": "messages in one answer to `history`",
        "rooms": "rooms that a session may be in",
        "sessions": "sessions of one identity",
        "ping_interval_ms": "silence after which the server pings",
        "typing_interval_ms": "between two signs that you are typing",
    }
)
"""What `welcome` says under `limits`: all are whole numbers."""

PARTS: Mapping[str, Shape] = MappingProxyType(
    {
        "cursor": shape("epoch seq:place head?~"),
        "position": shape("epoch floor last head"),
        "stamp": shape("seq ts from?"),
        "member": shape("name sessions role:standing"),
        "sentence": shape("name until~ reason"),
        "room_count": shape("room members:number"),
        "marked_room": shape("room read unread"),
        "conversation": shape("with read unread"),
        "told": shape(
            "seq ts from cid~ to? action? reply_to?~ text? edited? deleted? reactions?",
            either=(("text",), ("deleted",)),
        ),
        "error": shape("code message temporary retry_after_ms?"),
    }
)
"""By name: objects within others. `told` is a message as it is now, `stamp` what has become of it."""
