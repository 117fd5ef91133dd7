"""The delivery contract in the hub: acks after the commit, replies, replay, marks. Without sockets or a clock."""

from __future__ import annotations

import asyncio
import gc
import json
import unittest
from typing import Any
from unittest import mock

from gochatsecure.chat.chain import base64url, genesis
from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.model import Identity, Role, Stream, room_stream
from gochatsecure.log.port import Opening
from gochatsecure.wire.json_v1 import JSON
from tests.live.fakes import EPOCH, Person, World, turns


class Program(Person):
    """A session of the JSON protocol."""

    asked = 0

    async def asks(self, op: str, **fields: Any) -> Any:
        """The answer's `ok`, or its error's code; None while it waits for a commit. All else stays in `events`."""
        self.asked += 1
        await (self.types(json.dumps({"op": op, "id": self.asked, **fields})) or turns())
        return self.answer(self.asked)

    def answer(self, called: int) -> Any:
        found = None
        for event in map(json.loads, self.seen()):
            if event.get("re") == called:
                found = event["ok"] if "ok" in event else event["error"]["code"]
            else:
                self.events.append(event)
        return found

    @property
    def events(self) -> list[Any]:
        self._events: list[Any] = getattr(self, "_events", [])
        return self._events

    def hears(self) -> list[Any]:
        """The events since the last time."""
        self.answer(0)
        heard = list(self.events)
        self.events.clear()
        return heard


def _raised() -> list[Refusal]:
    """Every refusal that still holds on to what it was raised through."""
    return [error for error in gc.get_objects() if isinstance(error, Refusal) and error.__traceback__]


class JSONTestCase(unittest.IsolatedAsyncioTestCase):
    history = 3
    limits: dict[str, Any] = {}  # noqa: RUF012 - of a test case

    def setUp(self) -> None:
        self.world = World(history=self.history, **self.limits)

    async def begin(self, name: str, sid: str | None = None, *, guest: bool = True, **fields: Any) -> Program:
        """Connected and welcome."""
        identity = Identity(name, sid or f"sid-of-{name}", Role.GUEST if guest else Role.MEMBER, **fields)
        program = Program(self.world, identity, JSON)
        self.world.hub.connect(program.session)
        await self.world.hub.begin(program.session, "default")
        return program

    async def enter(self, name: str, room: str = "den", sid: str | None = None, **fields: Any) -> Program:
        program = await self.begin(name, sid, **fields)
        await program.asks("join", room=room)
        program.hears()
        return program

    async def send(self, program: Program, text: str, cid: str, room: str = "den") -> Any:
        """Sent, committed and acknowledged."""
        asked = program.asked + 1
        answer = await program.asks("send", room=room, text=text, cid=cid)
        if answer is None:
            self.world.log.commit()
            answer = program.answer(asked)
        return answer

    async def committed(self, program: Program, op: str, **fields: Any) -> Any:
        answer = await program.asks(op, **fields)
        if answer is None:
            self.world.log.commit()
            answer = program.answer(program.asked)
        return answer


