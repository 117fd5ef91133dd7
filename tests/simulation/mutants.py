"""Bugs that we have planted, to see that the simulation finds them: each is one symbol of the server, exchanged.

`check` is the check that finds it, or the ones of which one does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

from gochatsecure.chat.chain import genesis
from gochatsecure.chat.commands import Say
from gochatsecure.chat.events import Acked
from gochatsecure.chat.model import Draft, Entry, Identity, Told, inbox_stream, room_of_stream
from gochatsecure.chat.state import Lobby
from gochatsecure.live import resume as resuming
from gochatsecure.live.desk import Desk, Pending
from gochatsecure.live.doors import Doors
from gochatsecure.live.fanout import Fanout
from gochatsecure.live.hub import Hub
from gochatsecure.live.outbox import Outbox
from gochatsecure.log import rows
from gochatsecure.log.port import Committed, Outcome
from gochatsecure.log.rows import entry_under
from gochatsecure.log.writer import Writer

Plant = Callable[[], AbstractContextManager[object]]


class Mutant(NamedTuple):
    name: str
    checks: tuple[str, ...]
    plant: Plant


MUTANTS: list[Mutant] = []


def mutant(*checks: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        MUTANTS.append(Mutant(plant.__name__, checks, plant))
        return plant

    return register


def _exchanged(owner: Any, name: str, make: Callable[[Any], Any]) -> AbstractContextManager[object]:
    """`make` gets what is there, and gives what stands in its place."""
    return mock.patch.object(owner, name, make(getattr(owner, name)))


def _uncommitted(desk: Desk, pending: Pending) -> Entry | None:
    """The entry that a message will be if all goes well."""
    session, _, command = pending
    if not isinstance(command, Say):
        return None
    room = desk._lobby.rooms[command.room]
    draft = desk._lobby.decide(session.identity, command, int(desk._wall() * 1000))
    return Entry(room.stream, room.position.last + 1, draft.ts, draft.sender, draft.cid, draft.parts[0][1], b"?" * 32)


@mutant("acked", "lost")
def an_ack_before_the_commit() -> AbstractContextManager[object]:
    def make(append: Any) -> Any:
        def early(self: Desk, pending: Pending, about: Any = None) -> None:
            append(self, pending, about)
            if (entry := _uncommitted(self, pending)) is not None:
                pending.session.answer(pending.asked_as, Acked(entry, "e1", False))

        return early

    return _exchanged(Desk, "_append", make)


@mutant("stored")
def an_entry_shown_before_the_commit() -> AbstractContextManager[object]:
    def make(append: Any) -> Any:
        def early(self: Desk, pending: Pending, about: Any = None) -> None:
            append(self, pending, about)
            if (entry := _uncommitted(self, pending)) is not None:
                self._fanout.show(entry.stream, (entry,))

        return early

    return _exchanged(Desk, "_append", make)


@mutant("once")
@contextmanager
def a_restart_that_forgets_the_cids() -> Iterator[None]:
    def migrate_too(migrate: Any) -> Any:
        def migrating(self: Writer) -> None:
            migrate(self)
            self._connection.execute("DROP INDEX IF EXISTS entry_once")
            self._connection.made = set()  # type: ignore[attr-defined]

        return migrating

    def write_new(write: Any) -> Any:
        def writing(self: Writer, drafts: Sequence[Draft], ends: Any) -> list[Outcome]:
            made: set[tuple[str, str | None]] = self._connection.made  # type: ignore[attr-defined]
            if any((draft.sender, draft.cid) in made for draft in drafts):
                raise sqlite3.IntegrityError
            made.update((draft.sender, draft.cid) for draft in drafts if draft.cid is not None)
            return write(self, drafts, ends)  # type: ignore[no-any-return]

        return writing

    def look_up(connection: Any, sender: str, cid: str) -> Entry | None:
        return entry_under(connection, sender, cid) if (sender, cid) in connection.made else None

    with ExitStack() as stack:
        stack.enter_context(_exchanged(Writer, "migrate", migrate_too))
        stack.enter_context(_exchanged(Writer, "_write_new", write_new))
        stack.enter_context(mock.patch("gochatsecure.log.writer.entry_under", look_up))
        yield


@mutant("gap")
def a_failed_commit_that_leaves_its_numbers_behind() -> AbstractContextManager[object]:
    class Kept(dict[Any, Any]):
        def clear(self) -> None:
            pass

    def make(attempt: Any) -> Any:
        def attempting(self: Writer, write: Any, drafts: Any, marks: Mapping[Any, Any]) -> Any:
            self._ends = Kept(self._ends)

            def noting(drafts: Any, ends: Any) -> Any:
                outcomes = write(drafts, ends)
                self._ends |= ends
                return outcomes

            return attempt(self, noting, drafts, marks)

        return attempting

    return _exchanged(Writer, "_attempt", make)


@mutant("hole")
def an_await_between_the_replay_and_the_live_stream() -> AbstractContextManager[object]:
    async def resume(log: Any, stream: Any, *rest: Any) -> Any:
        replay = await resuming.resume(log, stream, *rest)
        await log.look(stream, 0)
        return replay

    return mock.patch("gochatsecure.live.doors.resume", resume)


@mutant("leak", "twice")
def an_entry_that_is_replayed_and_shown_live() -> AbstractContextManager[object]:
    def make(join: Any) -> Any:
        async def joining(self: Doors, session: Any, command: Any) -> Any:
            entered = await join(self, session, command)
            if entered is not None and entered.replay.events:
                again = entered.replay.events[-1]
                self._fanout.show(again.stream, (again,))
            return entered

        return joining

    return _exchanged(Doors, "join", make)


@mutant("leak")
def a_private_message_in_a_third_inbox() -> AbstractContextManager[object]:
    def make(decide: Any) -> Any:
        def deciding(self: Lobby, identity: Identity, *rest: Any) -> Draft:
            draft: Draft = decide(self, identity, *rest)
            if isinstance(draft.parts[0][1], Told) and len(draft.parts) > 1:
                others = [
                    one for one, _ in self._present.values() if one.key not in (identity.key, draft.parts[0][1].to)
                ]
                if others:
                    draft = draft._replace(parts=(draft.parts[0], (inbox_stream(others[0].key), draft.parts[0][1])))
            return draft

        return deciding

    return _exchanged(Lobby, "decide", make)


@mutant("leak")
def a_room_that_is_still_followed_when_it_was_left() -> AbstractContextManager[object]:
    def make(unfollow: Any) -> Any:
        def unfollowing(self: Fanout, session: Any, stream: Any) -> None:
            if session not in self._followers[stream][session.format] or not session.open:
                unfollow(self, session, stream)

        return unfollowing

    return _exchanged(Fanout, "unfollow", make)


@mutant("memory")
def an_outbox_without_its_bound() -> AbstractContextManager[object]:
    return mock.patch.object(Outbox, "_overflow", lambda self: None)


@mutant("memory")
def a_follower_that_is_never_forgotten() -> AbstractContextManager[object]:
    def make(unfollow: Any) -> Any:
        def unfollowing(self: Fanout, session: Any, stream: Any) -> None:
            if room_of_stream(stream):
                unfollow(self, session, stream)

        return unfollowing

    return _exchanged(Fanout, "unfollow", make)


@mutant("chain")
def a_restart_that_begins_the_chain_anew() -> AbstractContextManager[object]:
    def end_of(connection: Any, stream: Any) -> Any:
        found = rows.end_of(connection, stream)
        return found and (*found[:3], genesis(stream, "e1"))

    return mock.patch("gochatsecure.log.writer.end_of", end_of)


@mutant("twice")
def a_repetition_that_is_shown_to_everybody() -> AbstractContextManager[object]:
    def make(committed: Any) -> Any:
        def telling(self: Hub, outcomes: Sequence[Outcome]) -> None:
            for outcome in outcomes:
                if isinstance(outcome, Committed) and outcome.dup:
                    self._fanout.show(outcome.entries[0].stream, outcome.entries)
            committed(self, outcomes)

        return telling

    return _exchanged(Hub, "committed", make)


@mutant("erased")
def a_deletion_that_leaves_the_text() -> AbstractContextManager[object]:
    return mock.patch.object(Writer, "_erase", lambda self, number, stream, target: {})


@mutant("acked", "lost", "stored")
def a_commit_that_is_rolled_back_and_called_one() -> AbstractContextManager[object]:
    def make(attempt: Any) -> Any:
        def attempting(self: Writer, write: Any, drafts: Any, marks: Any) -> Any:
            if len(drafts) < 2:
                return attempt(self, write, drafts, marks)
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = write(drafts, {})
            self._connection.execute("ROLLBACK")
            return outcomes, {}

        return attempting

    return _exchanged(Writer, "_attempt", make)


@mutant("twice")
def a_welcome_whose_inbox_is_counted_and_shown() -> AbstractContextManager[object]:
    """As it was once: the reader had seen a commit that the hub was told of later."""

    def show(self: Hub, entry: Entry) -> None:
        self._fanout.show(entry.stream, (entry,))
        for session, held in self._greeting.items():
            if inbox_stream(session.identity.key) == entry.stream:
                held.append(entry)

    return mock.patch.object(Hub, "_show_privately", show)


@mutant("hole")
def a_private_message_that_is_lost_while_one_is_greeted() -> AbstractContextManager[object]:
    def make(show: Any) -> Any:
        def forgetting(self: Hub, entry: Entry) -> None:
            show(self, entry)
            for held in self._greeting.values():
                held.clear()

        return forgetting

    return _exchanged(Hub, "_show_privately", make)


@mutant("refusal", "settling")
def a_sender_that_is_never_answered_when_the_store_fails() -> AbstractContextManager[object]:
    def make(commit: Any) -> Any:
        def committing(self: Writer, drafts: Sequence[Draft], marks: Any) -> Any:
            outcomes, marked = commit(self, drafts, marks)
            return [outcome for outcome in outcomes if isinstance(outcome, Committed)], marked

        return committing

    return _exchanged(Writer, "commit", make)
