"""The pure core: who is where, what may be said, what a committed entry changes."""

from __future__ import annotations

import unittest

from gochatsecure.chat.chain import SALT, advance, erased, is_erased
from gochatsecure.chat.commands import Append, Command, Delete, Edit, Help, React, Rooms, Say, SetTopic, Tell, Who
from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.events import HelpText, Member, Members, RoomList
from gochatsecure.chat.model import (
    Content,
    Deleted,
    Edited,
    Entry,
    Identity,
    Position,
    Posted,
    Reacted,
    Role,
    Stream,
    Titled,
    Told,
    inbox_stream,
    name_of,
    room_of_stream,
    room_stream,
    text_of,
)
from gochatsecure.chat.state import Lobby, Room

ALICE = Identity("alice", "s1", role=Role.GUEST)
BOB = Identity("bob", "s2", role=Role.GUEST)
CAROL = Identity("carol", "s3")
NOW = 1_700_000_000_000
START = Position("e1", 1, 0, bytes(32))


class StateTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.lobby = Lobby(max_text=20, names_listed=3, room_rules=3)
        self.room = self.lobby.rooms["general"] = Room("general", START, (), 5)
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
        self.assertEqual((self.room.position, list(self.room.tail), self.room.pending), (START, [], 0))


class Telling(StateTestCase):
    def test_it_goes_to_both_inboxes_the_senders_first(self) -> None:
        draft = self.lobby.decide(ALICE, Tell("bob", "psst"), NOW)
        told = Told(BOB.key, "psst")
        self.assertEqual(draft.parts, ((inbox_stream(ALICE.key), told), (inbox_stream(BOB.key), told)))

    def test_a_note_to_oneself_is_kept_once(self) -> None:
        draft = self.lobby.decide(ALICE, Tell("alice", "milk"), NOW)
        self.assertEqual(draft.parts, ((inbox_stream(ALICE.key), Told(ALICE.key, "milk")),))

    def test_who_is_not_connected_is_not_told(self) -> None:
        self.assertRefused("not_connected", ALICE, Tell("dave", "psst"))
        self.lobby.depart(BOB)
        self.assertRefused("not_connected", ALICE, Tell("bob", "psst"))

    def test_who_is_known_to_keep_an_inbox_is_told_while_away(self) -> None:
        self.lobby.depart(CAROL)
        draft = self.lobby.decide(ALICE, Tell("carol", "psst"), NOW, Identity("carol", ""))
        self.assertEqual(draft.parts[1], (inbox_stream("carol"), Told("carol", "psst")))

    def test_the_next_guest_of_the_name_has_another_inbox(self) -> None:
        """Or whoever takes a guest's name would read what was said to the one before."""
        self.lobby.depart(BOB)
        self.lobby.arrive(Identity("bob", "s9", role=Role.GUEST))
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
        self.assertEqual(
            self.lobby.answer(ALICE, Who("general")),
            Members(
                "general",
                [Member("alice", 1, Role.GUEST), Member("bob", 1, Role.GUEST), Member("carol", 1, Role.MEMBER)],
                3,
            ),
        )

    def test_a_long_list_is_cut_and_says_so(self) -> None:
        for number in range(5):
            self.lobby.enter(self.room, Identity(f"guest{number}", "s"))
        self.assertEqual(
            self.lobby.answer(ALICE, Who("general")),
            Members("general", [Member(name, 1, Role.GUEST) for name in ("alice", "guest0", "guest1")], 6),
        )

    def test_who_is_in_a_room_is_told_to_its_members_only(self) -> None:
        with self.assertRaises(Refusal):
            self.lobby.answer(BOB, Who("general"))

    def test_the_fullest_room_comes_first(self) -> None:
        busy = self.lobby.rooms["busy"] = Room("busy", START, (), 5)
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
    def apply(self, content: Content, sender: Identity = ALICE) -> Entry:
        position = self.room.position
        seq, seal = position.last + 1, b"s" * SALT if text_of(content) is not None else b""
        head = advance(position.head, seq, NOW, sender.key, None, content, seal)
        entry = Entry(self.room.stream, seq, NOW, sender.key, None, content, head, seal)
        self.lobby.apply(entry)
        return entry

    def test_a_posted_entry_becomes_the_rooms_end(self) -> None:
        entry = self.apply(Posted("hi"))
        self.assertEqual((self.room.position, list(self.room.tail)), (Position("e1", 1, 1, entry.head), [entry]))

    def test_the_end_at_hand_is_bounded(self) -> None:
        entries = [self.apply(Posted(f"text {number}")) for number in range(1, 10)]
        self.assertEqual(list(self.room.tail), entries[4:])
        self.assertEqual([message.text for message in self.room.recent(2)], ["text 8", "text 9"])
        self.assertEqual(self.room.recent(0), [])
        self.assertEqual(self.room.since(4), entries[4:])
        self.assertEqual(self.room.since(9), ())
        self.assertIsNone(self.room.since(3), "the log must be asked")
        self.assertEqual([self.room.at(seq) for seq in (4, 5, 9, 10)], [None, entries[4], entries[8], None])

    def test_the_last_messages_are_shown_as_they_are_now(self) -> None:
        self.apply(Posted("teh"))
        self.apply(Posted("gone"), BOB)
        self.apply(Edited(1, "the"))
        self.apply(Reacted(1, "👍"), BOB)
        self.apply(Deleted(2), BOB)
        first, second = self.room.recent(5)
        self.assertEqual((first.text, first.reactions), ("the", {"👍": ["bob"]}))
        self.assertEqual((second.text, second.deleted is not None), ("", True))

    def test_what_is_deleted_is_no_longer_at_hand_nor_are_its_edits(self) -> None:
        self.apply(Posted("secret one"))
        self.apply(Edited(1, "secret two"))
        self.apply(Posted("other"))
        self.apply(Deleted(1))
        self.assertEqual([text_of(entry.content) for entry in self.room.tail], ["", "", "other", None])
        self.assertEqual([is_erased(entry) for entry in self.room.tail], [True, True, False, False])
        self.assertEqual(self.room.deletions, 1)

    def test_the_last_topic_stands(self) -> None:
        self.apply(Titled("one"))
        self.apply(Titled("two"))
        self.assertEqual(self.room.standing.topic, "two")

    def test_a_private_entry_changes_no_room(self) -> None:
        self.lobby.apply(Entry(inbox_stream(BOB.key), 1, NOW, ALICE.key, None, Told(BOB.key, "psst")))
        self.assertEqual(self.room.position, START)


