"""The JSON protocol: what a program may send, and what it is shown. Without a socket."""

from __future__ import annotations

import json
import unittest
from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from gochatsecure.chat.chain import SALT, advance, base64url, erased, genesis
from gochatsecure.chat.commands import Asked, Edit, History, Join, Read, Rooms, Say, Tell
from gochatsecure.chat.errors import Refusal, Temporary
from gochatsecure.chat.events import (
    Acked,
    Done,
    Draining,
    Entered,
    Event,
    Joined,
    Left,
    Marked,
    Member,
    Members,
    Messages,
    Refused,
    Replay,
    Typing,
    Welcome,
)
from gochatsecure.chat.fold import fold
from gochatsecure.chat.model import (
    Content,
    Cursor,
    Deleted,
    Edited,
    Entry,
    Position,
    Posted,
    Reacted,
    Role,
    Stream,
    Titled,
    Told,
    inbox_stream,
    room_stream,
    text_of,
)
from gochatsecure.chat.table import BY_OP
from gochatsecure.wire.json_v1 import JSON
from tests.wire.support import PropertyTestCase

try:
    from hypothesis import strategies as st
except ImportError:
    pass

ROOM = room_stream("den")
HEAD = base64url(bytes(32))


def objects(frames: bytes) -> list[Any]:
    """What a client reads."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frames)
    found = []
    for message in client.events():
        assert isinstance(message, TextMessage) and message.message_finished, message
        found.append(json.loads(message.data))
    return found


def shown(event: Event) -> Any:
    (found,) = objects(JSON.frames(event))
    return found


def answered(event: Event, called: str | int | None = 7) -> Any:
    (found,) = objects(JSON.answer(called, event))
    return found


def asked(**fields: Any) -> Asked:
    return JSON.decode(json.dumps(fields), "elsewhere")


def kept(content: Content, *, seq: int = 1, stream: Stream = ROOM, sender: str = "alice~s1", cid: str = "c1") -> Entry:
    seal = b"" if text_of(content) is None else b"s" * SALT
    head = advance(genesis(stream, "e1"), seq, 5, sender, cid, content, seal)
    return Entry(stream, seq, 5, sender, cid, content, head, seal)


class Requests(unittest.TestCase):
    def test_each_becomes_its_command(self) -> None:
        after = {"epoch": "e1", "seq": 3, "head": HEAD}
        for fields, command in (
            ({"op": "send", "room": "Den", "cid": "1", "text": "hi"}, Say("den", "hi", cid="1")),
            ({"op": "send", "room": "den", "cid": "1", "text": "", "reply_to": 4}, Say("den", "", False, "1", 4)),
            ({"op": "private", "to": "BOB", "cid": "1", "text": "hi"}, Tell("bob", "hi", "1")),
            ({"op": "edit", "room": "den", "cid": "1", "seq": 2, "text": "x"}, Edit("den", 2, "x", "1")),
            ({"op": "join", "room": "den"}, Join("den")),
            ({"op": "join", "room": "den", "after": after}, Join("den", Cursor("e1", 3, bytes(32)))),
            ({"op": "history", "with": "bob", "before": 9}, History(with_="bob", before=9)),
            ({"op": "read", "room": "den", "seq": 0}, Read(0, "den")),
            ({"op": "rooms", "later": {"versions": "may say more"}}, Rooms()),
        ):
            with self.subTest(fields):
                self.assertEqual(asked(id="r1", **fields), Asked("r1", command))

    def assertRefused(self, text: str, called: str | int | None, code: str) -> None:
        request = JSON.decode(text, "den")
        assert isinstance(request.command, Refusal), request
        self.assertEqual((request.id, request.command.code), (called, code))

    def test_what_is_no_request_is_refused(self) -> None:
        for text in (
            "", "hi", "[]", "1", '"send"', "null", "{", '{"op":"ping","op":"ping"}', '{"op":"ping","x":NaN}',
            '{"op":"ping","id":[]}', '{"op":"ping","id":true}', '{"op":"ping","id":1.5}',
            '{"op":"ping","id":9999999999999999}',
            '{"op":"ping","id":"' + "x" * 65 + '"}', '{"op":"ping","id":"\\ud800"}', '{"op":"ping","id":"\\n"}',
            "[" * 30_000, '{"op":"ping","x":' + "9" * 5000 + "}",
            '{"op":"ping","x":-Infinity}',
        ):  # fmt: skip
            with self.subTest(text[:40]):
                self.assertRefused(text, None, "malformed")

    def test_the_deepest_nesting_that_fits_into_a_message_is_refused_somehow(self) -> None:
        """Each Python has its own depth at which it gives up reading; none may fall over it."""
        for depth in (10, 500, 2000, 8000, 30_000):
            for text in ("[" * depth + "]" * depth, '{"a":' * (depth // 3) + "1" + "}" * (depth // 3)):
                self.assertIsInstance(JSON.decode(text, "den").command, Refusal)

    def test_a_fault_is_told_under_the_requests_own_id(self) -> None:
        for fields, code in (
            ({}, "op_unknown"),
            ({"op": "shout"}, "op_unknown"),
            ({"op": ["send"]}, "op_unknown"),
            ({"op": "send", "room": "den", "text": "hi"}, "field_missing"),
            ({"op": "send", "room": "den", "text": None, "cid": "1"}, "field_missing"),
            ({"op": "send", "room": "den", "text": "hi", "cid": 1}, "field_invalid"),
            ({"op": "send", "room": "den", "text": "\ud800", "cid": "1"}, "field_invalid"),
            ({"op": "send", "room": "a b", "text": "hi", "cid": "1"}, "room_invalid"),
            ({"op": "private", "to": "a b", "text": "hi", "cid": "1"}, "username_invalid"),
            ({"op": "join", "room": "den", "after": {"seq": 1}}, "field_invalid"),
        ):
            with self.subTest(fields):
                self.assertRefused(json.dumps({"id": 7, **fields}), 7, code)

    def test_a_fault_never_repeats_what_was_sent(self) -> None:
        for fields in (
            {"op": "evil"},
            {"op": "send", "room": "evil!", "cid": "1", "text": "x"},
            {"op": "ping", "id": ["evil"]},
        ):
            command = asked(**fields).command
            assert isinstance(command, Refusal)
            self.assertNotIn("evil", command.message)

    def test_every_op_can_be_asked_for(self) -> None:
        for op in BY_OP:
            command = asked(op=op).command
            if isinstance(command, Refusal):
                self.assertEqual(command.code, "field_missing")


class Answers(unittest.TestCase):
    def test_an_answer_names_its_request(self) -> None:
        self.assertEqual(answered(Done(), "r1"), {"re": "r1", "ok": {}})
        self.assertEqual(answered(Done(), 0), {"re": 0, "ok": {}})

    def test_who_gives_no_id_wants_no_answer_but_hears_of_errors(self) -> None:
        self.assertEqual(JSON.answer(None, Done()), b"")
        error = {"code": "x", "message": "no", "temporary": False}
        self.assertEqual(answered(Refused(Refusal("x", "no")), None), {"re": None, "error": error})

    def test_an_error_says_whether_to_try_again_and_when(self) -> None:
        self.assertEqual(
            answered(Refused(Temporary("store_busy", "wait", 1500)))["error"],
            {"code": "store_busy", "message": "wait", "temporary": True, "retry_after_ms": 1500},
        )

    def test_an_ack_has_the_entrys_place(self) -> None:
        entry = kept(Posted("hi"), seq=3)
        ok = {"room": "den", "cid": "c1", "epoch": "e1", "seq": 3, "head": base64url(entry.head), "ts": 5, "dup": False}
        self.assertEqual(answered(Acked(entry, "e1", dup=False))["ok"], ok)

    def test_an_ack_of_a_private_message_names_the_other_and_no_key(self) -> None:
        entry = kept(Told("bob~s2", "hi"), stream=inbox_stream("alice~s1"))
        ok = answered(Acked(entry, "e1", dup=True, delivered=False))["ok"]
        self.assertEqual((ok["to"], ok["dup"], ok["delivered"], "room" in ok), ("bob", True, False, False))
        self.assertNotIn("~", json.dumps(ok))

    def test_a_join_tells_where_the_room_stands_and_what_was_missed(self) -> None:
        replay = Replay(Position("e1", 1, 2, bytes(32)), True, False, [kept(Posted("hi"), seq=2)])
        members = Members("den", [Member("alice", 2, Role.OWNER)], 1)
        ok = answered(Entered("den", "alice", Role.OWNER, replay, members, "cats", "unlisted", 5, ()))["ok"]
        self.assertEqual(
            {name: ok[name] for name in ("room", "epoch", "floor", "last", "head", "recovered", "more", "topic")},
            {
                "room": "den", "epoch": "e1", "floor": 1, "last": 2, "head": HEAD,
                "recovered": True, "more": False, "topic": "cats",
            },
        )  # fmt: skip
        self.assertEqual((ok["members"], ok["total"]), ([{"name": "alice", "sessions": 2, "role": "owner"}], 1))
        self.assertEqual((ok["role"], ok["visibility"], ok["slow"]), ("owner", "unlisted", 5))
        self.assertEqual(ok["events"], [shown(kept(Posted("hi"), seq=2))])

    def test_history_is_messages_in_their_present_state(self) -> None:
        entries = [
            kept(Posted("teh"), seq=1),
            kept(Posted("gone"), seq=2),
            kept(Edited(1, "the"), seq=3),
            kept(Reacted(1, "👍", True), seq=4, sender="bob"),
            kept(Deleted(2), seq=5),
        ]
        ok = answered(Messages("den", None, fold(entries), 1, 5, False, 1))["ok"]
        first, second = ok["messages"]
        self.assertEqual(
            (first["text"], first["edited"], first["reactions"]), ("the", {"seq": 3, "ts": 5}, {"👍": ["bob"]})
        )
        self.assertEqual((second["deleted"], "text" in second), ({"seq": 5, "ts": 5, "from": "alice"}, False))
        self.assertEqual((ok["room"], ok["first"], ok["last"], ok["more"], ok["floor"]), ("den", 1, 5, False, 1))


class Events(unittest.TestCase):
    def test_an_entry_has_all_that_its_head_is_made_of(self) -> None:
        """Else no client could check the chain: recomputed here from what is shown, by the words of `chat.chain`."""
        import hashlib
        from base64 import urlsafe_b64decode

        def bytes_of(text: str) -> bytes:
            return urlsafe_b64decode(text + "=" * (-len(text) % 4))

        for content, fields in (
            (Posted("hi", False, 3), ("text", "action", "reply_to")),
            (Edited(1, "ho"), ("target", "text")),
            (Deleted(1), ("target",)),
            (Reacted(1, "👍", False), ("target", "emoji", "on")),
            (Titled("cats"), ("text",)),
        ):
            for entry in (kept(content, seq=9), erased(kept(content, seq=9))):
                event = shown(entry)
                values = dict(event)
                if "salt" in event:
                    commitment = hashlib.sha256(bytes_of(event["salt"]) + event["text"].encode()).digest()
                    values["text"] = base64url(commitment)
                elif "commitment" in event:
                    values["text"] = event["commitment"]
                names = ("seq", "ts", "from", "cid", "event", *fields)
                canonical = json.dumps([values[name] for name in names], ensure_ascii=False, separators=(",", ":"))
                start = json.dumps(["gochatsecure.v1", "room", "den", "e1"], separators=(",", ":"))
                head = hashlib.sha256(hashlib.sha256(start.encode()).digest() + canonical.encode()).digest()
                self.assertEqual(event["head"], base64url(head))

    def test_an_erased_entry_keeps_its_commitment_and_no_salt(self) -> None:
        event = shown(erased(kept(Posted("secret"))))
        self.assertFalse({"text", "salt"} & set(event))
        self.assertIn("commitment", event)

    def test_a_private_entry_is_of_no_room_and_names_people_by_name(self) -> None:
        event = shown(kept(Told("bob~s2", "psst"), stream=inbox_stream("alice~s1")))
        self.assertEqual((event["event"], event["from"], event["to"]), ("private", "alice", "bob"))
        self.assertNotIn("room", event)
        self.assertNotIn("~", json.dumps(event))

    def test_presence_and_marks_have_no_seq(self) -> None:
        for event, fields in (
            (Joined("den", "bob"), {"event": "joined", "room": "den", "from": "bob"}),
            (Left("den", "bob"), {"event": "left", "room": "den", "from": "bob"}),
            (Typing("den", "bob"), {"event": "typing", "room": "den", "from": "bob"}),
            (Typing("", "bob"), {"event": "typing", "from": "bob"}),
            (Marked("den", None, 3), {"event": "read", "room": "den", "seq": 3}),
            (Marked(None, "bob", 3), {"event": "read", "with": "bob", "seq": 3}),
            (Draining(2000), {"event": "draining", "reconnect_after_ms": 2000}),
        ):
            self.assertEqual(shown(event), fields)

    def test_the_welcome(self) -> None:
        event = shown(Welcome("bob", "1", 60.5, {"text": 4096}, "9", Position("e1", 1, 0, bytes(32))))
        self.assertEqual(
            event,
            {
                "event": "welcome", "username": "bob", "session": "1", "expires_in": 60, "version": "9",
                "limits": {"text": 4096}, "inbox": {"epoch": "e1", "floor": 1, "last": 0, "head": HEAD},
            },
        )  # fmt: skip


class WrittenOut(unittest.TestCase):
    """A live message and an ack are written by hand: they MUST say what the dictionaries of the others say."""

    def test_a_message_is_the_same_live_and_replayed(self) -> None:
        for text in ("hi", "", 'a "quoted" \\ one', "\x00\n\t\x7f\u2028", "日é😀", "</script>"):
            for action, reply_to, cid in ((False, None, "c1"), (True, 2**53 - 1, 'c"2'), (False, 3, None)):
                entry = kept(Posted(text, action, reply_to), seq=2)._replace(cid=cid)
                replay = Replay(Position("e1", 1, 2, bytes(32)), True, False, [entry])
                (replayed,) = answered(Entered("den", "alice", replay, Members("den", [], 0), "", ()))["ok"]["events"]
                with self.subTest(entry):
                    self.assertEqual([*shown(entry).items()], [*replayed.items()])

    def test_a_request_may_be_called_anything_that_an_id_can_be(self) -> None:
        entry = kept(Posted("hi"), stream=room_stream("日本"))._replace(cid='"c')
        for called in (0, -(2**53) + 1, "", 'a"b\\', "日"):
            with self.subTest(called):
                found = answered(Acked(entry, 'e"1', dup=False), called)
                self.assertEqual(found["re"], called)
                self.assertEqual([found["ok"][name] for name in ("room", "cid", "epoch")], ["日本", '"c', 'e"1'])


class Generated(PropertyTestCase):
    def test_any_text_is_a_command_or_a_refusal(self) -> None:
        def holds(text: str) -> None:
            JSON.decode(text, "den")

        self.check(holds, text=st.text())

    def test_any_fields_are_a_command_or_a_refusal(self) -> None:
        values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({"epoch": "e", "seq": 1})
        names = st.sampled_from(
            ["room", "to", "text", "cid", "seq", "after", "with", "emoji", "on", "limit", "token", "id"]
        )

        def holds(op: str, fields: dict[str, Any]) -> None:
            request = JSON.decode(json.dumps({"op": op, **fields}), "den")
            if not isinstance(request.command, Refusal):
                self.assertIsInstance(request.command, BY_OP[op].command)

        self.check(holds, op=st.sampled_from(list(BY_OP)), fields=st.dictionaries(names, values))


del PropertyTestCase
