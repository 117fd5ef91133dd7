"""Bugs that we have planted in rooms that people run: as `mutants`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from gochatsecure.chat.standing import Sentence, Standing
from gochatsecure.chat.state import Lobby
from gochatsecure.live.desk import Desk
from gochatsecure.live.doors import Doors
from gochatsecure.live.hub import Hub

from .mutants import mutant


def _unchecked(owner: type, name: str) -> AbstractContextManager[object]:
    """Nobody is refused anything there."""
    return mock.patch.object(owner, name, lambda self, *values, **options: None)


@mutant("leak")
def somebody_taken_out_who_still_follows_the_room() -> AbstractContextManager[object]:
    def expel(self: Doors, stream: Any, name: str) -> None:
        room = stream.removeprefix("room/")
        for session in self._fanout.following(stream):
            if session.identity.name == name and room in session.rooms:
                self.leave(session, room)
                self._fanout.follow(session, stream)

    return mock.patch.object(Doors, "expel", expel)


@mutant("leak", "expelled", "settling")
def a_session_of_one_room_that_goes_on_when_it_was_taken_out() -> AbstractContextManager[object]:
    def expel(self: Doors, stream: Any, name: str) -> None:
        for session in self._fanout.following(stream):
            if session.identity.name == name and session.format.greets:
                self.leave(session, stream.removeprefix("room/"))

    return mock.patch.object(Doors, "expel", expel)


@mutant("rules", "entry")
def rules_that_are_forgotten_with_the_server() -> AbstractContextManager[object]:
    return mock.patch("gochatsecure.log.writer.slot_of", lambda stream, content: None)


@mutant("right")
def rights_that_nobody_looks_at() -> AbstractContextManager[object]:
    return _unchecked(Standing, "check_right")


@mutant("right")
def a_rule_about_somebody_who_has_as_much_to_say() -> AbstractContextManager[object]:
    return _unchecked(Standing, "check_rule")


@mutant("muted")
def a_mute_that_nobody_looks_at() -> AbstractContextManager[object]:
    return _unchecked(Standing, "check_voice")


@mutant("entry")
def a_ban_that_keeps_nobody_out() -> AbstractContextManager[object]:
    return _unchecked(Standing, "check_entry")


@mutant("entry")
def a_private_room_for_everybody() -> AbstractContextManager[object]:
    return mock.patch.object(Standing, "admits", lambda self, identity: True)


@mutant("unfair")
def a_sentence_that_does_not_end() -> AbstractContextManager[object]:
    return mock.patch.object(Sentence, "holds", lambda self, now_ms: True)


@mutant("expelled", "muted", "right")
def a_right_that_ends_in_the_entry_before() -> AbstractContextManager[object]:
    return _unchecked(Lobby, "_check_judged")


@mutant("slow")
def a_slow_mode_that_slows_nobody() -> AbstractContextManager[object]:
    return _unchecked(Standing, "check_pace")


@mutant("refused")
def a_refusal_of_what_is_stored() -> AbstractContextManager[object]:
    async def repeat(self: Desk, session: Any, command: Any, refusal: Any) -> Any:
        raise refusal

    return mock.patch.object(Desk, "repeat", repeat)


@mutant("expired")
def a_token_that_never_ends() -> AbstractContextManager[object]:
    return mock.patch.object(Hub, "expire", lambda self, session: False)
