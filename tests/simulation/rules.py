"""How a room stands, by a plain reading of its log; who may be there; and whether an entry may stand where it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gochatsecure.chat.model import (
    Banned,
    Deleted,
    Edited,
    Entry,
    Identity,
    Invited,
    Kicked,
    Muted,
    Opened,
    Posted,
    Ranked,
    Reacted,
    Role,
    Slowed,
    Titled,
    Unbanned,
    Unmuted,
    name_of,
    person_of,
)

Sentences = dict[str, int | None]
"""By name: until when, in milliseconds since 1970, or None for good."""

_MODERATE = (Slowed, Invited, Kicked, Banned, Unbanned, Muted, Unmuted)
_JUDGE = (Kicked, Banned, Unbanned, Muted, Unmuted, Ranked)


class Rules:
    """`people`: by key, all that take part."""

    def __init__(self, people: Mapping[str, Identity], entries: Iterable[Entry] = ()) -> None:
        self._people = people
        self.roles: dict[str, Role] = {}
        self.invited: set[str] = set()
        self.banned: Sentences = {}
        self.muted: Sentences = {}
        self.topic = ""
        self.seconds = 0
        self.visibility = "public"
        for entry in entries:
            self.apply(entry)

    def apply(self, entry: Entry) -> None:
        content = entry.content
        whom = person_of(content) or ""
        if isinstance(content, Titled):
            self.topic = content.text
        elif isinstance(content, Ranked):
            self.roles[whom] = Role[content.role.upper()]
        elif isinstance(content, Invited):
            self.invited.add(whom)
        elif isinstance(content, Kicked | Banned):
            self.roles.pop(whom, None)
            self.invited.discard(whom)
            if isinstance(content, Banned):
                self.banned = _going_on(self.banned, entry.ts)
                self.banned[name_of(whom)] = content.until
        elif isinstance(content, Unbanned):
            self.banned.pop(name_of(whom), None)
        elif isinstance(content, Muted):
            self.muted = _going_on(self.muted, entry.ts)
            self.muted[name_of(whom)] = content.until
        elif isinstance(content, Unmuted):
            self.muted.pop(name_of(whom), None)
        elif isinstance(content, Slowed):
            self.seconds = content.seconds
        elif isinstance(content, Opened):
            self.visibility = content.visibility

    def role(self, key: str) -> Role:
        """Its token's, or what the room has made it."""
        by_token = self._people[key].role if key in self._people else Role.GUEST
        return max(by_token, self.roles.get(key, Role.GUEST))

    def refusal(self, key: str, *times: int) -> str | None:
        """The code with which it may not be here, at any of these times."""
        if self.role(key) >= Role.MODERATOR:
            return None
        if all(_holds(self.banned, key, time) for time in times):
            return "banned"
        if self.visibility == "private" and key not in self.roles and key not in self.invited:
            return "invite_only"
        return None

    def objection(self, entry: Entry, author: str) -> tuple[str, str] | None:
        """The check that this entry fails, being the next one, and why. `author`: whose message it is about."""
        content, sender = entry.content, entry.sender
        role = self.role(sender)
        speaks = isinstance(content, Posted | Edited | Reacted | Titled)
        if speaks and role < Role.MODERATOR and _holds(self.muted, sender, entry.ts):
            return "muted", f"{sender} is muted"
        if role < self._needed(entry):
            return "right", f"{sender} is a {role}"
        whom = person_of(content) or ""
        if isinstance(content, Ranked) and "~" in whom:
            return "right", f"{whom} is a guest"
        if isinstance(content, _JUDGE) and not (isinstance(content, Ranked) and whom == sender):
            # Somebody whose token says more is no more than a member while he is away.
            other = max(self.roles.get(whom, Role.GUEST), min(self.role(whom), Role.MEMBER))
            if other >= role and not (isinstance(content, Ranked) and entry.seq == 1):
                return "right", f"{whom} is a {other}, {sender} a {role}"
        if isinstance(content, Edited) and author != sender:
            return "right", f"{sender} edits what {author} has said"
        if isinstance(content, Deleted) and author != sender and not self._outranks(role, author):
            return "right", f"{sender}, a {role}, deletes what {author} has said"
        return None

    def _outranks(self, role: Role, author: str) -> bool:
        return role >= Role.MODERATOR and role > self.roles.get(author, Role.GUEST)

    def _needed(self, entry: Entry) -> Role:
        content = entry.content
        if isinstance(content, Ranked) and entry.seq == 1 and content.whom == entry.sender and "~" not in entry.sender:
            return Role.GUEST  # it founds the room
        if isinstance(content, Ranked | Opened):
            return Role.OWNER
        if isinstance(content, _MODERATE) or (isinstance(content, Titled) and Role.OWNER in self.roles.values()):
            return Role.MODERATOR
        return Role.GUEST


def _going_on(sentences: Sentences, ts: int) -> Sentences:
    """Those that had not ended when another of their kind was made."""
    return {who: until for who, until in sentences.items() if until is None or until > ts}


def _holds(sentences: Sentences, key: str, time: int) -> bool:
    until = sentences.get(name_of(key), 0)
    return until is None or time < until