class Beginning(JSONTestCase):
    async def test_the_first_event_is_the_welcome_and_no_room_is_entered(self) -> None:
        alice = await self.begin("alice")
        (welcome,) = alice.hears()
        self.assertEqual((welcome["event"], welcome["username"]), ("welcome", "alice"))
        self.assertEqual(welcome["limits"]["text"], self.world.limits.text)
        self.assertEqual(welcome["inbox"]["last"], 0)
        self.assertEqual(alice.session.rooms, set())

    async def test_what_comes_into_the_inbox_meanwhile_is_shown_after_it_and_once(self) -> None:
        bob = await self.begin("bob")
        self.world.log.readable.clear()
        alice = Program(self.world, Identity("alice", "s1", Role.GUEST), JSON)
        self.world.hub.connect(alice.session)
        beginning = asyncio.create_task(self.world.hub.begin(alice.session, ""))
        await turns()
        await bob.asks("private", to="alice", text="one", cid="1")
        self.world.log.commit()
        self.world.log.readable.set()
        await beginning
        await bob.asks("private", to="alice", text="two", cid="2")
        self.world.log.commit()
        welcome, *private = alice.hears()
        shown = [event["text"] for event in private]
        # The first was stored before the welcome looked: it is counted there, and may be asked for.
        self.assertEqual((welcome["inbox"]["last"], shown), (1, ["two"]))
        start = {"epoch": EPOCH, "seq": 0}
        replay = await alice.asks("inbox", after=start)
        self.assertEqual([event["text"] for event in replay["events"]], ["one"])

    async def test_what_comes_after_the_look_and_before_the_welcome_is_shown_behind_it(self) -> None:
        bob = await self.begin("bob")
        looks, go_on = self.world.log.look, asyncio.Event()

        async def slow(stream: Stream, limit: int) -> Opening:
            found = await looks(stream, limit)
            await go_on.wait()
            return found

        alice = Program(self.world, Identity("alice", "s1", Role.GUEST), JSON)
        self.world.hub.connect(alice.session)
        with mock.patch.object(self.world.log, "look", slow):
            beginning = asyncio.create_task(self.world.hub.begin(alice.session, ""))
            await turns()
            await bob.asks("private", to="alice", text="one", cid="1")
            self.world.log.commit()
            go_on.set()
            await beginning
        welcome, private = alice.hears()
        self.assertEqual((welcome["inbox"]["last"], private["text"]), (0, "one"))

    async def test_what_the_welcome_has_counted_is_not_shown_when_the_hub_is_told_of_it_later(self) -> None:
        # The log's reader may see a commit before the committer has told the hub.
        bob = await self.begin("bob")
        elsewhere = await self.begin("alice", "s1")
        elsewhere.hears()
        await bob.asks("private", to="alice", text="one", cid="1")
        (draft,) = self.world.log.arrived
        stored = self.world.log.store(draft)
        alice = await self.begin("alice", "s1")
        self.world.hub.committed([stored])
        (welcome,) = alice.hears()
        self.assertEqual(welcome["inbox"]["last"], 1)
        self.assertEqual([event["text"] for event in elsewhere.hears()], ["one"])

    async def test_who_leaves_before_its_welcome_leaves_nothing_behind(self) -> None:
        self.world.log.readable.clear()
        alice = Program(self.world, Identity("alice", "s1", Role.GUEST), JSON)
        self.world.hub.connect(alice.session)
        beginning = asyncio.create_task(self.world.hub.begin(alice.session, ""))
        await turns()
        alice.leaves()
        self.world.log.readable.set()
        await beginning
        self.assertEqual((alice.seen(), self.world.remains()), ([], {}))


