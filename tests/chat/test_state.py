"""The pure core: who is where, what may be said, what a committed entry changes."""

from __future__ import annotations

import unittest

from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.model import (
    Command,
    Entry,
    Help,
    HelpText,
    Identity,
    Members,
    Posted,
    RoomList,
    Rooms,
    Say,
    Stream,
    Tell,
    Told,
    Who,
    inbox_stream,
    name_of,
    room_of_stream,
    room_stream,
)
from gochatsecure.chat.state import Lobby, Room, canonical_room_or_refuse

ALICE = Identity("alice", "s1", guest=True)
BOB = Identity("bob", "s2", guest=True)
CAROL = Identity("carol", "s3")
NOW = 1_700_000_000_000


class StateTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.lobby = Lobby(max_text=20, names_listed=3)
        self.room = self.lobby.rooms["general"] = Room("general", (), 5)
        for identity in (ALICE, BOB, CAROL):
            self.lobby.arrive(identity)
        self.lobby.enter(self.room, ALICE)

    def assertRefused(self, code: str, identity: Identity, command: Say | Tell) -> None:
        with self.assertRaises(Refusal) as caught:
            self.lobby.decide(identity, command, NOW)
        self.assertEqual(caught.exception.code, code)


class Saying(StateTestCase):
    def test_what_is_said_goes_to_the_rooms_log(self) -> None:
        draft = self.lobby.decide(ALICE, Say("general", "hi", cid="c1"), NOW)
        self.assertEqual(draft.parts, ((room_stream("general"), Posted("hi")),))
        self.assertEqual((draft.sender, draft.ts, draft.cid), (ALICE.key, NOW, "c1"))

    def test_only_members_speak(self) -> None:
        self.assertRefused("not_a_member", BOB, Say("general", "hi"))
        self.assertRefused("not_a_member", ALICE, Say("elsewhere", "hi"))

    def test_who_has_left_does_not_speak(self) -> None:
        self.lobby.leave(self.room, ALICE)
        self.assertRefused("not_a_member", ALICE, Say("general", "hi"))

    def test_nothing_is_no_message(self) -> None:
        for text in ("", "   ", "\t\n"):
            self.assertRefused("text_missing", ALICE, Say("general", text))

    def test_the_longest_text_is_counted_in_bytes(self) -> None:
        self.lobby.decide(ALICE, Say("general", "é" * 10), NOW)
        self.assertRefused("text_too_long", ALICE, Say("general", "é" * 10 + "e"))
        self.assertRefused("text_too_long", ALICE, Say("general", "e" * 21))

    def test_deciding_changes_nothing(self) -> None:
        self.lobby.decide(ALICE, Say("general", "hi"), NOW)
        self.assertEqual((self.room.last, list(self.room.tail), self.room.pending), (0, [], 0))


class Telling(StateTestCase):
    def test_it_goes_to_both_inboxes_the_senders_first(self) -> None:
        draft = self.lobby.decide(ALICE, Tell("bob", "psst"), NOW)
        told = Told(BOB.key, "psst")
        self.assertEqual(draft.parts, ((inbox_stream(ALICE.key), told), (inbox_stream(BOB.key), told)))

    def test_a_note_to_oneself_is_kept_once(self) -> None:
        draft = self.lobby.decide(ALICE, Tell("alice", "milk"), NOW)
        self.assertEqual(draft.parts, ((inbox_stream(ALICE.key), Told(ALICE.key, "milk")),))

    def test_the_name_may_be_typed_in_any_case(self) -> None:
        draft = self.lobby.decide(ALICE, Tell("BOB", "psst"), NOW)
        self.assertEqual(draft.parts[1][0], inbox_stream(BOB.key))

    def test_who_is_not_connected_is_not_told(self) -> None:
        self.assertRefused("not_connected", ALICE, Tell("dave", "psst"))
        self.lobby.depart(BOB)
        self.assertRefused("not_connected", ALICE, Tell("bob", "psst"))

    def test_what_is_no_name_is_refused_without_being_repeated(self) -> None:
        with self.assertRaises(Refusal) as caught:
            self.lobby.decide(ALICE, Tell("<b>", "psst"), NOW)
        self.assertEqual(caught.exception.code, "username_invalid")
        self.assertNotIn("<b>", caught.exception.message)

    def test_the_next_guest_of_the_name_has_another_inbox(self) -> None:
        """Or whoever takes a guest's name would read what was said to the one before."""
        self.lobby.depart(BOB)
        self.lobby.arrive(Identity("bob", "s9", guest=True))
        draft = self.lobby.decide(ALICE, Tell("bob", "psst"), NOW)
        self.assertNotEqual(draft.parts[1][0], inbox_stream(BOB.key))


