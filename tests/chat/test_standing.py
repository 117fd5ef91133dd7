"""How a room stands: what its rules say, and who may make which. Pure."""

from __future__ import annotations

import itertools
import unittest

from gochatsecure.chat.commands import Append, Ban, Invite, Kick, Mute, Open, Rank, SetTopic, Slow, Unban, Unmute
from gochatsecure.chat.content import content_of
from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.model import (
    Banned,
    Content,
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
    room_stream,
)
from gochatsecure.chat.standing import LONGEST_SLOW, Standing
from gochatsecure.log.port import keep_rule

NOW = 1_000_000_000
ROOM = room_stream("den")
OWNER, OTHER = Identity("olga", ""), Identity("otto", "")
MODERATOR, MEMBER, GUEST = Identity("mona", ""), Identity("max", ""), Identity("gus", "s1", Role.GUEST)
OPERATOR = Identity("opal", "", Role.OWNER)
RULED: tuple[Content, ...] = (Ranked("olga", "owner"), Ranked("mona", "moderator"))


def entry(rule: Content) -> Entry:
    return Entry(ROOM, 1, NOW, "olga", None, rule)


def standing(*rules: Content) -> Standing:
    found = Standing()
    for rule in rules:
        found.apply(entry(rule))
    return found


def allowed(room: Standing, identity: Identity, command: Append, about: Identity = GUEST, most: int = 9) -> str:
    """ "" or the code of the refusal."""
    try:
        room.check_right(identity, command, untouched=False)
        room.check_rule(identity, command, about, NOW, most)  # type: ignore[arg-type]
    except Refusal as refusal:
        return refusal.code
    return ""


class Rules(unittest.TestCase):
    def test_the_last_of_each_counts(self) -> None:
        room = standing(Titled("a"), Titled("b"), Slowed(5), Slowed(0), Opened("private"), Opened("unlisted"))
        self.assertEqual((room.topic, room.seconds, room.visibility), ("b", 0, "unlisted"))
        room = standing(Banned("eve", None, ""), Unbanned("eve"), Muted("eve", None, ""), Unmuted("eve"))
        self.assertEqual((room.banned, room.muted), ({}, {}))

    def test_a_kick_and_a_ban_take_role_and_invitation_away(self) -> None:
        for end in (Kicked("max", ""), Banned("max", None, "")):
            room = standing(Ranked("max", "moderator"), Invited("max", "den"), end)
            self.assertEqual((room.roles, room.invited), ({}, set()))

    def test_a_ban_goes_by_name_a_role_by_who_it_is(self) -> None:
        room = standing(Banned("gus~s1", None, ""), Ranked("max", "owner"))
        self.assertIn("gus", room.banned)
        self.assertEqual(room.role_of(Identity("max", "s9", Role.GUEST)), Role.GUEST)

    def test_folding_only_those_that_count_comes_to_the_same(self) -> None:
        some: list[Content] = [
            Ranked("max", "moderator"),
            Ranked("max", "member"),
            Invited("max", "den"),
            Kicked("max", "x"),
            Banned("max", None, "x"),
            Unbanned("max~s1"),
            Muted("max~s1", None, "x"),
            Unmuted("max"),
            Opened("private"),
        ]
        for rules in itertools.permutations(some, 5):
            last: dict[tuple[str, str], Entry] = {}
            for seq, rule in enumerate(rules):
                keep_rule(last, Entry(ROOM, seq, NOW, "olga", None, rule))
            short, whole = Standing(last.values()), standing(*rules)
            with self.subTest(rules):
                for name in Standing.__slots__:
                    self.assertEqual(getattr(short, name), getattr(whole, name), name)