class Sending(JSONTestCase):
    async def test_the_ack_comes_after_the_commit_and_not_before(self) -> None:
        alice = await self.enter("alice")
        self.assertIsNone(await alice.asks("send", room="den", text="hi", cid="1"))
        self.assertEqual(alice.hears(), [])
        self.world.log.commit()
        ok = alice.answer(alice.asked)
        (event,) = alice.hears()
        self.assertEqual((ok["seq"], ok["dup"], ok["epoch"], ok["cid"]), (1, False, EPOCH, "1"))
        self.assertEqual((event["event"], event["text"], event["head"]), ("message", "hi", ok["head"]))

    async def test_what_cannot_be_stored_is_an_error_and_shown_to_nobody(self) -> None:
        alice, bob = await self.enter("alice"), await self.enter("bob")
        alice.hears()
        await alice.asks("send", room="den", text="hi", cid="1")
        self.world.log.fail()
        (answer,) = [json.loads(text) for text in alice.seen()]
        self.assertEqual((answer["re"], answer["error"]["code"]), (alice.asked, "store_unavailable"))
        self.assertTrue(answer["error"]["temporary"])
        self.assertEqual(bob.hears(), [])

    async def test_each_answer_goes_to_its_request(self) -> None:
        alice = await self.enter("alice")
        for number in (11, 12, 13):
            alice.types(
                json.dumps({"op": "send", "id": number, "room": "den", "text": str(number), "cid": str(number)})
            )
        self.world.log.commit()
        answers = [json.loads(text) for text in alice.seen()]
        acks = {answer["re"]: answer["ok"]["cid"] for answer in answers if "re" in answer}
        self.assertEqual(acks, {11: "11", 12: "12", 13: "13"})

    async def test_lines_and_json_meet_in_one_room(self) -> None:
        typist = await self.world.enter("typist", "den")
        alice = await self.enter("alice")
        self.assertEqual(typist.seen(), ["alice joined the room"])
        typist.types("hello")
        self.world.log.commit()
        (event,) = alice.hears()
        self.assertEqual((event["from"], event["text"], event["cid"]), ("typist", "hello", None))
        await self.send(alice, "hi", "1")
        self.assertEqual(typist.seen(), ["typist: hello", "alice: hi"])

    async def test_a_session_is_in_several_rooms(self) -> None:
        alice, bob = await self.enter("alice", "one"), await self.enter("bob", "two")
        await alice.asks("join", room="two")
        bob.hears()
        await self.send(bob, "hi", "1", "two")
        self.assertEqual([event["room"] for event in alice.hears()], ["two"])
        self.assertEqual((await self.send(alice, "ho", "2", "one"))["room"], "one")
        self.assertEqual(await alice.asks("leave", room="one"), {})
        self.assertEqual(await alice.asks("send", room="one", text="x", cid="3"), "not_a_member")
        alice.leaves()
        self.assertEqual([event["event"] for event in bob.hears()][-1], "left")

    async def test_rooms_of_one_session_are_bounded(self) -> None:
        self.world = World(rooms_per_session=2)
        alice = await self.enter("alice", "one")
        await alice.asks("join", room="two")
        self.assertEqual(await alice.asks("join", room="three"), "too_many_rooms")
        self.assertEqual(await alice.asks("join", room="two"), "already_joined")

    async def test_no_refusal_keeps_anything_of_whom_it_was_told(self) -> None:
        gc.collect()
        others = {id(error) for error in _raised()}  # of tests before this one
        alice = await self.enter("alice")
        for _ in range(3):  # at once; after the session's pending message; after looking it up
            self.assertEqual(await alice.asks("members", room="elsewhere"), "not_a_member")
            self.assertEqual(await alice.asks("delete", room="den", seq=9, cid="9"), "no_such_message")
            self.assertIsNone(await alice.asks("send", room="den", text="x", cid="1"))
            waiting = alice.types(json.dumps({"op": "leave", "room": "elsewhere"}))
            assert waiting is not None
            self.world.log.commit()
            await waiting
        gc.collect()  # a refusal that waited for its turn is in a circle with the frame that raised it
        kept = [error for error in _raised() if id(error) not in others]
        self.assertEqual([(error.code, error.__traceback__) for error in kept], [])

    async def test_what_is_not_json_is_refused_and_in_the_end_closed(self) -> None:
        self.world = World(refusals=3)
        alice = await self.enter("alice")
        for _ in range(4):
            await (alice.types("hello?") or turns())
        errors = [json.loads(text)["error"]["code"] for text in alice.seen()]
        self.assertEqual((errors, alice.closed and alice.closed[0]), (["malformed"] * 3, 4400))


