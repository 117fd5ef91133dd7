"""Following a log at the client's end: the cursor, and whether each entry follows from the one before. Pure."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any

from ..chat.chain import follows
from ..chat.model import KINDS, Cursor, Entry, inbox_stream, room_stream
from .errors import HistoryFork


def decoded(text: str) -> bytes:
    """Of base64url without padding. Raises ValueError."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def entry_of(event: dict[str, Any], name: str) -> Entry:
    """The entry that an event of the JSON protocol shows; `name` is one's own. Raises HistoryFork if it is none."""
    try:
        stream = room_stream(event["room"]) if "room" in event else inbox_stream(name)
        kind = KINDS[event["event"]]
        seal = decoded(event.get("salt") or event.get("commitment") or "")
        content = kind(*(event.get(field, "") if field == "text" else event[field] for field in kind._fields))
        head = decoded(event["head"])
        return Entry(stream, event["seq"], event["ts"], event["from"], event["cid"], content, head, seal)
    except (KeyError, TypeError, ValueError):
        raise HistoryFork("the server shows an entry that is none") from None


def advanced(cursor: Cursor, entry: Entry) -> Cursor:
    """The cursor behind this entry. Raises HistoryFork unless it is the very next one."""
    if entry.seq != cursor.seq + 1:
        raise HistoryFork(f"{entry.stream}: entry {entry.seq} came after entry {cursor.seq}")
    if cursor.head is not None and not follows(entry, cursor.head):
        raise HistoryFork(f"{entry.stream}: entry {entry.seq} does not follow from what was shown before")
    return Cursor(cursor.epoch, entry.seq, entry.head)


def left_by(event: dict[str, Any], name: str) -> str:
    """The room that whoever has this name is in no more, after this entry; "" for none."""
    return str(event["room"]) if event["event"] in ("kicked", "banned") and event["whom"] == name else ""
