"""The tables of shapes hold what the codec says; the schemas that are made of them hold it, too."""

from __future__ import annotations

import typing
import unittest
from importlib.util import find_spec
from typing import Any

from gochatsecure.chat import commands, events, table
from gochatsecure.chat.chain import erased
from gochatsecure.chat.errors import Refusal, Temporary
from gochatsecure.chat.fold import fold
from gochatsecure.chat.model import (
    KINDS,
    Banned,
    Content,
    Deleted,
    Edited,
    Invited,
    Kicked,
    Muted,
    Opened,
    Position,
    Posted,
    Ranked,
    Reacted,
    Role,
    Slowed,
    Titled,
    Told,
    Unbanned,
    Unmuted,
    inbox_stream,
)
from gochatsecure.chat.table import BY_OP
from gochatsecure.conformance.schemas import definitions, document
from gochatsecure.conformance.shapes import ANSWERS, ENTRIES, EVENTS, FIELDS, LIMITS, PARTS
from gochatsecure.conformance.shapes import KINDS as VALUES
from gochatsecure.conformance.validate import KNOWN, faults
from tests.chat.test_table import Values
from tests.live.fakes import World
from tests.wire.test_json_v1 import answered, kept, shown

DEFS = definitions()
INBOX = inbox_stream("alice~s1")
CONTENTS: tuple[Content, ...] = (
    Posted("hi", True, 1),
    Posted("hi"),
    Edited(1, "x"),
    Deleted(1),
    Reacted(1, "👍"),
    Titled("cats"),
    Ranked("bob", "owner"),
    Invited("bob", "den"),
    Kicked("bob", "spam"),
    Banned("bob", 5, "spam"),
    Banned("bob", None, ""),
    Unbanned("bob"),
    Muted("bob", None, ""),
    Unmuted("bob"),
    Slowed(5),
    Opened("private"),
)
ENTRY = kept(Posted("hi"))
PRIVATE = kept(Told("bob", "psst"), stream=INBOX)
POSITION = Position("e1", 1, 1, bytes(32))
MEMBERS = events.Members("den", [events.Member("alice", 1, Role.GUEST)], 1)
REPLAY = events.Replay(POSITION, events=[kept(content) for content in CONTENTS])
TALK = fold([kept(content, seq=seq) for seq, content in enumerate(CONTENTS, 1)])
GONE = fold([ENTRY, kept(Deleted(1), seq=2)])
CHANGED = fold([ENTRY, kept(Edited(1, "x"), seq=2), kept(Reacted(1, "👍"), seq=3)])
LIMITED = dict.fromkeys(LIMITS, 1)

ANSWERED: dict[str, tuple[events.Event, ...]] = {
    "join": (events.Entered("den", "alice", Role.OWNER, REPLAY, MEMBERS, "cats", "public", 0, ()),),
    "leave": (events.Done(),),
    "send": (events.Acked(ENTRY, "e1", False),),
    "private": (events.Acked(PRIVATE, "e1", False, True),),
    "edit": (events.Acked(kept(Edited(1, "x")), "e1", False),),
    "delete": (events.Acked(kept(Deleted(1)), "e1", False),),
    "react": (events.Acked(kept(Reacted(1, "👍")), "e1", False),),
    "topic": (events.Acked(kept(Titled("cats")), "e1", False),),
    **dict.fromkeys(
        ("invite", "kick", "ban", "unban", "mute", "unmute", "slow", "role", "visibility"),
        (events.Acked(kept(Kicked("bob", "")), "e1", False),),
    ),
    "bans": (events.BanList("den", {"bob": (None, "spam")}, {"eve": (5, "")}, 1, 1),),
    "history": (
        events.Messages("den", None, [*TALK, *GONE, *CHANGED], 1, 2, False, 1),
        events.Messages(None, "bob", fold([PRIVATE]), 1, 2, False, 1),
    ),
    "search": (events.Found("den", TALK, 1, False),),
    "inbox": (events.Replayed(events.Replay(POSITION, events=[PRIVATE])),),
    "members": (MEMBERS,),
    "rooms": (events.RoomList([("den", 1)], 1),),
    "who": (events.Presence("bob", 0),),
    "typing": (events.Done(),),
    "read": (events.Marked("den", None, 0), events.Marked(None, "bob", 1)),
    "unread": (events.UnreadList([("den", 1, 2)], [("bob", 0, 1)]),),
    "refresh": (events.Refreshed(5.0), events.Refreshed(float("inf"))),
    "ping": (events.Done(),),
}
"""By op: answers that there are, enough of them to show every field."""
SHOWN: tuple[events.Event, ...] = (
    events.Welcome("alice", "1", 5.0, LIMITED, "1", POSITION),
    *REPLAY.events,
    PRIVATE,
    kept(Invited("alice~s1", "den"), stream=INBOX),
    *(erased(kept(content)) for content in (Posted("hi"), Edited(1, "x"), Titled("cats"))),
    erased(PRIVATE),
    events.Joined("den", "bob"),
    events.Left("den", "bob"),
    events.Typing("den", "bob"),
    events.Typing("", "bob"),
    events.Marked("den", None, 1),
    events.Marked(None, "bob", 1),
    events.Draining(1),
)
"""Events of every kind."""