class Amending(JSONTestCase):
    async def test_edits_deletions_and_reactions_are_entries_of_the_room(self) -> None:
        alice, bob = await self.enter("alice"), await self.enter("bob")
        await self.send(alice, "teh", "1")
        alice.hears(), bob.hears()
        await self.committed(alice, "edit", room="den", seq=1, text="the", cid="2")
        await self.committed(bob, "react", room="den", seq=1, emoji="👍", cid="b1")
        ok = await self.committed(alice, "delete", room="den", seq=1, cid="3")
        self.assertEqual(ok["seq"], 4)
        events = bob.hears()
        self.assertEqual(
            [(event["event"], event["seq"]) for event in events], [("edited", 2), ("reacted", 3), ("deleted", 4)]
        )
        (message,) = (await bob.asks("history", room="den"))["messages"]
        self.assertEqual(("text" in message, message["deleted"]["seq"]), (False, 4))

    async def test_a_message_that_is_not_at_hand_is_looked_up(self) -> None:
        alice = await self.enter("alice")
        for number in range(6):
            await self.send(alice, f"text {number}", f"c{number}")
        reads = self.world.log.reads
        self.assertEqual((await self.committed(alice, "edit", room="den", seq=1, text="new", cid="e"))["seq"], 7)
        self.assertEqual(self.world.log.reads, reads + 1)
        self.assertEqual(await alice.asks("edit", room="den", seq=99, text="x", cid="f"), "no_such_message")

    async def test_what_was_deleted_while_it_was_looked_up_is_not_edited(self) -> None:
        """Else the new text would stay in the log, where nobody could ever erase it."""
        alice, phone = await self.enter("alice"), await self.enter("alice")
        for number in range(6):
            await self.send(alice, f"text {number}", f"c{number}")
        await self.send(phone, "last", "p")
        self.world.log.readable.clear()
        deleting = alice.types(json.dumps({"op": "delete", "id": 51, "room": "den", "seq": 1, "cid": "d"}))
        editing = phone.types(json.dumps({"op": "edit", "id": 50, "room": "den", "seq": 1, "text": "x", "cid": "e"}))
        assert editing is not None and deleting is not None
        await turns()
        self.world.log.readable.set()
        await deleting
        self.world.log.commit()
        await editing
        self.world.log.commit()
        self.assertEqual(alice.answer(51)["seq"], 8)
        self.assertEqual(phone.answer(50), "message_deleted")

    async def test_while_a_deletion_is_under_way_nothing_else_is_done_to_the_message(self) -> None:
        alice = await self.enter("alice")
        await self.send(alice, "hi", "1")
        await alice.asks("delete", room="den", seq=1, cid="2")
        refused = alice.types(json.dumps({"op": "edit", "id": 60, "room": "den", "seq": 1, "text": "x", "cid": "3"}))
        self.world.log.fail()
        await (refused or turns())
        self.assertEqual(alice.answer(60), "message_deleted")
        self.assertEqual((await self.committed(alice, "edit", room="den", seq=1, text="y", cid="4"))["seq"], 2)

    async def test_the_topic_is_told_on_joining(self) -> None:
        alice = await self.enter("alice")
        await self.committed(alice, "topic", room="den", text="cats", cid="1")
        bob = await self.begin("bob")
        self.assertEqual((await bob.asks("join", room="den"))["topic"], "cats")


class Resuming(JSONTestCase):
    limits = {"replay_page": 4}  # noqa: RUF012

    async def fill(self, count: int) -> tuple[Program, list[Any]]:
        alice = await self.enter("alice")
        return alice, [await self.send(alice, f"text {number}", f"c{number}") for number in range(1, count + 1)]

    def after(self, ack: Any, **changed: Any) -> dict[str, Any]:
        return {"epoch": ack["epoch"], "seq": ack["seq"], "head": ack["head"], **changed}

    async def test_what_was_missed_is_replayed_and_the_live_stream_follows_on(self) -> None:
        alice, acks = await self.fill(6)
        bob = await self.begin("bob")
        ok = await bob.asks("join", room="den", after=self.after(acks[2]))
        self.assertEqual([event["seq"] for event in ok["events"]], [4, 5, 6])
        self.assertEqual((ok["recovered"], ok["more"], ok["last"], ok["head"]), (True, False, 6, acks[5]["head"]))
        bob.hears()
        await self.send(alice, "text 7", "c7")
        self.assertEqual([event["seq"] for event in bob.hears()], [7])

    async def test_a_long_gap_comes_in_pages_and_only_the_last_attaches(self) -> None:
        alice, acks = await self.fill(11)
        bob = await self.begin("bob")
        seqs: list[int] = []
        cursor = self.after(acks[0])
        for more in (True, True, False):
            ok = await bob.asks("join", room="den", after=cursor)
            self.assertEqual((ok["more"], "den" in bob.session.rooms), (more, not more))
            seqs += [event["seq"] for event in ok["events"]]
            cursor = self.after({"epoch": EPOCH, **ok["events"][-1]})
        self.assertEqual(seqs, list(range(2, 12)))
        self.assertEqual(len(alice.hears()), 12)  # eleven messages, and bob, once

    async def test_a_cursor_at_the_end_or_at_the_start(self) -> None:
        _, acks = await self.fill(3)
        bob = await self.begin("bob")
        ok = await bob.asks("join", room="den", after=self.after(acks[2]))
        self.assertEqual((ok["events"], ok["recovered"], ok["more"]), ([], True, False))
        await bob.asks("leave", room="den")
        start = {"epoch": EPOCH, "seq": 0, "head": base64url(genesis(room_stream("den"), EPOCH))}
        ok = await bob.asks("join", room="den", after=start)
        self.assertEqual([event["seq"] for event in ok["events"]], [1, 2, 3])

    async def test_what_cannot_be_replayed_is_said_and_never_hidden(self) -> None:
        _, acks = await self.fill(3)
        bob = await self.begin("bob")
        ok = await bob.asks("join", room="den", after=self.after(acks[0], epoch="another"))
        self.assertEqual((ok["recovered"], ok["events"], ok["last"]), (False, [], 3))
        self.assertIn("den", bob.session.rooms)

    async def test_a_changed_history_is_found_out(self) -> None:
        _, acks = await self.fill(3)
        bob = await self.begin("bob")
        for after in (
            self.after(acks[1], head=acks[0]["head"]),
            self.after(acks[2], seq=9),
            {"epoch": EPOCH, "seq": 0, "head": acks[0]["head"]},
        ):
            with self.subTest(after):
                self.assertEqual(await bob.asks("join", room="den", after=after), "history_fork")
                self.assertEqual(bob.session.rooms, set())

    async def test_what_is_committed_while_the_log_is_read_is_in_the_replay(self) -> None:
        alice, acks = await self.fill(3)
        bob = await self.begin("bob")
        self.world.log.readable.clear()
        request = {"op": "join", "id": 70, "room": "den", "after": self.after(acks[1])}
        joining = bob.types(json.dumps(request))
        assert joining is not None
        await turns()
        await alice.asks("send", room="den", text="meanwhile", cid="m")
        self.world.log.commit()
        self.world.log.readable.set()
        await joining
        self.assertEqual([event["seq"] for event in bob.answer(70)["events"]], [3, 4])


