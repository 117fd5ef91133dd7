"""What each command does: at once, once it is committed, or after something that has to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import NamedTuple

from ..auth.jwt import TokenError
from ..auth.rates import Rates
from ..chat.commands import (
    Append,
    Command,
    Delete,
    Echo,
    Edit,
    Govern,
    History,
    Inbox,
    Invite,
    Join,
    Leave,
    Quit,
    Rank,
    React,
    Read,
    Refresh,
    RequestId,
    Say,
    Search,
    Tell,
    Type,
    Unread,
)
from ..chat.content import says_again
from ..chat.errors import Refusal
from ..chat.events import Acked, Done, Event, Refreshed, Typing
from ..chat.model import Draft, Entry, Identity, Told, inbox_stream, name_of
from ..chat.state import Lobby
from ..limits import Limits
from ..log.port import Committed, Log, Outcome, cid_reused
from ..wire.websocket import NORMAL
from .archive import Archive
from .doors import Doors
from .fanout import Fanout
from .session import Session

Step = Callable[[], Coroutine[object, object, Event | None]]
"""What has to be awaited for the answer, not begun yet: else who never awaits it would be complained about."""


class Pending(NamedTuple):
    """Whose draft it is, and what it answers. The context of every draft."""

    session: Session
    asked_as: RequestId
    command: Append


class Desk:
    def __init__(
        self,
        log: Log,
        lobby: Lobby,
        fanout: Fanout,
        doors: Doors,
        archive: Archive,
        *,
        limits: Limits,
        identify: Callable[[str], Identity],
        is_owned: Callable[[str], bool],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._log = log
        self._lobby = lobby
        self._fanout = fanout
        self._doors = doors
        self._archive = archive
        self._identify = identify
        self._is_owned = is_owned
        self._wall = wall
        self._monotonic = monotonic
        self._under_way: dict[tuple[str, str | None], Pending] = {}  # by sender and cid: its newest draft
        self._awaited: dict[tuple[str, str | None], list[asyncio.Future[None]]] = {}  # who waits for its outcome
        self._typing = Rates(1 / limits.typing_s, 1, limits.tracked_addresses)

    def do(self, session: Session, asked_as: RequestId, command: Command) -> Step | None:
        """Do it, or say how: answered at once, or once it is committed, or after the step that is returned."""
        archive = self._archive
        match command:
            case Say():
                self._append(Pending(session, asked_as, command))
            case Tell(name) | Invite(_, name) | Rank(_, name) if self._lobby.holder(name) is None:
                return partial(self._to_absent, Pending(session, asked_as, command), name)
            case _ if isinstance(command, Tell | Govern):
                self._append(Pending(session, asked_as, command))
            case Edit(name, seq) | Delete(name, seq) | React(name, seq):
                about = self._lobby.room_of(session.identity, name).at(seq)
                if about is None:
                    return partial(self._amend, Pending(session, asked_as, command))
                self._append(Pending(session, asked_as, command), about)
            case Join():
                return partial(self._doors.join, session, command)
            case Leave(name):
                self._doors.leave(session, name)
                session.answer(asked_as, Done())
            case History():
                return partial(archive.look_back, session, command)
            case Search():
                return partial(archive.search, session, command)
            case Inbox():
                return partial(archive.inbox, session, command)
            case Read():
                return partial(archive.read, session, command)
            case Unread():
                return partial(archive.unread, session)
            case Type():
                self._show_typing(session, command)
                session.answer(asked_as, Done())
            case Refresh(token):
                session.answer(asked_as, self._refresh(session, token))
            case Echo():
                session.answer(asked_as, Done())
            case Quit():
                session.link.close(NORMAL, "bye")
            case _:
                session.answer(asked_as, self._lobby.answer(session.identity, command))
        return None

    def _append(self, pending: Pending, about: Entry | Identity | None = None) -> None:
        session, _, command = pending
        now_ms = int(self._wall() * 1000)
        sender, ts, parts, cid, _ = self._lobby.decide(session.identity, command, now_ms, about)
        self._log.append(Draft(sender, ts, parts, cid, pending))
        session.pending += 1
        if cid is not None:
            self._under_way[sender, cid] = pending
        if not isinstance(command, Tell):
            self._lobby.rooms[command.room].begin(session.identity, command, now_ms)

    async def _amend(self, pending: Pending) -> None:
        """For a message that is not at hand. Raises Refusal."""
        session, _, command = pending
        assert isinstance(command, Edit | Delete | React)
        while True:
            room = self._lobby.room_of(session.identity, command.room)
            deletions = room.deletions
            read = await self._log.read(room.stream, command.seq - 1, 1)
            room = self._lobby.room_of(session.identity, command.room)
            if room.deletions == deletions:  # else it may be this one that was deleted meanwhile
                break
        self._append(pending, read[0] if read and read[0].seq == command.seq else None)

    async def _to_absent(self, pending: Pending, name: str) -> None:
        """What is for the owner of a name waits in the inbox; a guest's name is nobody's. Raises Refusal."""
        known = self._is_owned(name) or await self._log.marks(name, 1)
        self._append(pending, Identity(name, "") if known else None)

    async def repeat(self, session: Session, command: Append, refusal: Refusal) -> Acked:
        """What is refused now may be stored already: then that is the answer. Raises Refusal."""
        if command.cid is None or (first := await self._find(session.identity.key, command.cid)) is None:
            raise refusal
        if not says_again(command, first):
            raise cid_reused()
        epoch = self._epoch(session, command)
        if epoch is None:
            epoch = (await self._log.look(first.stream, 0)).position.epoch
        return Acked(first, epoch, dup=True, delivered=self._delivered(first))

    async def _find(self, sender: str, cid: str) -> Entry | None:
        """The entry that was made under this cid, also if it was still on its way, from another session, when asked."""
        while True:
            while (sender, cid) in self._under_way:
                outcome = asyncio.get_running_loop().create_future()
                self._awaited.setdefault((sender, cid), []).append(outcome)
                await outcome
            first = await self._log.find(sender, cid)
            if first is not None or (sender, cid) not in self._under_way:
                return first

    def _show_typing(self, session: Session, command: Type) -> None:
        name = session.identity.name
        if command.room is not None:
            room = self._lobby.room_of(session.identity, command.room)
            room.standing.check_voice(session.identity, int(self._wall() * 1000))
            stream = room.stream
        elif command.to is not None and (holder := self._lobby.holder(command.to)) is not None:
            stream = inbox_stream(holder.key)
        else:
            return
        if not self._typing.take(f"{session.identity.key} {stream}", self._monotonic()):
            self._fanout.mention(stream, Typing(command.room or "", name), besides=session)

    def _refresh(self, session: Session, token: str) -> Refreshed:
        try:
            identity = self._identify(token)
        except TokenError as error:
            raise Refusal(error.code, error.message) from None
        if identity.key != session.identity.key:
            raise Refusal("token_refused", "that token is somebody else's, or of another sign-in")
        session.identity = identity
        self._lobby.renew(identity)
        for room in [room for room in session.rooms if not identity.may_enter(room)]:
            self._doors.leave(session, room)
        return Refreshed(identity.expires - self._wall())

    def settled(self, outcome: Outcome) -> None:
        """The draft is no longer under way: who waits for that goes on, its room may be forgotten."""
        sender, _, _, cid, pending = outcome.draft
        if cid is not None and self._under_way.get((sender, cid)) is pending:
            del self._under_way[sender, cid]
            for waiting in self._awaited.pop((sender, cid), ()):
                if not waiting.done():  # else it has gone meanwhile
                    waiting.set_result(None)
        assert isinstance(pending, Pending)
        command = pending.command
        if not isinstance(command, Tell):
            self._lobby.rooms[command.room].settle(command)
            self._doors.forget_if_idle(command.room)

    def ack(self, session: Session, command: Append, outcome: Committed) -> Acked:
        """The answer to who has asked for it, now that it is stored."""
        entry, epoch = outcome.entries[0], self._epoch(session, command)
        assert epoch is not None, "a room in which a draft was under way is open"
        return Acked(entry, epoch, outcome.dup, self._delivered(entry))

    def _epoch(self, session: Session, command: Append) -> str | None:
        """Of the log in which the answer to this command stands; None if it is a room's that is not open."""
        if isinstance(command, Tell):
            return session.inbox.epoch if session.inbox else ""
        room = self._lobby.rooms.get(command.room)
        return None if room is None else room.position.epoch

    def _delivered(self, entry: Entry) -> bool | None:
        """Of a private message: whether the other is connected."""
        if not isinstance(entry.content, Told):
            return None
        holder = self._lobby.holder(name_of(entry.content.to))
        return holder is not None and holder.key == entry.content.to
