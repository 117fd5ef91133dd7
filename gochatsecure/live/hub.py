"""Sessions in rooms: commands are decided, appended, committed, applied, shown. Runs on one loop, without locks.

Only what the log hands back as committed is shown. Within a room everybody is shown the same entries in the same
order, because they come from one list that is formatted once for each wire format.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

from ..auth.guests import KeptNames
from ..auth.rates import Rates
from ..chat.errors import Refusal, Temporary
from ..chat.model import (
    Backlog,
    Command,
    Entry,
    Event,
    History,
    Identity,
    Join,
    Joined,
    Left,
    Quit,
    Refused,
    Say,
    Stream,
    Tell,
    inbox_stream,
    room_of_stream,
    room_stream,
)
from ..chat.names import skeleton
from ..chat.state import Lobby, Room, canonical_room_or_refuse
from ..limits import Limits
from ..log.port import Committed, Failed, Log, Outcome
from ..wire.formats import WireFormat
from ..wire.websocket import FLOODING, INTERNAL_ERROR, NORMAL, TOKEN_EXPIRED, TOO_MANY_SESSIONS, TRY_AGAIN_LATER
from .session import Session

_logger = logging.getLogger("gochatsecure")
Waiting = Coroutine[object, object, None]
Step = Callable[[], Waiting]
"""What has to be awaited, not begun yet: a coroutine that nobody comes to await would be complained about."""


class Hub:
    """Who is connected and who follows what."""

    def __init__(
        self,
        log: Log,
        *,
        limits: Limits,
        history: int,
        message_rate: float,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`history`: entries shown on joining. `message_rate`: messages a second and identity; 0 for no limit.

        `wall` gives seconds since 1970, `monotonic` seconds that only grow.
        """
        self._log = log
        self._limits = limits
        self._history = history
        self._wall = wall
        self._monotonic = monotonic
        self._lobby = Lobby(max_text=limits.text, names_listed=limits.names_listed)
        self._rates = Rates(message_rate, message_rate * limits.message_burst_s, limits.tracked_addresses)
        crowd = message_rate * limits.identities_per_address
        self._address_rates = Rates(crowd, crowd * limits.message_burst_s, limits.tracked_addresses)
        self._followers: dict[Stream, dict[WireFormat, set[Session]]] = {}
        self._opening: Counter[str] = Counter()  # by room: how many are reading its log to enter it
        self._kept = KeptNames(limits.guest_grace_s)
        self._draining = False
        self.sessions: set[Session] = set()

    # Coming and going.

    def is_free(self, name: str, bearer: Identity | None) -> bool:
        """Whether the bearer of this identity (None: somebody new, as a guest) may use the name now.

        A guest has its name, and those that look like it, for one sign-in; who is no guest owns the name, and any
        guest yields.
        """
        if bearer is not None and not bearer.guest:
            return True
        key = bearer.key if bearer else None
        if any(holder.key != key for holder in self._lobby.lookalikes(name)):
            return False
        keeper = self._kept.keeper(skeleton(name), self._monotonic())
        return keeper is None or keeper == key

    def connect(self, session: Session) -> bool:
        """Take in a session whose name is free for it; False if it had to be closed at once."""
        identity = session.identity
        for holder in self._lobby.lookalikes(identity.name):
            if holder.guest and holder.key != identity.key:
                for other in self._following(inbox_stream(holder.key)):
                    other.link.close(TOKEN_EXPIRED, "the owner of this name has come")
        if self._lobby.sessions_of(identity.name) >= self._limits.sessions_per_identity:
            session.open = False
            session.link.close(TOO_MANY_SESSIONS, "too many sessions of one identity")
            return False
        self._lobby.arrive(identity)
        self.sessions.add(session)
        self._follow(session, inbox_stream(identity.key))
        return True

    def disconnect(self, session: Session) -> None:
        """The session's connection is gone, or going. Twice is no error."""
        session.open = False
        if session not in self.sessions:
            return
        self.sessions.remove(session)
        self._leave(session)
        for stream in list(session.follows):
            self._unfollow(session, stream)
        identity = session.identity
        if self._lobby.depart(identity):
            self._kept.keep(skeleton(identity.name), identity.key, self._monotonic())

    async def join(self, session: Session, name: str) -> None:
        """Leave the room the session is in and enter this one. Raises Refusal."""
        name = canonical_room_or_refuse(name)
        if name == session.room:
            raise Refusal("already_joined", "you are in that room")
        if not session.identity.may_enter(name):
            raise Refusal("room_forbidden", "your token does not let you into that room")
        if self._draining:
            raise _going_away()
        try:
            room = await self._open(name)
            if session.open:
                self._enter(session, room)
        finally:
            self._forget_if_idle(name)

    async def first_join(self, session: Session, name: str) -> None:
        """As `join`, for a session that has just connected: a refusal ends it, since it would be nowhere."""
        try:
            await self.join(session, name)
        except Refusal as refusal:
            session.show(Refused(refusal))
            session.link.close(TRY_AGAIN_LATER, refusal.message)

    async def _open(self, name: str) -> Room:
        """The room, with the end of its log at hand. While somebody opens a room, it is not forgotten."""
        if (room := self._lobby.rooms.get(name)) is not None:
            return room
        self._opening[name] += 1
        try:
            kept = max(1, self._history)
            tail = await self._log.tail(room_stream(name), kept)
            if (room := self._lobby.rooms.get(name)) is None:  # else another has opened it meanwhile: that one is newer
                room = self._lobby.rooms[name] = Room(name, tail, kept)
            return room
        finally:
            self._opening[name] -= 1
            if not self._opening[name]:
                del self._opening[name]

    def _enter(self, session: Session, room: Room) -> None:
        """Show the backlog and attach what follows it, in one step: nothing can come between the two."""
        self._leave(session)
        session.room = room.name
        session.show(self._backlog(room.name, room.recent(self._history) or ()))
        self._follow(session, room.stream)
        joined = Joined(room.name, session.identity.name)
        if self._lobby.enter(room, session.identity):
            self._show(room.stream, (joined,))
        else:
            session.show(joined)

    def _leave(self, session: Session) -> None:
        if not session.room:
            return
        room = self._lobby.rooms[session.room]
        session.room = ""
        self._unfollow(session, room.stream)
        if self._lobby.leave(room, session.identity) and not self._draining:
            self._show(room.stream, (Left(room.name, session.identity.name),))
        self._forget_if_idle(room.name)

    def _forget_if_idle(self, name: str) -> None:
        room = self._lobby.rooms.get(name)
        if room is not None and room.idle and name not in self._opening:
            del self._lobby.rooms[name]

    # Commands.

    def receive(self, session: Session, text: str) -> Waiting | None:
        """Do what the session's text asks. What it returns, if anything, MUST be awaited before its next text."""
        asked: Command | Refusal
        try:
            self._admit(session)
            asked = session.format.decode(text, session.room)
            if not session.pending or isinstance(asked, Say | Tell):
                step = self._do(session, asked)
                if step is None:
                    session.refusals = 0
                    return None
                return self._finish(session, step)
        except Refusal as refusal:
            if not session.pending:
                self._refuse(session, refusal)
                return None
            asked = refusal
        return self._finish(session, partial(self._after_pending, session, asked))

    def _admit(self, session: Session) -> None:
        """Raises Temporary when no command can be taken from this session now."""
        if self._draining:
            raise _going_away()
        now = self._monotonic()
        wait = self._rates.take(session.identity.key, now) or self._address_rates.take(session.address, now)
        if wait:
            raise Temporary("rate_limited", "that was too fast; nothing was sent", int(wait * 1000) + 1)

    async def _after_pending(self, session: Session, asked: Command | Refusal) -> None:
        """What a session asks takes effect in its order: first what it has said is stored and shown."""
        if session.pending:
            session.settled = asyncio.get_running_loop().create_future()
            await session.settled
        if isinstance(asked, Refusal):
            raise asked
        if session.open and (step := self._do(session, asked)) is not None:
            await step()

    async def _finish(self, session: Session, step: Step) -> None:
        try:
            await step()
            session.refusals = 0
        except Refusal as refusal:
            self._refuse(session, refusal)

    def _do(self, session: Session, command: Command) -> Step | None:
        match command:
            case Say() | Tell():
                self._append(session, command)
            case Join(room):
                return partial(self.join, session, room)
            case History(room, limit):
                return partial(self._look_back, session, room, limit or self._history)
            case Quit():
                session.link.close(NORMAL, "bye")
            case _:
                session.show(self._lobby.answer(session.identity, command))
        return None

    def _append(self, session: Session, command: Say | Tell) -> None:
        draft = self._lobby.decide(session.identity, command, int(self._wall() * 1000))
        self._log.append(draft._replace(context=session))
        session.pending += 1
        if isinstance(command, Say):
            self._lobby.rooms[command.room].pending += 1

    async def _look_back(self, session: Session, name: str, limit: int) -> None:
        room = self._lobby.room_of(session.identity, name)
        limit = min(limit, self._limits.history_page)
        entries = room.recent(limit)
        if entries is None:
            read = await self._log.tail(room.stream, limit)
            entries = [entry for entry in read if entry.seq <= room.last]  # what is newer comes as it is committed
        if session.room == name:
            session.show(self._backlog(name, entries))

    def _backlog(self, room: str, entries: Sequence[Entry]) -> Backlog:
        """The newest of these entries that may go into one answer."""
        size, first = 0, len(entries)
        while first and size <= self._limits.backlog:
            first -= 1
            size += len(entries[first].content.text)
        return Backlog(room, entries[first:])

    def _refuse(self, session: Session, refusal: Refusal) -> None:
        session.refusals += 1
        if session.refusals > self._limits.refusals:
            session.link.close(FLOODING, "too many refused commands")
        else:
            session.show(Refused(refusal))

    # What has been committed.

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """The log's sink: apply and show what one commit brought, each room's entries in one piece.

        A private message has its place between them: who sees it also sees what was said before it, before it.
        """
        rooms: dict[Stream, list[Entry]] = {}
        for outcome in outcomes:
            if isinstance(outcome, Committed) and not outcome.dup:
                for entry in outcome.entries:
                    self._lobby.apply(entry)
                    if not room_of_stream(entry.stream):
                        self._show_all(rooms)
                        self._show(entry.stream, (entry,))
                    else:
                        rooms.setdefault(entry.stream, []).append(entry)
        self._show_all(rooms)
        for outcome in outcomes:
            self._settle(outcome)

    def _show_all(self, gathered: dict[Stream, list[Entry]]) -> None:
        for stream, entries in gathered.items():
            self._show(stream, entries)
        gathered.clear()

    def _settle(self, outcome: Outcome) -> None:
        """The draft is no longer under way: its room may be forgotten, its sender may go on."""
        name = room_of_stream(outcome.draft.parts[0][0])
        if name:
            self._lobby.rooms[name].pending -= 1
            self._forget_if_idle(name)
        session = outcome.draft.context
        assert isinstance(session, Session)
        session.pending -= 1
        if session.settled is not None and not session.pending:
            if not session.settled.done():
                session.settled.set_result(None)
            session.settled = None
        if session.open:
            if isinstance(outcome, Failed):
                self._refuse(session, outcome.refusal)
            session.link.drained()

    # Fan-out.

    def _follow(self, session: Session, stream: Stream) -> None:
        session.follows.add(stream)
        self._followers.setdefault(stream, {}).setdefault(session.format, set()).add(session)

    def _unfollow(self, session: Session, stream: Stream) -> None:
        session.follows.discard(stream)
        followers = self._followers[stream]
        followers[session.format].discard(session)
        if not followers[session.format]:
            del followers[session.format]
            if not followers:
                del self._followers[stream]

    def _following(self, stream: Stream) -> list[Session]:
        return [session for sessions in self._followers.get(stream, {}).values() for session in sessions]

    def _show(self, stream: Stream, events: Sequence[Event]) -> None:
        """Formatted once and framed once for each wire format; each session gets the same bytes."""
        for wire_format, sessions in list(self._followers.get(stream, {}).items()):
            try:
                frames = b"".join(map(wire_format.frames, events))
                for session in sessions:
                    session.outbox.put(frames)
            except Exception:
                _logger.exception("our bug: an event could not be shown")
                for session in sessions:  # later: to leave is an event, too, and might be the next that cannot be shown
                    asyncio.get_running_loop().call_soon(session.link.close, INTERNAL_ERROR, "server error")

    # Authority ends on time.

    def expire(self, session: Session) -> bool:
        """Close the session if its token is no longer good; False if it still is."""
        if self.seconds_left(session) > 0:
            return False
        session.link.close(TOKEN_EXPIRED, "the token has expired; sign in again")
        return True

    def seconds_left(self, session: Session) -> float:
        """Of the session's token."""
        return session.identity.expires - self._wall()

    # Going away.

    def drain(self) -> None:
        """Take no more commands; what is under way is still committed and shown."""
        self._draining = True


def _going_away() -> Temporary:
    return Temporary("draining", "the server is going away; nothing was sent", 2000)