class Marks(JSONTestCase):
    async def test_a_mark_never_goes_back_and_other_devices_hear_of_it(self) -> None:
        alice, phone = await self.enter("alice"), await self.enter("alice")
        for number in range(3):
            await self.send(alice, "x", f"c{number}")
        phone.hears()
        self.assertEqual(await alice.asks("read", room="den", seq=2), {"room": "den", "seq": 2})
        self.assertEqual(phone.hears(), [{"event": "read", "room": "den", "seq": 2}])
        self.assertEqual((await alice.asks("read", room="den", seq=1))["seq"], 2)
        self.assertEqual((await alice.asks("read", room="den", seq=99))["seq"], 3, "beyond the end is its end")
        self.assertEqual(await alice.asks("read", seq=1), "field_invalid")

    async def test_what_is_unread_is_counted_for_who_returns(self) -> None:
        alice, bob = await self.enter("alice"), await self.enter("bob")
        await self.send(alice, "one", "1")
        await alice.asks("read", room="den", seq=1)
        for number in range(3):
            await self.send(bob, "x", f"b{number}")
        rooms = (await alice.asks("unread"))["rooms"]
        self.assertEqual(rooms, [{"room": "den", "read": 1, "unread": 3}])


class Present(JSONTestCase):
    async def test_members_and_their_sessions(self) -> None:
        alice = await self.enter("alice")
        await self.enter("alice")
        await self.enter("bob")
        members = (await alice.asks("members", room="den"))["members"]
        self.assertEqual([(one["name"], one["sessions"]) for one in members], [("alice", 2), ("bob", 1)])
        self.assertEqual(await alice.asks("who", name="bob"), {"name": "bob", "sessions": 1})
        self.assertEqual(await alice.asks("who", name="carol"), {"name": "carol", "sessions": 0})

    async def test_typing_is_told_to_the_others_and_not_too_often(self) -> None:
        alice, bob = await self.enter("alice"), await self.enter("bob")
        alice.hears()
        for _ in range(5):
            await alice.asks("typing", room="den")
        self.assertEqual((alice.hears(), bob.hears()), ([], [{"event": "typing", "room": "den", "from": "alice"}]))
        self.world.clock.now += self.world.limits.typing_s
        await alice.asks("typing", to="bob")
        await alice.asks("typing", room="den")
        self.assertEqual(len(bob.hears()), 2)
        self.assertEqual(self.world.log.arrived, [])

    async def test_presence_is_dropped_first_and_messages_never(self) -> None:
        alice, bob = await self.enter("alice"), await self.enter("bob")
        bob.session.outbox.pause()
        bob.session.outbox._size = self.world.limits.outbox // 4 + 1
        await alice.asks("typing", room="den")
        await self.send(alice, "hi", "1")
        bob.session.outbox._size = 0
        self.assertEqual([json.loads(text)["event"] for text in bob.seen()], ["message"])

    async def test_draining_is_said(self) -> None:
        alice = await self.enter("alice")
        self.world.hub.drain()
        self.assertEqual(alice.hears(), [{"event": "draining", "reconnect_after_ms": 2000}])


