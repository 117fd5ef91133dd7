"""How a room stands: who is what in it, who may not be there or not speak, who finds it. A fold of its rules. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from .commands import Ban, Command, Govern, Invite, Judge, Mute, Rank, SetTopic, Slow, Unban, Unmute
from .errors import Refusal, Temporary
from .model import (
    Banned,
    Entry,
    Identity,
    Invited,
    Kicked,
    Muted,
    Opened,
    Ranked,
    Role,
    Slowed,
    Titled,
    Unbanned,
    Unmuted,
    name_of,
)
from .table import MAY

RANKS = {str(role): role for role in Role}
SLOW_MODE = "slow_mode"
LONGEST_SLOW = 6 * 3600  # seconds between two messages; Discord's slow mode ends there, too


class Sentence(NamedTuple):
    """A ban or a mute: `until` then (milliseconds since 1970), or for good."""

    until: int | None
    reason: str

    def holds(self, now_ms: int) -> bool:
        return self.until is None or now_ms < self.until


class Standing:
    """Moved by committed entries alone. Roles and invitations are somebody's own, by key; bans and mutes go by name."""

    __slots__ = ("banned", "invited", "muted", "roles", "seconds", "topic", "visibility")

    def __init__(self, rules: Iterable[Entry] = ()) -> None:
        """`rules`: the last entry of each kind, and about each person, in the log's order."""
        self.roles: dict[str, Role] = {}
        self.invited: set[str] = set()
        self.banned: dict[str, Sentence] = {}
        self.muted: dict[str, Sentence] = {}
        self.topic = ""
        self.seconds = 0  # between two things that a member says
        self.visibility = "public"
        for entry in rules:
            self.apply(entry)

    def apply(self, entry: Entry) -> None:
        match entry.content:
            case Titled(text):
                self.topic = text
            case Ranked(whom, role):
                self.roles[whom] = RANKS[role]
            case Invited(whom):
                self.invited.add(whom)
            case Kicked(whom):
                self._dismiss(whom)
            case Banned(whom, until, reason):
                self._dismiss(whom)
                self.banned = _holding(self.banned, entry.ts)  # what has ended is over, whatever becomes of the clock
                self.banned[name_of(whom)] = Sentence(until, reason)
            case Unbanned(whom):
                self.banned.pop(name_of(whom), None)
            case Muted(whom, until, reason):
                self.muted = _holding(self.muted, entry.ts)
                self.muted[name_of(whom)] = Sentence(until, reason)
            case Unmuted(whom):
                self.muted.pop(name_of(whom), None)
            case Slowed(seconds):
                self.seconds = seconds
            case Opened(visibility):
                self.visibility = visibility

    def _dismiss(self, whom: str) -> None:
        self.roles.pop(whom, None)
        self.invited.discard(whom)

    # Questions.

    def role_of(self, identity: Identity) -> Role:
        """What it is here: what its token says, or what the room has made it, whichever is more."""
        return max(identity.role, self.roles.get(identity.key, Role.GUEST))

    @property
    def owned(self) -> bool:
        return Role.OWNER in self.roles.values()

    def admits(self, identity: Identity) -> bool:
        """Whether it may know of the room and enter it, but for a ban."""
        known = identity.key in self.roles or identity.key in self.invited
        return self.visibility != "private" or known or identity.role >= Role.MODERATOR

    def check_entry(self, identity: Identity, now_ms: int) -> None:
        """Raises Refusal if it may not be in the room."""
        sentence = self.banned.get(identity.name)
        if sentence is not None and sentence.holds(now_ms) and self.role_of(identity) < Role.MODERATOR:
            raise Refusal("banned", "you are banned from that room")
        if not self.admits(identity):
            raise Refusal("invite_only", "that room is private; somebody who runs it has to invite you")

    def check_voice(self, identity: Identity, now_ms: int) -> None:
        """Raises Refusal if it may not say anything here now."""
        sentence = self.muted.get(identity.name)
        if sentence is not None and sentence.holds(now_ms) and self.role_of(identity) < Role.MODERATOR:
            raise Refusal("muted", "you may not say anything in this room for now; others can still read you elsewhere")

    def check_pace(self, identity: Identity, last_ms: int | None, now_ms: int) -> None:
        """Raises Temporary if it has said something here too lately, at `last_ms`."""
        if not self.seconds or last_ms is None or self.role_of(identity) >= Role.MODERATOR:
            return
        wait = last_ms + 1000 * self.seconds - now_ms
        if 0 < wait <= 1000 * self.seconds:  # else the clock was turned back, and nobody waits for that
            raise Temporary(SLOW_MODE, f"this room takes one message in {self.seconds} s from each; wait", wait)

    # Deciding about rules.

    def check_right(self, identity: Identity, command: Command, *, untouched: bool) -> None:
        """Raises Refusal if that is not for it to do. `untouched`: nothing has ever been said or ruled in the room."""
        needed = MAY.get(type(command))
        if not needed or (isinstance(command, SetTopic) and not self.owned):
            return
        founds = isinstance(command, Rank) and (command.name, command.role) == (identity.name, str(Role.OWNER))
        if founds and untouched and not identity.guest:
            return
        if self.role_of(identity) < needed:
            article = "an" if needed is Role.OWNER else "a"
            hint = "" if self.owned else "; nobody owns it; who has registered may found a new one"
            raise Refusal("not_allowed", f"that is for {article} {needed} of this room to do{hint}")

    def check_rule(self, identity: Identity, command: Govern, about: Identity, now_ms: int, most: int) -> None:
        """Raises Refusal if this identity, which has the right to make such rules, may not make this one.

        `about`: whom it is about, if it is about somebody. `most`: people that one kind of rule may be about."""
        if isinstance(command, Judge) and not isinstance(command, Invite):
            own = isinstance(command, Rank) and about.key == identity.key
            if not own and self.role_of(about) >= self.role_of(identity):
                raise Refusal("not_allowed", "you can do that only to who has less to say here than you")
        match command:
            case Slow(_, seconds) if seconds > LONGEST_SLOW:
                raise Refusal("field_invalid", f"seconds: not a whole number up to {LONGEST_SLOW}")
            case Rank(_, _, role):
                self._check_rank(identity, about, RANKS[role])
                _check_room(self.roles, about.key, most)
            case Invite():
                _check_room(self.invited, about.key, most)
            case Ban(_, name):
                _check_room(_holding(self.banned, now_ms), name, most)
            case Mute(_, name):
                _check_room(_holding(self.muted, now_ms), name, most)
            case Unban(_, name) if name not in self.banned:
                raise Refusal("not_banned", "nobody of that name is banned from this room")
            case Unmute(_, name) if name not in self.muted:
                raise Refusal("not_muted", "nobody of that name is muted in this room")

    def _check_rank(self, identity: Identity, about: Identity, role: Role) -> None:
        if about.guest:
            raise Refusal(
                "guest_role", "a guest can have no role, its name may be another's tomorrow; it has to register"
            )
        owners = [key for key, held in self.roles.items() if held is Role.OWNER]
        if owners == [about.key] and role is not Role.OWNER and identity.role is not Role.OWNER:
            raise Refusal("last_owner", "that is the last owner of this room; make somebody else one first")


def _holding(sentences: Mapping[str, Sentence], now_ms: int) -> dict[str, Sentence]:
    return {name: sentence for name, sentence in sentences.items() if sentence.holds(now_ms)}


def _check_room(rules: Collection[str], about: str, most: int) -> None:
    if about not in rules and len(rules) >= most:
        raise Refusal("too_many_rules", f"a room has at most {most} such rules; take others back first")
