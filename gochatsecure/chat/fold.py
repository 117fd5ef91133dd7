"""Messages as they are now: what was said, with what became of it since folded in. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .model import Deleted, Edited, Entry, Message, Posted, Reacted, Told, name_of


def fold(entries: Iterable[Entry]) -> list[Message]:
    """The messages among these entries of one log, which come in its order, with what the later ones say of them."""
    messages: dict[int, Message] = {}
    for entry in entries:
        match entry.content:
            case Posted(text) | Told(_, text):
                messages[entry.seq] = Message(entry, text)
            case Edited(target, text) if target in messages and messages[target].deleted is None:
                messages[target] = messages[target]._replace(text=text, edited=entry)
            case Deleted(target) if target in messages and messages[target].deleted is None:
                messages[target] = messages[target]._replace(text="", deleted=entry, reactions={})
            case Reacted(target, emoji, on) if target in messages and messages[target].deleted is None:
                messages[target] = _react(messages[target], emoji, name_of(entry.sender), on)
    return list(messages.values())


def _react(message: Message, emoji: str, name: str, on: bool) -> Message:
    names = [other for other in message.reactions.get(emoji, ()) if other != name]
    reactions = {**message.reactions, emoji: [*names, name] if on else names}
    return message._replace(reactions={emoji: names for emoji, names in reactions.items() if names})