class Private(JSONTestCase):
    async def test_both_parties_devices_see_it_and_the_ack_says_whether_it_was_delivered(self) -> None:
        alice, phone, bob = await self.begin("alice"), await self.begin("alice"), await self.begin("bob")
        for program in (alice, phone, bob):
            program.hears()
        ok = await self.committed(alice, "private", to="bob", text="psst", cid="1")
        self.assertEqual((ok["to"], ok["seq"], ok["delivered"]), ("bob", 1, True))
        for program in (alice, phone, bob):
            (event,) = program.hears()
            self.assertEqual((event["event"], event["from"], event["to"]), ("private", "alice", "bob"))

    async def test_it_is_kept_for_the_owner_of_a_name_who_is_away(self) -> None:
        alice = await self.begin("alice")
        owner = await self.begin("carol", guest=False)
        owner.leaves()
        ok = await self.committed(alice, "private", to="carol", text="later", cid="1")
        self.assertFalse(ok["delivered"])
        back = await self.begin("carol", guest=False)
        (welcome,) = back.hears()
        self.assertEqual(welcome["inbox"]["last"], 1)
        replay = await back.asks("inbox", after={"epoch": EPOCH, "seq": 0})
        self.assertEqual([event["text"] for event in replay["events"]], ["later"])

    async def test_nobody_keeps_it_for_a_guest_who_is_away(self) -> None:
        alice, bob = await self.begin("alice"), await self.begin("bob")
        bob.leaves()
        self.assertEqual(await alice.asks("private", to="bob", text="x", cid="1"), "not_connected")

    async def test_a_conversation_has_a_history(self) -> None:
        alice, bob = await self.begin("alice"), await self.begin("bob")
        await self.committed(alice, "private", to="bob", text="one", cid="1")
        await self.committed(bob, "private", to="alice", text="two", cid="1")
        ok = await alice.asks("history", **{"with": "bob"})
        self.assertEqual([(one["from"], one["text"]) for one in ok["messages"]], [("alice", "one"), ("bob", "two")])
        self.assertEqual(await alice.asks("history"), "field_invalid")


class Searching(JSONTestCase):
    async def test_the_newest_first_without_regard_to_case(self) -> None:
        alice = await self.enter("alice")
        for number, text in enumerate(("Cats", "dogs", "more cats", "birds")):
            await self.send(alice, text, f"c{number}")
        ok = await alice.asks("search", room="den", text="CAT")
        self.assertEqual([message["seq"] for message in ok["messages"]], [3, 1])
        self.assertFalse(ok["more"])
        ok = await alice.asks("search", room="den", text="cat", limit=1)
        self.assertEqual(([message["seq"] for message in ok["messages"]], ok["more"]), ([3], True))
        ok = await alice.asks("search", room="den", text="cat", before=ok["before"])
        self.assertEqual([message["seq"] for message in ok["messages"]], [1])

    async def test_only_in_ones_own_rooms(self) -> None:
        alice = await self.begin("alice")
        self.assertEqual(await alice.asks("search", room="den", text="x"), "not_a_member")


class Refreshing(JSONTestCase):
    async def test_a_newer_token_of_the_same_identity_prolongs_the_session(self) -> None:
        alice = await self.enter("alice", expires=self.world.clock.now + 10)
        later = self.world.clock.now + 100
        self.world.identities["good"] = Identity("alice", "sid-of-alice", Role.GUEST, later)
        self.world.identities["bob's"] = Identity("bob", "sid-of-bob", Role.GUEST, later)
        self.assertEqual(await alice.asks("refresh", token="good"), {"expires_in": 100})
        self.assertEqual(self.world.hub.seconds_left(alice.session), 100)
        self.assertEqual(await alice.asks("refresh", token="bob's"), "token_refused")
        self.assertEqual(await alice.asks("refresh", token="nonsense"), "token_malformed")

    async def test_rooms_that_the_new_token_does_not_open_are_left(self) -> None:
        alice = await self.enter("alice")
        self.world.identities["less"] = Identity("alice", "sid-of-alice", Role.GUEST, rooms=("other",))
        await alice.asks("refresh", token="less")
        self.assertEqual(alice.session.rooms, set())
