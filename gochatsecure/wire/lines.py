"""The lines protocol: what a person types and reads, with any WebSocket client. Pure.

A line of output is one line: nothing inside a message can make a line that looks like somebody else's, nor move a
terminal's cursor. Names hold no space, colon, parenthesis or sign, so that no name can look like another kind of line.
"""

from __future__ import annotations

import re

from ..chat.commands import Asked, Command, RequestId
from ..chat.errors import Refusal, Temporary
from ..chat.events import (
    Acked,
    Entered,
    Event,
    Found,
    HelpText,
    Joined,
    Left,
    Members,
    Messages,
    Presence,
    Refused,
    RoomList,
)
from ..chat.model import (
    Deleted,
    Edited,
    Entry,
    Message,
    Posted,
    Reacted,
    Titled,
    Told,
    inbox_stream,
    name_of,
)
from ..chat.table import BY_WORD, SAY, TABLE, TELL, Row, checked
from .websocket import frame

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
    typed = _UNSEEN.sub("", text, count=1)
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
    parameters = {parameter.name: parameter for parameter in row.parameters}
    if "room" in parameters and "room" not in row.typed:
        fields["room"] = room
    for name in row.typed:
        parameter = parameters[name]
        if parameter.kind == "text":
            word, typed = typed, ""
        else:
            word, _, typed = typed.lstrip(" ").partition(" ")
        if not word.strip():
            if parameter.required:
                raise Refusal("argument_missing", f"type it as: {_usage(row)}")
            continue
        value: object = word
        if parameter.kind == "count":
            if not re.fullmatch("[0-9]{1,6}", word) or int(word) < 1:
                raise Refusal("argument_invalid", f"N is a whole number from 1; type it as: {_usage(row)}")
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
        case Titled(text):
            return f"(Topic) {name}: {visible(text)}"


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
            return [f"# in {room}: {', '.join(name for name, _ in names)}{_more(total - len(names))}"]
        case RoomList(rooms, total):
            return [f"# rooms: {', '.join(f'{name} ({count})' for name, count in rooms)}{_more(total - len(rooms))}"]
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


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


LINES = Lines()
