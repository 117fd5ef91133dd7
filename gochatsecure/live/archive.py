"""What is asked of the past: history, search, one's inbox, what one has read of it all."""

from __future__ import annotations

from collections.abc import Callable
from heapq import merge

from ..chat.commands import History, Inbox, Read, Search
from ..chat.errors import Refusal
from ..chat.events import Found, Marked, Messages, Replayed, UnreadList
from ..chat.fold import fold
from ..chat.model import Identity, Message, Stream, inbox_stream, room_stream
from ..chat.standing import Standing
from ..chat.state import Lobby, not_a_member
from ..limits import Limits
from ..log.port import Anchor, Log, Page
from .fanout import Fanout
from .resume import fitting, resume
from .session import Session

HERE = "here"
"""The place that the owner of a name marks by coming: then there is somebody to keep private messages for."""
_COUNTED = 1000  # unread messages of one place; more are "1000"


class Archive:
    """`history`: messages in one answer to who names no limit."""

    def __init__(
        self, log: Log, lobby: Lobby, fanout: Fanout, limits: Limits, history: int, wall: Callable[[], float]
    ) -> None:
        self._log = log
        self._lobby = lobby
        self._fanout = fanout
        self._limits = limits
        self._history = history
        self._wall = wall

    async def look_back(self, session: Session, command: History) -> Messages:
        stream = self._stream(session, command.room, command.with_)
        anchor = Anchor(command.before, command.after, command.around, command.with_)
        if sum(bound is not None for bound in anchor[:3]) > 1:
            raise Refusal("field_invalid", "give one of before, after and around, or none")
        limit = min(command.limit or self._history or 1, self._limits.history_page)
        if command.room is not None and anchor == Anchor():
            room = self._lobby.rooms[command.room]
            messages, floor, last = room.recent(limit), room.position.floor, room.position.last
            if len(messages) == limit or room.whole:
                first = messages[0].entry.seq if len(messages) == limit else floor
                return self._answer(command, messages, first, last, first > floor, floor)
            anchor = Anchor(before=last + 1)  # what is newer comes as it is committed
        page = await self._log.page(stream, anchor, limit)
        self._stream(session, command.room, command.with_)  # it may have left meanwhile
        return self._answer(command, _folded(page), page.first, page.last, page.more, page.position.floor)

    def _answer(
        self, command: History, messages: list[Message], first: int, last: int, more: bool, floor: int
    ) -> Messages:
        """With as many of the messages as go into one, from where the reader has come on."""
        onwards = command.after is not None
        kept = fitting(messages if onwards else messages[::-1], self._limits.backlog)
        if len(kept) < len(messages):
            more = True
            if onwards:
                last = kept[-1].entry.seq
            else:
                first = kept[-1].entry.seq
        return Messages(command.room, command.with_, kept if onwards else kept[::-1], first, last, more, floor)

    async def search(self, session: Session, command: Search) -> Found:
        wanted = command.text.casefold().strip()
        if not wanted:
            raise Refusal("text_missing", "there is no text to look for; type some")
        limit, before, more = min(command.limit or 20, self._limits.history_page), command.before, True
        found: list[Message] = []
        stream = self._stream(session, command.room, None)
        for _ in range(self._limits.search_pages):
            page = await self._log.page(stream, Anchor(before=before), self._limits.history_page)
            self._stream(session, command.room, None)  # it may have left meanwhile
            for message in reversed(_folded(page)):
                if wanted in message.text.casefold():
                    found.append(message)
                    if len(found) == limit:
                        return Found(
                            command.room, found, message.entry.seq, message.entry.seq > page.first or page.more
                        )
            before, more = page.first, page.more
            if not more:
                break
        return Found(command.room, found, before or 1, more)

    async def inbox(self, session: Session, command: Inbox) -> Replayed:
        """What came into the inbox up to where the session began to be shown it."""
        stands = session.inbox
        if stands is None:
            raise Refusal("op_unknown", "this session was shown its inbox from the start")
        stream = inbox_stream(session.identity.key)
        return Replayed(await resume(self._log, stream, command.after, self._limits, lambda: stands, lambda seq: None))

    async def read(self, session: Session, command: Read) -> Marked:
        """Keep the mark, and tell one's other devices."""
        stream = self._stream(session, command.room, command.with_)
        key = session.identity.key
        last = (await self._log.look(stream, 0)).position.last
        place = f"with/{command.with_}" if command.room is None else room_stream(command.room)
        seq = await self._log.mark(key, place, min(command.seq, last))
        marked = Marked(command.room, command.with_, seq)
        self._fanout.mention(inbox_stream(key), marked, besides=session)
        return marked

    async def unread(self, session: Session) -> UnreadList:
        identity = session.identity
        rooms: list[tuple[str, int, int]] = []
        conversations: list[tuple[str, int, int]] = []
        for place, seq in (await self._log.marks(identity.key, self._limits.names_listed)).items():
            kind, _, name = place.partition("/")
            if kind == "with":
                own = inbox_stream(identity.key)
                conversations.append((name, seq, await self._log.count(own, seq, identity.key, _COUNTED, name)))
            elif kind == "room" and await self._may_enter(identity, name):
                rooms.append((name, seq, await self._log.count(room_stream(name), seq, identity.key, _COUNTED)))
        return UnreadList(rooms, conversations)

    async def _may_enter(self, identity: Identity, room: str) -> bool:
        if not identity.may_enter(room):
            return False  # its token says so: no need to ask the log
        standing = Standing((await self._log.look(room_stream(room), 0)).rules)
        try:
            standing.check_entry(identity, int(self._wall() * 1000))
        except Refusal:
            return False
        return True

    def _stream(self, session: Session, room: str | None, with_: str | None) -> Stream:
        if (room is None) == (with_ is None):
            raise Refusal("field_invalid", "give room, or with")
        if room is None:
            return inbox_stream(session.identity.key)
        if room not in session.rooms:
            raise not_a_member()
        return room_stream(room)


def _folded(page: Page) -> list[Message]:
    return fold(merge(page.messages, page.about, key=lambda entry: entry.seq))