class Amending(Applying):
    """Concerning an earlier message of the room."""

    def setUp(self) -> None:
        super().setUp()
        self.lobby.enter(self.room, BOB)

    def refused(self, identity: Identity, command: Append, about: Entry | None) -> str:
        with self.assertRaises(Refusal) as caught:
            self.lobby.decide(identity, command, NOW, about)
        return caught.exception.code

    def test_ones_own_message_is_edited_and_deleted(self) -> None:
        own = self.apply(Posted("teh"))
        draft = self.lobby.decide(ALICE, Edit("general", 1, "the", "c1"), NOW, own)
        self.assertEqual((draft.parts, draft.cid), (((self.room.stream, Edited(1, "the")),), "c1"))
        self.assertEqual(self.lobby.decide(ALICE, Delete("general", 1), NOW, own).parts[0][1], Deleted(1))

    def test_somebody_elses_is_not(self) -> None:
        other = self.apply(Posted("mine"), BOB)
        self.assertEqual(self.refused(ALICE, Edit("general", 1, "yours"), other), "not_yours")
        self.assertEqual(self.refused(ALICE, Delete("general", 1), other), "not_yours")

    def test_the_next_guest_of_a_name_may_not_change_what_the_one_before_has_said(self) -> None:
        before = self.apply(Posted("mine"), Identity("alice", "s0", role=Role.GUEST))
        self.assertEqual(self.refused(ALICE, Delete("general", 1), before), "not_yours")

    def test_anybody_in_the_room_reacts(self) -> None:
        entry = self.apply(Posted("hi"))
        draft = self.lobby.decide(BOB, React("general", 1, "👍", False), NOW, entry)
        self.assertEqual(draft.parts[0][1], Reacted(1, "👍", False))
        self.assertEqual(self.refused(CAROL, React("general", 1, "👍"), entry), "not_a_member")

    def test_what_is_no_message_cannot_be_changed(self) -> None:
        topic = self.apply(Titled("one"))
        for about in (topic, None):
            self.assertEqual(self.refused(ALICE, Edit("general", 1, "x"), about), "no_such_message")
            self.assertEqual(self.refused(ALICE, React("general", 1, "x"), about), "no_such_message")

    def test_what_is_deleted_or_being_deleted_stays_as_it_is(self) -> None:
        entry = self.apply(Posted("hi"))
        self.room.deleting.add(1)
        self.assertEqual(self.refused(ALICE, Edit("general", 1, "x"), entry), "message_deleted")
        self.room.deleting.clear()
        self.lobby.decide(ALICE, Edit("general", 1, "x"), NOW, entry)
        for command in (Edit("general", 1, "x"), Delete("general", 1), React("general", 1, "x")):
            self.assertEqual(self.refused(ALICE, command, erased(entry)), "message_deleted")

    def test_a_reply_is_to_something_that_was_said(self) -> None:
        self.apply(Posted("hi"))
        draft = self.lobby.decide(BOB, Say("general", "ho", reply_to=1), NOW)
        self.assertEqual(draft.parts[0][1], Posted("ho", reply_to=1))
        self.assertEqual(self.refused(BOB, Say("general", "ho", reply_to=2), None), "no_such_message")

    def test_a_topic_may_be_taken_away(self) -> None:
        self.assertEqual(self.lobby.decide(ALICE, SetTopic("general", ""), NOW).parts[0][1], Titled(""))
        self.assertEqual(self.refused(ALICE, SetTopic("general", "x" * 21), None), "text_too_long")


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
