"""The lines protocol: what a person types and reads, with any WebSocket client. Pure.

A line of output is one line: nothing inside a message can make a line that looks like somebody else's, nor move a
terminal's cursor. Names hold no space, colon, parenthesis or sign, so that no name can look like another kind of line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from ..chat.commands import Asked, Command, RequestId
from ..chat.errors import Refusal, Temporary
from ..chat.events import (
    Acked,
    BanList,
    Entered,
    Event,
    Found,
    HelpText,
    Joined,
    Left,
    Member,
    Members,
    Messages,
    Presence,
    Refused,
    RoomList,
)
from ..chat.model import (
    Banned,
    Deleted,
    Edited,
    Entry,
    Invited,
    Kicked,
    Message,
    Muted,
    Opened,
    Posted,
    Ranked,
    Reacted,
    Role,
    Slowed,
    Titled,
    Told,
    Unbanned,
    Unmuted,
    inbox_stream,
    name_of,
    shown,
)
from ..chat.table import BY_WORD, KINDS, SAY, TABLE, TELL, Row, checked
from .frames import frame

# Code points that are written out: controls and line breaks; bidirectional controls; what cannot be seen. Not the
# joiners U+200C and U+200D, nor tags: Persian, Indic scripts, emoji and flags are written with them.
_HIDDEN = """
0-1f 7f-9f 2028-2029
61c 200e-200f 202a-202e 2066-2069
ad 34f 115f-1160 17b4-17b5 180b-180f 200b 2060-2065 206a-206f 2800 3164 feff ffa0 fff0-fffb 1bca0-1bca3 1d173-1d17a
e0001
"""
_UNSEEN = re.compile("[\\s\u00ad\u200b-\u200f\u2060-\u2064\ufeff]*")  # before the first sign that is seen
_AT = {"@", "\uff20", "\ufe6b"}
_SLASH = {"/", "\uff0f"}
_DIGITS = {"count": "0{0,5}[1-9][0-9]{0,5}", "seconds": "[1-9][0-9]{0,8}", "place": "[0-9]{1,9}"}  # as they are typed


def visible(text: str) -> str:
    """The text with every control character written out, as `\\n` or `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_ESCAPES)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_RANGES = (item.partition("-") for item in _HIDDEN.split())
_ESCAPES = {
    code: _escape(code) for first, _, last in _RANGES for code in range(int(first, 16), int(last or first, 16) + 1)
}
_ESCAPES |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class Lines:
    """The wire format of a client that asks for no subprotocol, or for this one."""

    subprotocol = "gochatsecure.v1.lines"

    greets = False

    def decode(self, text: str, room: str) -> Asked:
        """What begins with `/` or `@`, after spaces or full-width, is never said to the room: a slip tells nobody."""
        try:
            return Asked(None, _decode(text.rstrip("\r\n"), room))
        except Refusal as refusal:
            return Asked(None, refusal)

    def frames(self, event: Event) -> bytes:
        if isinstance(event, Entry):  # the busiest kind, first
            return frame(_entry(event))
        return b"".join(map(frame, _lines(event)))

    def answer(self, id: RequestId, event: Event) -> bytes:
        return b"" if isinstance(event, Acked) else self.frames(event)  # what one has said is shown: that is the answer


def _decode(text: str, room: str) -> Command:
    unseen = _UNSEEN.match(text)
    typed = text[unseen.end() :] if unseen else text
    if typed[:1] in _AT:
        return _command(TELL, typed[1:], room)
    if typed[:1] not in _SLASH:
        return _command(SAY, text, room)
    typed = "/" + typed[1:]
    if typed.startswith("//"):
        return _command(SAY, typed[1:], room)
    word, _, rest = typed.partition(" ")
    row = BY_WORD.get(word.lower())
    if row is None:
        raise Refusal("command_unknown", "no such command; /help lists them, //text says what begins with /")
    return _command(row, rest, room)


def _command(row: Row, typed: str, room: str) -> Command:
    fields: dict[str, object] = dict(row.fixed)
    parameters = row.known
    if "room" in parameters and "room" not in row.typed:
        fields["room"] = room
    for name in row.typed:
        parameter = parameters[name]
        rest = typed
        if parameter.kind in ("text", "reason"):
            word, typed = typed.strip() if parameter.kind == "reason" else typed, ""
        else:
            word, _, typed = typed.lstrip(" ").partition(" ")
        if not word.strip():
            if parameter.required:
                raise Refusal("argument_missing", f"type it as: {_usage(row)}")
            continue
        value: object = word
        if parameter.kind in _DIGITS:
            if not word.isdecimal() and not parameter.required and name != row.typed[-1]:
                typed = rest  # it is left out: this is the next one
                continue
            if not re.fullmatch(_DIGITS[parameter.kind], word):
                detail = f"that is not {KINDS[parameter.kind]}, or too many digits; type it as: {_usage(row)}"
                raise Refusal("argument_invalid", detail)
            value = int(word)
        fields[parameter.field] = checked(parameter, value)
    if typed.strip():
        raise Refusal("argument_unexpected", f"there is something too much; type it as: {_usage(row)}")
    command: Command = row.command(**fields)
    return command


def _usage(row: Row) -> str:
    return "TEXT" if row is SAY else row.usage


def _entry(entry: Entry) -> str:
    name = name_of(entry.sender)
    match entry.content:
        case Posted() | Told():
            return _message(Message(entry, entry.content.text))
        case Edited(_, text):
            return f"(Edited) {name}: {visible(text)}"
        case Deleted():
            return f"(Deleted) {name} took a message back"
        case Reacted(_, emoji, on):
            return f"(Reaction) {name}: {visible(emoji)}" if on else f"(Reaction) {name} took {visible(emoji)} back"
    return _rule(name, entry)


def _rule(name: str, entry: Entry) -> str:
    """What somebody has decided about the room, or about somebody in it."""
    match shown(entry.content):
        case Titled(text):
            return f"(Topic) {name}: {visible(text)}"
        case Ranked(whom, role):
            return f"(Room) {name} made {whom} {'an' if role == 'owner' else 'a'} {role}"
        case Invited(whom, into):
            return f"(Room) {name} invited {whom} to {into}"
        case Kicked(whom, reason):
            return f"(Room) {name} took {whom} out{_because(reason)}"
        case Banned(whom, until, reason):
            return f"(Room) {name} banned {whom}{_until(until)}{_because(reason)}"
        case Unbanned(whom):
            return f"(Room) {name} took the ban of {whom} back"
        case Muted(whom, until, reason):
            return f"(Room) {name} muted {whom}{_until(until)}{_because(reason)}"
        case Unmuted(whom):
            return f"(Room) {name} lets {whom} speak again"
        case Slowed(seconds):
            return f"(Room) {name} set one message in {seconds} s" if seconds else f"(Room) {name} took slow mode back"
        case Opened(visibility):
            return f"(Room) {name} made this room {visibility}"
    raise TypeError(f"is no rule: {type(entry.content).__name__}")


def _because(reason: str) -> str:
    return f": {visible(reason)}" if reason else ""


def _until(until: int | None) -> str:
    if until is None:
        return ""
    return f" until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _message(message: Message) -> str:
    """As it is now."""
    entry = message.entry
    name, text = name_of(entry.sender), visible(message.text)
    if message.deleted is not None:
        return f"(Deleted) a message of {name}"
    edited = "(Edited) " if message.edited is not None else ""
    match entry.content:
        case Told(to) if entry.stream == inbox_stream(entry.sender):
            return f"(Private) to {name_of(to)}: {text}"
        case Told():
            return f"(Private) {name}: {text}"
        case Posted(action=True):
            return f"{edited}* {name} {text}"
    return f"{edited}{name}: {text}"


def _lines(event: Event) -> list[str]:
    match event:
        case Entry():
            return [_entry(event)]
        case Joined(_, name):
            return [f"{name} joined the room"]
        case Left(_, name):
            return [f"{name} left the room"]
        case Entered(name=name, topic=topic, recent=recent):
            about = [f"# topic: {visible(topic)}"] if topic else []
            return [*map(_message, recent), *about, f"{name} joined the room"]
        case Messages(messages=messages):
            return [*map(_message, messages)]
        case Found(messages=found):
            return [*map(_message, reversed(found))] or ["# nothing found"]
        case Members(room, names, total):
            return [f"# in {room}: {', '.join(map(_member, names))}{_more(total - len(names))}"]
        case RoomList(rooms, total):
            return [f"# rooms: {', '.join(f'{name} ({count})' for name, count in rooms)}{_more(total - len(rooms))}"]
        case BanList(room, banned, muted, banned_total, muted_total):
            return [
                f"# banned from {room}: {_sentences(banned)}{_more(banned_total - len(banned))}",
                f"# muted in {room}: {_sentences(muted)}{_more(muted_total - len(muted))}",
            ]
        case Presence(name, sessions):
            return [f"# {name} is {'connected' if sessions else 'not connected'}"]
        case HelpText():
            return [f"# {_usage(row)}: {row.help}" for row in (SAY, TELL, *TABLE) if row.word is not None]
        case Refused(refusal):
            wait = ""
            if isinstance(refusal, Temporary):
                wait = f"; try again in {max(0.1, refusal.retry_after_ms / 1000):.1f} s"
            return [f"! {refusal.message}{wait}"]
    return []  # acks, marks, typing: nothing that a line would tell


def _member(member: Member) -> str:
    return f"{member.name} ({member.role})" if member.role >= Role.MODERATOR else member.name


def _sentences(sentences: Mapping[str, tuple[int | None, str]]) -> str:
    return "; ".join(f"{name}{_until(until)}{_because(why)}" for name, (until, why) in sentences.items()) or "nobody"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


LINES = Lines()