class Entering(unittest.TestCase):
    def enters(self, room: Standing, identity: Identity, now: int = NOW) -> str:
        try:
            room.check_entry(identity, now)
        except Refusal as refusal:
            return refusal.code
        return ""

    def test_a_ban_ends_when_it_says(self) -> None:
        room = standing(*RULED, Banned("gus~s1", NOW, "spam"))
        self.assertEqual(self.enters(room, GUEST, NOW - 1), "banned")
        self.assertEqual(self.enters(room, GUEST, NOW), "")
        self.assertEqual(self.enters(room, Identity("gus", "another", Role.GUEST), NOW - 1), "banned")

    def test_a_refusal_is_no_shared_one_that_would_keep_whom_it_was_told(self) -> None:
        room, kept = standing(Banned("gus", None, "")), []
        for _ in range(2):
            with self.assertRaises(Refusal) as caught:
                room.check_entry(GUEST, NOW)
            kept.append(caught.exception)
        self.assertIsNot(*kept)

    def test_what_had_ended_when_the_next_was_made_is_over_though_the_clock_goes_back(self) -> None:
        room = standing(*RULED, Banned("gus~s1", NOW - 1, ""), Muted("max", NOW, ""), Banned("eve", NOW + 1, ""))
        self.assertEqual(self.enters(room, GUEST, NOW - 2), "")
        self.assertEqual(set(room.muted), {"max"}, "no other mute was made")
        room.apply(entry(Muted("eve", None, "")))
        self.assertEqual((set(room.banned), set(room.muted)), ({"eve"}, {"eve"}))

    def test_a_private_room_lets_in_who_is_known_there(self) -> None:
        room = standing(*RULED, Opened("private"), Invited("gus~s1", "den"), Ranked("max", "member"))
        for identity in (OWNER, MODERATOR, MEMBER, GUEST, OPERATOR):
            self.assertEqual(self.enters(room, identity), "")
        for identity in (OTHER, Identity("gus", "s2", Role.GUEST), Identity("olga", "s", Role.GUEST)):
            self.assertEqual(self.enters(room, identity), "invite_only")

    def test_who_is_muted_says_nothing_until_then(self) -> None:
        room = standing(*RULED, Muted("gus", NOW, ""))
        with self.assertRaises(Refusal) as caught:
            room.check_voice(GUEST, NOW - 1)
        self.assertEqual(caught.exception.code, "muted")
        room.check_voice(GUEST, NOW)
        room.check_voice(MEMBER, NOW - 1)

    def test_slow_mode_says_when_to_come_back_and_spares_who_runs_the_room(self) -> None:
        room = standing(*RULED, Slowed(10))
        with self.assertRaises(Refusal) as caught:
            room.check_pace(GUEST, NOW - 4000, NOW)
        self.assertEqual((caught.exception.code, getattr(caught.exception, "retry_after_ms", 0)), ("slow_mode", 6000))
        room.check_pace(GUEST, NOW - 10_000, NOW)
        room.check_pace(GUEST, None, NOW)
        room.check_pace(MODERATOR, NOW, NOW)