class TheTables(unittest.TestCase):
    maxDiff = None

    def test_every_op_has_its_answer_and_every_answer_its_op(self) -> None:
        self.assertEqual(set(ANSWERS), set(BY_OP))
        self.assertEqual(set(ANSWERED), set(BY_OP), "an answer of each op is to be shown here")

    def test_every_kind_of_entry_is_an_event_with_its_own_fields(self) -> None:
        self.assertEqual(set(ENTRIES), set(KINDS))
        self.assertEqual({type(content) for content in CONTENTS} | {Told}, set(KINDS.values()))

    def test_every_event_that_there_is_is_shown_here(self) -> None:
        types = {type(event) for event in (*SHOWN, *(one for some in ANSWERED.values() for one in some))}
        told_otherwise = {events.HelpText, events.Refused}
        self.assertEqual(types, set(typing.get_args(events.Event)) - told_otherwise)
        self.assertEqual({shown(event)["event"] for event in SHOWN}, set(EVENTS))

    def test_every_answer_is_of_its_shape(self) -> None:
        for op, samples in ANSWERED.items():
            told = [answered(sample) for sample in samples]
            for frame in told:
                with self.subTest(op):
                    self.assertEqual(faults(frame, DEFS[f"answer.{op}"], DEFS, strict=True), [])
                    self.assertEqual(faults(frame, DEFS["answer"], DEFS), [])
            with self.subTest(op, field="every one of the table occurs"):
                self.assertEqual({name for frame in told for name in frame["ok"]}, {f.name for f in ANSWERS[op].fields})

    def test_every_event_is_of_its_shape_in_the_order_of_the_table(self) -> None:
        seen: dict[str, set[str]] = {}
        for event in SHOWN:
            frame = shown(event)
            name = frame.pop("event")
            with self.subTest(name):
                self.assertEqual(faults({"event": name, **frame}, DEFS[f"event.{name}"], DEFS, strict=True), [])
                order = [field.name for field in EVENTS[name].fields if field.name in frame]
                if "salt" not in frame and "commitment" not in frame:
                    self.assertEqual(list(frame), order)
                seen.setdefault(name, set()).update(frame)
        self.assertEqual(seen, {name: {field.name for field in shape.fields} for name, shape in EVENTS.items()})

    def test_the_hashed_fields_stand_in_the_order_of_the_chain(self) -> None:
        for name, kind in KINDS.items():
            fields = [field.name for field in ENTRIES[name].fields]
            own = [field for field in fields[fields.index("cid") + 1 : -1] if field not in ("salt", "commitment")]
            with self.subTest(name):
                self.assertEqual(own, list(kind._fields))

    def test_refusals_are_of_their_shape(self) -> None:
        for refusal in (Refusal("cid_reused", "no"), Temporary("draining", "later", 5)):
            for called in (None, 7, "x"):
                frame = answered(events.Refused(refusal), called)
                self.assertEqual(faults(frame, DEFS["failure"], DEFS, strict=True), [])

    def test_everything_in_the_tables_is_defined_and_used(self) -> None:
        shapes = [*ANSWERS.values(), *EVENTS.values(), *PARTS.values()]
        used = {field.name for shape in shapes for field in shape.fields}
        self.assertEqual(set(FIELDS) - used, set())
        self.assertLessEqual(set(typing.get_args(table.Kind)), set(VALUES))
        self.assertLessEqual({field.kind for shape in shapes for field in shape.fields}, set(VALUES))

    def test_the_limits_of_a_welcome_are_told(self) -> None:
        self.assertEqual(set(World().hub._told), set(LIMITS))