class Presence(StateTestCase):
    def test_sessions_of_one_identity_are_counted(self) -> None:
        self.lobby.arrive(ALICE)
        self.assertEqual(self.lobby.sessions_of("alice"), 2)
        self.assertFalse(self.lobby.depart(ALICE))
        self.assertTrue(self.lobby.depart(ALICE))
        self.assertIsNone(self.lobby.holder("alice"))

    def test_the_first_session_enters_and_the_last_leaves(self) -> None:
        self.assertFalse(self.lobby.enter(self.room, ALICE))
        self.assertFalse(self.lobby.leave(self.room, ALICE))
        self.assertTrue(self.lobby.leave(self.room, ALICE))

    def test_names_that_look_alike_are_found(self) -> None:
        self.assertEqual(self.lobby.lookalikes("bob"), [BOB])
        self.assertEqual(self.lobby.lookalikes("b0b"), [BOB])
        self.assertEqual(self.lobby.lookalikes("bobby"), [])
        self.lobby.depart(BOB)
        self.assertEqual(self.lobby.lookalikes("b0b"), [])

    def test_a_room_is_idle_when_nobody_is_in_it_and_nothing_under_way(self) -> None:
        self.assertFalse(self.room.idle)
        self.room.pending = 1
        self.lobby.leave(self.room, ALICE)
        self.assertFalse(self.room.idle)
        self.room.pending = 0
        self.assertTrue(self.room.idle)


class Asking(StateTestCase):
    def test_who_lists_members_in_order(self) -> None:
        self.lobby.enter(self.room, CAROL)
        self.lobby.enter(self.room, BOB)
        self.assertEqual(self.lobby.answer(ALICE, Who("general")), Members("general", ["alice", "bob", "carol"], 3))

    def test_a_long_list_is_cut_and_says_so(self) -> None:
        for number in range(5):
            self.lobby.enter(self.room, Identity(f"guest{number}", "s"))
        self.assertEqual(self.lobby.answer(ALICE, Who("general")), Members("general", ["alice", "guest0", "guest1"], 6))

    def test_who_is_in_a_room_is_told_to_its_members_only(self) -> None:
        with self.assertRaises(Refusal):
            self.lobby.answer(BOB, Who("general"))

    def test_the_fullest_room_comes_first(self) -> None:
        busy = self.lobby.rooms["busy"] = Room("busy", (), 5)
        self.lobby.enter(busy, BOB)
        self.lobby.enter(busy, CAROL)
        self.assertEqual(self.lobby.answer(ALICE, Rooms()), RoomList([("busy", 2), ("general", 1)], 2))

    def test_help_is_for_the_wire_format_to_tell(self) -> None:
        self.assertEqual(self.lobby.answer(ALICE, Help()), HelpText())

    def test_what_is_no_question_is_our_bug(self) -> None:
        command: Command = Say("general", "hi")
        with self.assertRaises(TypeError):
            self.lobby.answer(ALICE, command)


class Applying(StateTestCase):
    def entry(self, seq: int) -> Entry:
        return Entry(room_stream("general"), seq, NOW, ALICE.key, None, Posted(f"text {seq}"))

    def test_a_posted_entry_becomes_the_rooms_end(self) -> None:
        self.lobby.apply(self.entry(1))
        self.assertEqual((self.room.last, list(self.room.tail)), (1, [self.entry(1)]))

    def test_the_end_at_hand_is_bounded(self) -> None:
        for seq in range(1, 10):
            self.lobby.apply(self.entry(seq))
        self.assertEqual([entry.seq for entry in self.room.tail], [5, 6, 7, 8, 9])
        self.assertEqual([entry.seq for entry in self.room.recent(2) or ()], [8, 9])
        self.assertEqual(self.room.recent(0), [])
        self.assertIsNone(self.room.recent(6), "the log must be asked")

    def test_a_short_log_is_all_at_hand(self) -> None:
        self.lobby.apply(self.entry(1))
        self.assertEqual(self.room.recent(100), [self.entry(1)])

    def test_a_private_entry_changes_no_room(self) -> None:
        self.lobby.apply(Entry(inbox_stream(BOB.key), 1, NOW, ALICE.key, None, Told(BOB.key, "psst")))
        self.assertEqual(self.room.last, 0)


class Words(unittest.TestCase):
    def test_a_room_cannot_be_taken_for_an_inbox(self) -> None:
        self.assertEqual(room_of_stream(room_stream("general")), "general")
        self.assertEqual(room_of_stream(inbox_stream("general")), "")
        self.assertNotEqual(room_stream("x"), Stream("inbox/x"))

    def test_a_key_shows_its_name(self) -> None:
        self.assertEqual([name_of(identity.key) for identity in (ALICE, CAROL)], ["alice", "carol"])

    def test_rooms_of_a_token_are_patterns(self) -> None:
        identity = Identity("alice", "s", rooms=("team-*", "help"))
        allowed = [room for room in ("team-a", "team-", "help", "help2", "xteam-a") if identity.may_enter(room)]
        self.assertEqual(allowed, ["team-a", "team-", "help"])
        self.assertTrue(ALICE.may_enter("anything"))

    def test_a_rooms_name_is_made_canonical_or_refused(self) -> None:
        self.assertEqual(canonical_room_or_refuse("General"), "general")
        with self.assertRaises(Refusal) as caught:
            canonical_room_or_refuse("a b")
        self.assertEqual(caught.exception.code, "room_invalid")
