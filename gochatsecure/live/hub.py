"""Sessions and their commands: decided, appended, committed, applied, shown. Runs on one loop, without locks.

Only what the log hands back as committed is shown, and only then is it acknowledged. Within a room everybody is shown
the same entries in the same order, because they come from one list that is formatted once for each wire format.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TypeGuard

from ..auth.guests import KeptNames
from ..auth.rates import Distinct, Rates, Sampled
from ..chat.commands import Append, Command, Govern, Join, Judge, RequestId, Tell
from ..chat.errors import Refusal, Temporary
from ..chat.events import Draining, Event, Refused, Welcome
from ..chat.model import Entry, Identity, Stream, inbox_stream, room_of_stream
from ..chat.names import skeleton
from ..chat.standing import SLOW_MODE
from ..chat.state import Lobby
from ..chat.table import OP_OF
from ..journal import Happening
from ..limits import Limits
from ..log.port import Committed, Failed, Log, Outcome
from ..version import __version__
from ..wire.json_v1 import MALFORMED
from ..wire.websocket import (
    FLOODING,
    FORBIDDEN,
    NOT_OUR_JSON,
    TOKEN_EXPIRED,
    TOO_MANY_SESSIONS,
    TRY_AGAIN_LATER,
)
from .archive import HERE, Archive
from .counts import Counts
from .desk import Desk, Pending, Step
from .doors import Doors
from .fanout import Fanout
from .session import Session

_logger = logging.getLogger("gochatsecure")
Waiting = Coroutine[object, object, None]


class Hub:
    """Who is connected, and what becomes of what they ask."""

    def __init__(
        self,
        log: Log,
        *,
        limits: Limits,
        history: int,
        message_rate: float,
        identify: Callable[[str], Identity],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        is_owned: Callable[[str], bool] = lambda name: False,
        counts: Counts | None = None,
    ) -> None:
        """`history`: messages shown on joining. `message_rate`: commands a second and identity; 0 for no limit.

        `identify` tells whose a token is, or raises TokenError. `is_owned`: whether a name is registered.
        `wall` gives seconds since 1970, `monotonic` seconds that only grow.
        """
        self._log = log
        self._limits = limits
        self._wall = wall
        self._monotonic = monotonic
        self._counts = counts or Counts()
        self._lobby = Lobby(max_text=limits.text, names_listed=limits.names_listed, room_rules=limits.room_rules)
        self._fanout = Fanout()
        self._doors = Doors(log, self._lobby, self._fanout, limits, history, wall)
        self._rates = Rates(message_rate, message_rate * limits.message_burst_s, limits.tracked_addresses)
        crowd = message_rate * limits.identities_per_address
        self._address_rates = Rates(crowd, crowd * limits.message_burst_s, limits.tracked_addresses)
        self._desk = Desk(
            log,
            self._lobby,
            self._fanout,
            self._doors,
            Archive(log, self._lobby, self._fanout, limits, history, wall),
            limits=limits,
            identify=identify,
            is_owned=is_owned,
            wall=wall,
            monotonic=monotonic,
        )
        joins = limits.joins_per_minute / 60 if message_rate else 0
        self._joins = Rates(joins, joins * 120, limits.tracked_addresses)
        targets = limits.private_targets_per_minute if message_rate else 0
        self._targets = Distinct(targets, 60, limits.tracked_addresses)
        refused = limits.refusals_per_minute / 60 if message_rate else 0
        self._refused = Rates(refused, 2 * limits.refusals, limits.tracked_addresses)
        self._hits = Sampled(rate=1, burst=10)  # log lines a second
        self._told = {  # what a client has to know of our limits, as its Welcome says it
            "text": limits.text,
            "commands_per_s": int(message_rate),
            "commands_at_once": int(message_rate * limits.message_burst_s),
            "joins_per_minute": int(limits.joins_per_minute if message_rate else 0),
            "private_targets_per_minute": targets,
            "history_page": limits.history_page,
            "rooms": limits.rooms_per_session,
            "sessions": limits.sessions_per_identity,
            "ping_interval_ms": int(limits.ping_s * 1000),
            "typing_interval_ms": int(limits.typing_s * 1000),
        }
        self._kept = KeptNames(limits.guest_grace_s)
        self._greeting: dict[Session, list[Entry]] = {}  # what came into the inbox of those who wait for their Welcome
        self._numbers = count(1)
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
                for other in [other for other in self.sessions if other.identity.key == holder.key]:
                    other.link.close(TOKEN_EXPIRED, "the owner of this name has come")
        if self._lobby.sessions_of(identity.name) >= self._limits.sessions_per_identity:
            session.open = False
            session.link.close(TOO_MANY_SESSIONS, "too many sessions of one identity")
            return False
        self._lobby.arrive(identity)
        self.sessions.add(session)
        if session.format.greets:
            self._greeting[session] = []
        else:
            self._fanout.follow(session, inbox_stream(identity.key))
        return True

    def disconnect(self, session: Session) -> None:
        """The session's connection is gone, or going. Twice is no error."""
        session.open = False
        if session not in self.sessions:
            return
        self.sessions.remove(session)
        self._greeting.pop(session, None)
        for room in sorted(session.rooms):
            self._doors.leave(session, room, silently=self._draining)
        identity = session.identity
        self._fanout.unfollow(session, inbox_stream(identity.key))
        if self._lobby.depart(identity):
            self._kept.keep(skeleton(identity.name), identity.key, self._monotonic())

    async def begin(self, session: Session, room: str) -> None:
        """The first thing that a session is told; a refusal ends it. `room`: where it goes, if its format says so."""
        try:
            if not session.identity.guest:
                await self._note_owner(session.identity)
            if self._draining:
                raise self._going_away()
            if session.format.greets:
                await self._greet(session)
            elif (entered := await self._doors.join(session, Join(room))) is not None:
                session.show(entered)
        except Refusal as refusal:
            session.show(Refused(refusal))
            session.link.close(TRY_AGAIN_LATER if refusal.temporary else FORBIDDEN, refusal.message)

    async def _note_owner(self, identity: Identity) -> None:
        """From now on private messages are kept for it, also while it is away."""
        with suppress(Temporary):  # the store is busy: the next time will do
            if not await self._log.marks(identity.key, 1):
                await self._log.mark(identity.key, HERE, 0)

    async def _greet(self, session: Session) -> None:
        """Say where the inbox stands, and from there on show what comes into it: nothing twice, nothing left out."""
        stream = inbox_stream(session.identity.key)
        inbox = (await self._log.look(stream, 0)).position
        if session not in self._greeting:
            return
        session.inbox = inbox
        number = str(next(self._numbers))
        session.show(Welcome(session.identity.name, number, self.seconds_left(session), self._told, __version__, inbox))
        for entry in self._greeting.pop(session):
            if entry.seq > inbox.last:
                session.show(entry)
        self._fanout.follow(session, stream)

    # Commands.

    def receive(self, session: Session, text: str) -> Waiting | None:
        """Do what the session's text asks. What it returns, if anything, MUST be awaited before its next text."""
        asked_as, asked = session.format.decode(text, session.room)
        try:
            self._admit(session, asked)
            if isinstance(asked, Refusal):
                raise asked
            if session.pending and not isinstance(asked, Append):
                return self._finish(session, asked_as, asked, partial(self._after_pending, session, asked_as, asked))
            step = self._desk.do(session, asked_as, asked)
        except Refusal as refusal:
            if session.pending or _may_be_stored(asked, refusal):
                return self._finish(session, asked_as, asked, partial(self._after_pending, session, asked_as, refusal))
            self._refuse(session, asked_as, refusal)
            return None
        if step is None:
            session.refusals = 0
            return None
        return self._finish(session, asked_as, asked, step)

    def _admit(self, session: Session, asked: Command | Refusal) -> None:
        """Raises Temporary when no command can be taken from this session now."""
        if self._draining:
            raise self._going_away()
        now = self._monotonic()
        key = session.identity.key
        wait = self._rates.take(key, now) or self._address_rates.take(session.address, now)
        if isinstance(asked, Join):
            wait = wait or self._joins.take(key, now)
        elif isinstance(asked, Tell):
            wait = wait or self._targets.take(key, asked.to, now)
        if wait:
            if hits := self._hits.count(now):
                name = session.identity.name
                _logger.info(Happening("limit_hit", username=name, address=session.address, count=hits))
            raise Temporary("rate_limited", "that was too fast; nothing was sent", int(wait * 1000) + 1)

    async def _after_pending(self, session: Session, asked_as: RequestId, asked: Command | Refusal) -> Event | None:
        """What a session asks takes effect in its order: first what it has said is stored and shown."""
        if session.pending:
            session.settled = asyncio.get_running_loop().create_future()
            await session.settled
        if isinstance(asked, Refusal):
            raise asked
        if self._draining:
            raise self._going_away()
        if session.open and (step := self._desk.do(session, asked_as, asked)) is not None:
            return await step()
        return None

    async def _finish(self, session: Session, asked_as: RequestId, asked: Command | Refusal, step: Step) -> None:
        try:
            try:
                answer = await step()
            except Refusal as refusal:
                if not _may_be_stored(asked, refusal):
                    raise
                answer = await self._desk.repeat(session, asked, refusal)
        except Refusal as refusal:
            self._refuse(session, asked_as, refusal)
        else:
            session.refusals = 0
            if answer is not None:
                session.answer(asked_as, answer)

    def _refuse(self, session: Session, asked_as: RequestId, refusal: Refusal) -> None:
        self._counts.commands[refusal.code] += 1
        session.refusals += 1
        floods = self._refused.take(session.identity.key, self._monotonic())  # one command in ten that is done hides it
        if floods or session.refusals > self._limits.refusals:
            if refusal.code == MALFORMED:
                session.link.close(NOT_OUR_JSON, "this is not the JSON protocol")
            else:
                session.link.close(FLOODING, "too many refused commands")
        else:
            session.answer(asked_as, Refused(refusal))

    # What has been committed.

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """The log's sink: apply and show what one commit brought, each room's entries in one piece.

        A private message has its place between them: who sees it also sees what was said before it, before it.
        """
        rooms: dict[Stream, list[Entry]] = {}
        for outcome in outcomes:
            if isinstance(outcome, Committed) and not outcome.dup:
                for entry in outcome.entries:
                    expelled = self._lobby.apply(entry)
                    if not room_of_stream(entry.stream):
                        self._show_all(rooms)
                        self._show_privately(entry)
                    else:
                        rooms.setdefault(entry.stream, []).append(entry)
                    if expelled is not None:  # that is the last it sees
                        self._show_all(rooms)
                        self._doors.expel(entry.stream, expelled)
        self._show_all(rooms)
        for outcome in outcomes:
            self._settle(outcome)

    def _show_all(self, gathered: dict[Stream, list[Entry]]) -> None:
        for stream, entries in gathered.items():
            self._fanout.show(stream, entries)
        gathered.clear()

    def _show_privately(self, entry: Entry) -> None:
        # A reader may see a commit before we are told of it: then a Welcome has counted the entry already.
        followers = self._fanout.following(entry.stream)
        counted = {session for session in followers if session.inbox is not None and entry.seq <= session.inbox.last}
        self._fanout.show(entry.stream, (entry,), besides=counted)
        for session, held in self._greeting.items():
            if inbox_stream(session.identity.key) == entry.stream:
                held.append(entry)

    def _settle(self, outcome: Outcome) -> None:
        """The draft is no longer under way: its sender is answered and may go on, its room may be forgotten."""
        pending = outcome.draft.context
        assert isinstance(pending, Pending)
        session, asked_as, command = pending
        session.pending -= 1
        if session.settled is not None and not session.pending:
            if not session.settled.done():
                session.settled.set_result(None)
            session.settled = None
        if isinstance(outcome, Failed):
            if session.open:
                self._refuse(session, asked_as, outcome.refusal)
        else:
            if isinstance(command, Govern) and not outcome.dup:
                _audit(session, command, outcome.entries[0])
            session.answer(asked_as, self._desk.ack(session, command, outcome))
        self._desk.settled(outcome)
        if session.open:
            session.link.drained()

    @property
    def rooms_open(self) -> int:
        return len(self._lobby.rooms)

    @property
    def tracked(self) -> Mapping[str, int]:
        """Keys that each table of rates remembers."""
        tables = {"commands": self._rates, "commands of an address": self._address_rates, "joins": self._joins}
        return {name: len(table) for name, table in tables.items()} | {"private targets": len(self._targets)}

    # Authority ends on time.

    def expire(self, session: Session) -> bool:
        """Close the session if its token is no longer good; False if it still is."""
        if self.seconds_left(session) > 0:
            return False
        session.link.close(TOKEN_EXPIRED, "the token has expired; sign in again")
        return True

    def end(self, objection: Callable[[Identity], str | None], names: Collection[str] | None = None) -> None:
        """Close every session whose authority has ended: of these names, and those that look like them; None: of all.

        What was shown before goes out; nothing is shown after."""
        concerned = None
        if names is not None:
            concerned = {holder.name for name in names for holder in self._lobby.lookalikes(name)}
        if concerned is None or concerned:
            for session in list(self.sessions):
                name = session.identity.name
                if (concerned is None or name in concerned) and (reason := objection(session.identity)):
                    _logger.info(Happening("revoked", username=name, address=session.address, reason=reason))
                    session.link.close(TOKEN_EXPIRED, reason)

    def let_go(self, identity: Identity) -> None:
        """It will not come back: its name is not kept for it."""
        self._kept.let_go(skeleton(identity.name), identity.key)

    def seconds_left(self, session: Session) -> float:
        """Of the session's token."""
        return session.identity.expires - self._wall()

    # Going away.

    def drain(self) -> None:
        """Take no more commands; what is under way is still committed and shown."""
        self._draining = True
        for session in self.sessions:
            session.show(Draining(int(self._limits.reconnect_s * 1000)))

    def _going_away(self) -> Temporary:
        after = int(self._limits.reconnect_s * 1000)
        return Temporary("draining", "the server is going away; nothing was sent", after)


def _audit(session: Session, command: Govern, entry: Entry) -> None:
    """Who has ruled what about whom. Its words, as a reason or a topic, stand in the room's log alone, under its seq.

    Each is told of: it has cost its author an entry in the store, so that the log fills no faster than that."""
    whom = {"whom": command.name} if isinstance(command, Judge) else {}
    fields = {"username": session.identity.name, "address": session.address, "room": command.room, "seq": entry.seq}
    _logger.info(Happening("ruled", what=OP_OF[type(command)], **whom, **fields))


def _may_be_stored(asked: Command | Refusal, refusal: Refusal) -> TypeGuard[Append]:
    """What is refused now may have been stored when it was asked before, under the same cid."""
    passing = refusal.temporary and refusal.code != SLOW_MODE  # which may last for hours
    return isinstance(asked, Append) and asked.cid is not None and not passing
