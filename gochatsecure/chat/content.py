"""What each command that has to be stored becomes, and whether it says again what its `cid` has said before. Pure."""

from __future__ import annotations

from .chain import is_erased
from .commands import (
    Append,
    Ban,
    Delete,
    Edit,
    Invite,
    Judge,
    Kick,
    Mute,
    Open,
    Rank,
    React,
    Say,
    SetTopic,
    Slow,
    Tell,
    Unban,
    Unmute,
)
from .model import (
    Banned,
    Content,
    Deleted,
    Draft,
    Edited,
    Entry,
    Invited,
    Kicked,
    Muted,
    Opened,
    Posted,
    Ranked,
    Reacted,
    Slowed,
    Stream,
    Titled,
    Told,
    Unbanned,
    Unmuted,
    inbox_stream,
    room_stream,
    shown,
    text_of,
)


def content_of(command: Append, whom: str, now_ms: int) -> Content:
    """`whom`: the key of who it is said to, or is about, if anybody."""
    match command:
        case Say(_, text, action, _, reply_to):
            return Posted(text, action, reply_to)
        case Tell(_, text):
            return Told(whom, text)
        case Edit(_, seq, text):
            return Edited(seq, text)
        case Delete(_, seq):
            return Deleted(seq)
        case React(_, seq, emoji, on):
            return Reacted(seq, emoji, on)
        case SetTopic(_, text):
            return Titled(text)
        case Rank(_, _, role):
            return Ranked(whom, role)
        case Invite(room):
            return Invited(whom, room)
        case Kick(_, _, reason):
            return Kicked(whom, reason)
        case Ban(_, _, seconds, reason):
            return Banned(whom, _until(now_ms, seconds), reason)
        case Unban():
            return Unbanned(whom)
        case Mute(_, _, seconds, reason):
            return Muted(whom, _until(now_ms, seconds), reason)
        case Unmute():
            return Unmuted(whom)
        case Slow(_, seconds):
            return Slowed(seconds)
        case Open(_, visibility):
            return Opened(visibility)


def _until(now_ms: int, seconds: int | None) -> int | None:
    return None if seconds is None else now_ms + 1000 * seconds


def is_repeat(draft: Draft, first: Entry) -> bool:
    """Whether the draft says what its cid has said before."""
    stream, content = draft.parts[0]
    return _same(stream, content, draft.ts, first)


def says_again(command: Append, first: Entry) -> bool:
    """Whether the command asked for this entry, whatever has become of its room and its people since."""
    if isinstance(command, Tell):
        return _same(inbox_stream(first.sender), content_of(command, command.to, 0), 0, first)
    whom = command.name if isinstance(command, Judge) else ""
    return _same(room_stream(command.room), content_of(command, whom, 0), 0, first)


def _same(stream: Stream, content: Content, ts: int, first: Entry) -> bool:
    """Of what was erased since, all but the text is compared."""
    if is_erased(first) and text_of(content) is not None:
        content = content._replace(text="")  # type: ignore[call-arg]
    return (stream, _asked(content, ts)) == (first.stream, _asked(first.content, first.ts))


def _asked(content: Content, ts: int) -> tuple[object, ...]:
    """What was asked for: people by their names, and for how long instead of until when."""
    if isinstance(content, Banned | Muted) and content.until is not None:
        content = content._replace(until=content.until - ts)
    return type(content), shown(content)