class Requests(unittest.TestCase):
    def test_whatever_the_server_takes_is_in_the_schema(self) -> None:
        for op, row in BY_OP.items():
            frame: dict[str, Any] = {"op": op, "id": 1}
            for parameter in row.parameters:
                for value in Values.GOOD.get(parameter.kind, [{"epoch": "e1", "seq": 0}]):
                    frame[parameter.name] = value
                    if parameter.kind != "cid" or value:
                        with self.subTest(op, name=parameter.name, value=value):
                            told = faults({**frame}, {"properties": {parameter.name: VALUES[parameter.kind]}}, DEFS)
                            self.assertEqual(told, [])
            with self.subTest(op):
                self.assertEqual(faults(frame, DEFS[f"request.{op}"], DEFS, strict=True), [])
                self.assertEqual(faults(frame, DEFS["request"], DEFS), [])

    def test_what_is_of_no_kind_is_in_no_schema(self) -> None:
        for kind, values in Values.BAD.items():
            for value in values:
                if not isinstance(value, str | float):  # not what a name may be; and 1.0 is a whole number to them
                    with self.subTest(kind, value=value):
                        self.assertTrue(faults(value, VALUES[kind], DEFS))

    def test_every_command_of_a_program_is_asked_for(self) -> None:
        typed_only = {commands.Help, commands.Quit}
        self.assertEqual({row.command for row in BY_OP.values()}, set(typing.get_args(commands.Command)) - typed_only)


class Validating(unittest.TestCase):
    def test_what_is_wrong_is_told_with_its_place(self) -> None:
        frame = answered(ANSWERED["join"][0])
        frame["ok"]["events"][0]["seq"] = 0
        frame["ok"]["members"][0]["name"] = 5
        del frame["ok"]["epoch"]
        frame["ok"]["more"] = None
        frame["ok"]["later"] = 1
        told = faults(frame, DEFS["answer.join"], DEFS, strict=True)
        self.assertEqual(
            sorted(told),
            [
                "ok.epoch: is missing",
                "ok.events[0].seq: out of bounds",
                "ok.later: no such field is known",
                "ok.members[0].name: not of type string",
                "ok.more: not of type boolean",
            ],
        )
        self.assertNotIn("ok.later: no such field is known", faults(frame, DEFS["answer.join"], DEFS))

    def test_a_text_and_its_erasure_exclude_each_other(self) -> None:
        frame = shown(ENTRY)
        frame["commitment"] = "A" * 43
        self.assertEqual(len(faults(frame, DEFS["event.message"], DEFS)), 1)
        del frame["text"], frame["salt"]
        self.assertEqual(faults(frame, DEFS["event.message"], DEFS), [])
        del frame["commitment"]
        self.assertEqual(len(faults(frame, DEFS["event.message"], DEFS)), 1)

    def test_our_schemas_use_what_our_validator_knows(self) -> None:
        def keywords(schema: dict[str, Any]) -> set[str]:
            inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("properties", {}).values()]
            inner += [schema[name] for name in ("items", "additionalProperties") if name in schema]
            return set(schema).union(*map(keywords, inner))

        self.assertEqual({word for schema in DEFS.values() for word in keywords(schema)} - KNOWN, set())

    @unittest.skipUnless(
        find_spec("jsonschema"), "this test compares with the jsonschema library: pip install jsonschema"
    )
    def test_it_says_what_the_library_says(self) -> None:
        import jsonschema

        jsonschema.Draft202012Validator.check_schema(document())
        frames = [answered(one) for some in ANSWERED.values() for one in some] + [shown(event) for event in SHOWN]
        count = 0
        for name in ("answer.join", "answer.history", "event.message", "event.read", "failure", "answer.send"):
            validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFS})
            for broken in [one for frame in frames for one in (frame, *mutants(frame))]:
                wanted = validator.is_valid(broken)
                count += 1
                if (not faults(broken, DEFS[name], DEFS)) != wanted:
                    self.fail(f"{name}: {broken} is {'' if wanted else 'not '}valid")
        self.assertGreater(count, 1000)


WRONG: tuple[object, ...] = (None, -1, "", True, [], {}, 1.5)


def mutants(frame: Any) -> list[Any]:
    """The frame with one thing in it wrong, or perhaps not."""
    found: list[Any] = []
    if isinstance(frame, dict):
        for name, value in frame.items():
            found.append({key: other for key, other in frame.items() if key != name})
            found += [{**frame, name: other} for other in WRONG]
            found += [{**frame, name: inner} for inner in mutants(value)]
    elif isinstance(frame, list):
        found += [[inner, *frame[1:]] for item in frame[:1] for inner in mutants(item)]
    return found
