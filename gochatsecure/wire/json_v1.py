"""The JSON protocol, `gochatsecure.v1.json`: for programs. One object per text message. Pure.

A request is `{"op", "id", ...}`; its answer `{"re", "ok"}` or `{"re", "error"}`; all else is an event,
`{"event", ...}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..chat.chain import base64url, is_erased
from ..chat.commands import Asked, RequestId
from ..chat.errors import Refusal, Temporary
from ..chat.events import (
    Acked,
    BanList,
    Done,
    Draining,
    Entered,
    Event,
    Found,
    HelpText,
    Joined,
    Left,
    Marked,
    Members,
    Messages,
    Presence,
    Refreshed,
    Refused,
    Replay,
    Replayed,
    RoomList,
    Typing,
    UnreadList,
    Welcome,
)
from ..chat.model import KIND_OF, Entry, Message, Position, Posted, Told, name_of, room_of_stream, shown, text_of
from ..chat.table import BY_OP, Row, checked
from . import strict_json
from .frames import frame

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_Fields = dict[str, Any]
MALFORMED = "malformed"
"""The code of what is not this protocol at all."""


class JSONFormat:
    """The wire format of a client that asks for it by its name."""

    subprotocol = "gochatsecure.v1.json"
    greets = True

    def decode(self, text: str, room: str) -> Asked:
        try:
            fields = strict_json.decode(text)
        except (ValueError, RecursionError):
            return Asked(None, Refusal(MALFORMED, "not one JSON object, in which each field is there once"))
        if not isinstance(fields, dict):
            return Asked(None, Refusal(MALFORMED, "not a JSON object"))
        called = fields.get("id")
        if not _is_id(called):
            return Asked(None, Refusal(MALFORMED, "id: not a text of at most 64 printable characters, nor a number"))
        op = fields.get("op")
        row = BY_OP.get(op) if isinstance(op, str) else None
        if row is None:
            return Asked(called, Refusal("op_unknown", f"op: not one of {', '.join(BY_OP)}"))
        try:
            return Asked(called, _command(row, fields))
        except Refusal as refusal:
            return Asked(called, refusal)

    def frames(self, event: Event) -> bytes:
        if isinstance(event, Entry):
            return frame(_posted(event) or _encode(_entry(event)))
        if isinstance(event, Refused):
            return self.answer(None, event)
        return frame(_encode({"event": _NAMES[type(event)], **_fields(event)}))

    def answer(self, id: RequestId, event: Event) -> bytes:
        if isinstance(event, Refused):
            return frame(_encode({"re": id, "error": _error(event.refusal)}))
        if id is None:
            return b""  # the client does not want to know
        if isinstance(event, Acked):
            return frame(f'{{"re":{_encode(id)},"ok":{_acked(event)}}}')
        return frame(_encode({"re": id, "ok": _fields(event)}))


def _is_id(id: object) -> bool:
    if isinstance(id, str):
        return len(id) <= 64 and id.isprintable()
    return id is None or (type(id) is int and abs(id) < 2**53)


def _command(row: Row, fields: _Fields) -> Any:
    values = dict(row.fixed)
    for parameter in row.parameters:
        value = fields.get(parameter.name)
        if value is not None:
            values[parameter.field] = checked(parameter, value)
        elif parameter.required:
            raise Refusal("field_missing", f"{parameter.name}: is missing in {row.op}")
    return row.command(**values)


_NAMES: Mapping[type[Any], str] = {
    Welcome: "welcome",
    Joined: "joined",
    Left: "left",
    Typing: "typing",
    Marked: "read",
    Draining: "draining",
}


def _error(refusal: Refusal) -> _Fields:
    error: _Fields = {"code": refusal.code, "message": refusal.message, "temporary": refusal.temporary}
    if isinstance(refusal, Temporary):
        error["retry_after_ms"] = refusal.retry_after_ms
    return error


def _entry(entry: Entry) -> _Fields:
    """As an event: with all that its place in the chain is made of."""
    content = shown(entry.content)
    fields: _Fields = {"event": KIND_OF[type(content)]}
    if room := room_of_stream(entry.stream):
        fields["room"] = room
    fields |= {"seq": entry.seq, "ts": entry.ts, "from": name_of(entry.sender), "cid": entry.cid}
    fields |= zip(content._fields, content, strict=True)
    if is_erased(entry):
        del fields["text"]
        fields["commitment"] = base64url(entry.seal)
    elif text_of(content) is not None:
        fields["salt"] = base64url(entry.seal)
    fields["head"] = base64url(entry.head)
    return fields


def _posted(entry: Entry) -> str | None:
    """What `_entry` says of a message; None for another kind. Written out, like the acks: all others together are rare,
    and a dictionary costs four times as much."""
    stream, seq, ts, sender, cid, content, head, seal = entry
    if not isinstance(content, Posted) or is_erased(entry):
        return None
    text, action, reply_to = content
    return (
        f'{{"event":"message","room":{_encode(room_of_stream(stream))},"seq":{seq},"ts":{ts},'
        f'"from":{_encode(name_of(sender))},"cid":{_text_or_null(cid)},"text":{_encode(text)},'
        f'"action":{_FLAGS[action]},"reply_to":{"null" if reply_to is None else reply_to},'
        f'"salt":"{base64url(seal)}","head":"{base64url(head)}"}}'
    )


def _text_or_null(text: str | None) -> str:
    return "null" if text is None else _encode(text)


_FLAGS = {False: "false", True: "true"}


def _message(message: Message) -> _Fields:
    """A message as it is now."""
    entry, content = message.entry, shown(message.entry.content)
    fields: _Fields = {"seq": entry.seq, "ts": entry.ts, "from": name_of(entry.sender), "cid": entry.cid}
    fields |= zip(content._fields, content, strict=True)
    fields["text"] = message.text
    if message.edited is not None:
        fields["edited"] = {"seq": message.edited.seq, "ts": message.edited.ts}
    if message.deleted is not None:
        del fields["text"]
        gone = message.deleted
        fields["deleted"] = {"seq": gone.seq, "ts": gone.ts, "from": name_of(gone.sender)}
    if message.reactions:
        fields["reactions"] = message.reactions
    return fields


def _position(position: Position) -> _Fields:
    return {
        "epoch": position.epoch,
        "floor": position.floor,
        "last": position.last,
        "head": base64url(position.head),
    }


def _replay(replay: Replay) -> _Fields:
    events = [_entry(entry) for entry in replay.events]
    return {**_position(replay.position), "recovered": replay.recovered, "more": replay.more, "events": events}


def _members(members: Members) -> _Fields:
    listed = [{"name": name, "sessions": count, "role": str(role)} for name, count, role in members.members]
    return {"members": listed, "total": members.total}


def _sentences(sentences: Mapping[str, tuple[int | None, str]]) -> list[_Fields]:
    return [{"name": name, "until": until, "reason": reason} for name, (until, reason) in sentences.items()]


def _place(room: str | None, with_: str | None) -> _Fields:
    return {"room": room} if room is not None else {"with": with_}


def _fields(event: Event) -> _Fields:
    match event:
        case Welcome(name, session, expires_in, limits, version, inbox):
            about = {"username": name, "session": session, "expires_in": _whole(expires_in), "version": version}
            return {**about, "limits": dict(limits), "inbox": _position(inbox)}
        case Joined(room, name) | Left(room, name):
            return {"room": room, "from": name}
        case Typing(room, name):
            return {"room": room, "from": name} if room else {"from": name}
        case Marked(room, with_, seq):
            return {**_place(room, with_), "seq": seq}
        case Draining(after):
            return {"reconnect_after_ms": after}
        case Entered(room, _, role, replay, members, topic, visibility, slow):
            standing = {"role": str(role), "topic": topic, "visibility": visibility, "slow": slow}
            return {"room": room, **_replay(replay), **_members(members), **standing}
        case Replayed(replay):
            return _replay(replay)
        case Messages(room, with_, messages, first, last, more, floor):
            shown = [_message(message) for message in messages]
            return {
                **_place(room, with_),
                "messages": shown,
                "first": first,
                "last": last,
                "more": more,
                "floor": floor,
            }
        case Found(room, messages, before, more):
            return {"room": room, "messages": [_message(one) for one in messages], "before": before, "more": more}
        case Members(room):
            return {"room": room, **_members(event)}
        case BanList(room, banned, muted, banned_total, muted_total):
            totals = {"banned_total": banned_total, "muted_total": muted_total}
            return {"room": room, "banned": _sentences(banned), "muted": _sentences(muted), **totals}
        case RoomList(rooms, total):
            return {"rooms": [{"room": room, "members": count} for room, count in rooms], "total": total}
        case Presence(name, sessions):
            return {"name": name, "sessions": sessions}
        case UnreadList(rooms, conversations):
            return {
                "rooms": [{"room": room, "read": seq, "unread": count} for room, seq, count in rooms],
                "conversations": [{"with": name, "read": seq, "unread": count} for name, seq, count in conversations],
            }
        case Refreshed(expires_in):
            return {"expires_in": _whole(expires_in)}
        case Done() | HelpText():
            return {}
    raise TypeError(f"has no fields of its own: {type(event).__name__}")


def _whole(seconds: float) -> int | None:
    """None for ever: JSON has no infinity."""
    return int(seconds) if math.isfinite(seconds) else None


def _acked(acked: Acked) -> str:
    entry, epoch, dup, delivered = acked
    place = ""
    if room := room_of_stream(entry.stream):
        place = f'"room":{_encode(room)},'
    elif isinstance(entry.content, Told):
        place = f'"to":{_encode(name_of(entry.content.to))},'
    shown = "" if delivered is None else f',"delivered":{_FLAGS[delivered]}'
    return (
        f'{{{place}"cid":{_text_or_null(entry.cid)},"epoch":{_encode(epoch)},"seq":{entry.seq},'
        f'"head":"{base64url(entry.head)}","ts":{entry.ts},"dup":{_FLAGS[dup]}{shown}}}'
    )


JSON = JSONFormat()