class Rights(unittest.TestCase):
    def test_the_table_of_who_may_do_what(self) -> None:
        room = standing(*RULED, Banned("gus", None, ""), Muted("gus", None, ""))
        commands: dict[Append, Role] = {
            SetTopic("den", "x"): Role.MODERATOR,
            Invite("den", "gus"): Role.MODERATOR,
            Kick("den", "gus"): Role.MODERATOR,
            Ban("den", "gus"): Role.MODERATOR,
            Unban("den", "gus"): Role.MODERATOR,
            Mute("den", "gus"): Role.MODERATOR,
            Unmute("den", "gus"): Role.MODERATOR,
            Slow("den", 5): Role.MODERATOR,
            Open("den", "private"): Role.OWNER,
        }
        for command, least in commands.items():
            for identity in (GUEST, MEMBER, MODERATOR, OWNER, OPERATOR):
                with self.subTest(command, who=identity.name):
                    wanted = "" if room.role_of(identity) >= least else "not_allowed"
                    self.assertEqual(allowed(room, identity, command), wanted)

    def test_nobody_acts_on_who_has_as_much_to_say(self) -> None:
        room = standing(*RULED, Ranked("otto", "owner"), Ranked("max", "moderator"))
        for command in (Kick("den", "x"), Ban("den", "x"), Mute("den", "x")):
            self.assertEqual(allowed(room, MODERATOR, command, MEMBER), "not_allowed")
            self.assertEqual(allowed(room, OWNER, command, OTHER), "not_allowed")
            self.assertEqual(allowed(room, OWNER, command, MODERATOR), "")
            self.assertEqual(allowed(room, OWNER, command, OWNER), "not_allowed")

    def test_ownership_is_handed_over_and_never_lost(self) -> None:
        room = standing(*RULED)
        self.assertEqual(allowed(room, OWNER, Rank("den", "olga", "member"), OWNER), "last_owner")
        self.assertEqual(allowed(room, OWNER, Rank("den", "otto", "owner"), OTHER), "")
        room.apply(entry(Ranked("otto", "owner")))
        self.assertEqual(allowed(room, OWNER, Rank("den", "olga", "member"), OWNER), "")
        self.assertEqual(allowed(room, MODERATOR, Rank("den", "max", "moderator"), MEMBER), "not_allowed")

    def test_a_guest_can_have_no_role(self) -> None:
        self.assertEqual(allowed(standing(*RULED), OWNER, Rank("den", "gus", "moderator"), GUEST), "guest_role")

    def test_a_new_room_is_founded_by_who_is_somebody_and_only_for_oneself(self) -> None:
        room = standing()
        room.check_right(MEMBER, Rank("den", "max", "owner"), untouched=True)
        for identity, command, untouched in (
            (MEMBER, Rank("den", "max", "owner"), False),
            (MEMBER, Rank("den", "otto", "owner"), True),
            (MEMBER, Rank("den", "max", "moderator"), True),
            (GUEST, Rank("den", "gus", "owner"), True),
            (MEMBER, Kick("den", "max"), True),
        ):
            with self.subTest(command), self.assertRaises(Refusal):
                room.check_right(identity, command, untouched=untouched)

    def test_nothing_but_a_role_founds_a_room_whatever_names_are_in_it(self) -> None:
        public = Identity("public", "")
        for command in (
            Open("den", "public", "owner"),
            Invite("den", "public", "owner"),
            Kick("den", "public", "owner"),
        ):
            with self.assertRaises(Refusal) as caught:
                standing().check_right(public, command, untouched=True)
            self.assertEqual(caught.exception.code, "not_allowed")

    def test_where_nobody_owns_the_room_everybody_may_say_what_it_is_about(self) -> None:
        self.assertEqual(allowed(standing(), GUEST, SetTopic("den", "cats")), "")
        self.assertEqual(allowed(standing(*RULED), GUEST, SetTopic("den", "cats")), "not_allowed")

    def test_rules_about_people_are_bounded_and_what_has_ended_makes_room(self) -> None:
        room = standing(*RULED, Banned("b", None, ""), Banned("a", NOW, ""), Invited("c", "den"), Invited("d", "den"))
        self.assertEqual(allowed(room, OWNER, Ban("den", "gus"), most=2), "")
        room.apply(entry(Banned("gus", None, "")))
        self.assertEqual(allowed(room, OWNER, Ban("den", "max"), MEMBER, most=2), "too_many_rules")
        self.assertEqual(allowed(room, OWNER, Ban("den", "gus"), most=2), "")
        self.assertEqual(allowed(room, OWNER, Invite("den", "max"), MEMBER, most=2), "too_many_rules")
        self.assertEqual(allowed(room, OWNER, Rank("den", "max", "member"), MEMBER, most=2), "too_many_rules")

    def test_what_makes_no_sense_is_refused(self) -> None:
        room = standing(*RULED)
        self.assertEqual(allowed(room, OWNER, Unban("den", "gus")), "not_banned")
        self.assertEqual(allowed(room, OWNER, Unmute("den", "gus")), "not_muted")
        self.assertEqual(allowed(room, OWNER, Slow("den", LONGEST_SLOW + 1)), "field_invalid")

    def test_for_how_long_becomes_until_when(self) -> None:
        self.assertEqual(
            content_of(Ban("den", "gus", 60, "spam"), "gus~s1", NOW), Banned("gus~s1", NOW + 60_000, "spam")
        )
        self.assertEqual(content_of(Mute("den", "gus"), "gus~s1", NOW), Muted("gus~s1", None, ""))
