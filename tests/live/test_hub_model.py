"""The hub does what a plain model does, whatever several people ask, in whatever order."""

from __future__ import annotations

import asyncio
import json
import unittest
from dataclasses import dataclass, field
from typing import Any

from gochatsecure.chat.model import Identity, Role
from gochatsecure.log.memory import MemoryLog
from gochatsecure.wire.json_v1 import JSON
from tests.live.fakes import Person, World, turns

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError:
    hypothesis = None  # type: ignore[assignment]

EPOCH = "e"
OWNERS = ("ann", "ben")  # of their names
GUESTS = ("cleo",)
NAMES = (*OWNERS, *GUESTS)
ROOMS = ("den", "hall")
TYPING_S = 2.0

Told = tuple[Any, ...]
"""What somebody is told: an event, or an answer, without what only a log engine can know."""


@dataclass
class Kept:
    """One entry."""

    kind: str
    sender: str
    cid: str | None
    fields: dict[str, Any]

    def told(self, place: str, seq: int) -> Told:
        return (self.kind, place, seq, self.sender, self.cid, tuple(sorted(self.fields.items())))


@dataclass
class Model:
    """The conversation in its fewest words."""

    logs: dict[str, list[Kept]] = field(default_factory=dict)  # by room, and by "inbox NAME"
    inside: dict[str, list[str]] = field(default_factory=lambda: {room: [] for room in ROOMS})
    connected: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)  # owners who have been here
    made: dict[tuple[str, str], tuple[str, int, Told]] = field(default_factory=dict)  # by sender and cid
    marks: dict[tuple[str, str], int] = field(default_factory=dict)
    typed: dict[tuple[str, str], float] = field(default_factory=dict)
    now: float = 0.0
    told: dict[str, list[Told]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def log(self, place: str) -> list[Kept]:
        return self.logs.setdefault(place, [])

    def show(self, names: Any, told: Told) -> None:
        for name in names:
            self.told[name].append(told)

    def connect(self, who: str) -> None:
        if who not in self.connected:
            self.connected.add(who)
            self.known |= {who} & set(OWNERS)
            self.show([who], ("welcome", len(self.log(f"inbox {who}"))))

    def disconnect(self, who: str) -> None:
        for room in ROOMS:
            self.out(who, room)
        self.connected.discard(who)

    def out(self, who: str, room: str) -> bool:
        if who not in self.inside[room]:
            return False
        self.inside[room].remove(who)
        self.show(self.inside[room], ("left", room, who))
        return True

    # What is asked: the answer, or the code of the refusal.

    def join(self, who: str, room: str, back: int | None) -> Any:
        if who in self.inside[room]:
            return "already_joined"
        self.show(self.inside[room], ("joined", room, who))
        self.inside[room].append(who)
        log = self.log(room)
        since = len(log) if back is None else max(0, len(log) - back)
        events = [entry.told(room, since + number) for number, entry in enumerate(log[since:], start=1)]
        titles = [entry.fields["text"] for entry in log if entry.kind == "topic"]
        return ("joined", len(log), tuple(events), tuple(sorted(self.inside[room])), titles[-1] if titles else "")

    def leave(self, who: str, room: str) -> Any:
        return ("done",) if self.out(who, room) else "not_a_member"

    def send(self, who: str, room: str, cid: str, text: str) -> Any:
        refusal = None
        if who not in self.inside[room]:
            refusal = "not_a_member"
        elif not text.strip():
            refusal = "text_missing"
        return self.append(who, refusal, room, cid, "message", text=text, action=False, reply_to=None)

    def topic(self, who: str, room: str, cid: str, text: str) -> Any:
        return self.append(who, None if who in self.inside[room] else "not_a_member", room, cid, "topic", text=text)

    def edit(self, who: str, room: str, cid: str, seq: int, text: str) -> Any:
        refusal = "text_missing" if who in self.inside[room] and not text.strip() else self.target(who, room, seq, True)
        return self.append(who, refusal, room, cid, "edited", target=seq, text=text)

    def delete(self, who: str, room: str, cid: str, seq: int) -> Any:
        answer = self.append(who, self.target(who, room, seq, True), room, cid, "deleted", target=seq)
        if isinstance(answer, tuple) and not answer[2]:
            for number, entry in enumerate(self.log(room), start=1):
                if number == seq or (entry.kind == "edited" and entry.fields["target"] == seq):
                    entry.fields["text"] = None
        return answer

    def react(self, who: str, room: str, cid: str, seq: int, on: bool) -> Any:
        refusal = self.target(who, room, seq, False)
        return self.append(who, refusal, room, cid, "reacted", target=seq, emoji="+", on=on)

    def target(self, who: str, room: str, seq: int, own: bool) -> str | None:
        log = self.log(room)
        if who not in self.inside[room]:
            return "not_a_member"
        if seq > len(log) or log[seq - 1].kind != "message":
            return "no_such_message"
        if own and log[seq - 1].sender != who:
            return "not_yours"
        return "message_deleted" if log[seq - 1].fields["text"] is None else None

    def append(self, who: str, refusal: str | None, room: str, cid: str, kind: str, **fields: Any) -> Any:
        entry = Kept(kind, who, cid, fields)
        if (answer := self.before(who, cid, refusal, room, entry)) is not None:
            return answer
        log = self.log(room)
        log.append(entry)
        self.made[who, cid] = (room, len(log), _as_said(entry))
        self.show(self.inside[room], entry.told(room, len(log)))
        return ("stored", len(log), False)

    def before(self, who: str, cid: str, refusal: str | None, place: str, entry: Kept) -> Any:
        """The answer where nothing is stored: what is refused, and what the cid has been used for."""
        made = self.made.get((who, cid))
        again: Any = None
        if made is not None:
            same = (made[0], _without_text(made[2], self.log(made[0])[made[1] - 1])) == (
                place,
                _without_text(_as_said(entry), self.log(made[0])[made[1] - 1]),
            )
            again = ("stored", made[1], True) if same else "cid_reused"
        if refusal is None:
            return again
        return refusal if again is None else {refusal, again}  # either is true

    def private(self, who: str, to: str, cid: str, text: str) -> Any:
        refusal = "text_missing" if not text.strip() else None
        if to not in self.connected and to not in self.known:
            refusal = refusal or "not_connected"
        entry = Kept("private", who, cid, {"to": to, "text": text})
        own = f"inbox {who}"
        if (answer := self.before(who, cid, refusal, own, entry)) is not None:
            return answer
        self.log(own).append(entry)
        self.made[who, cid] = (own, len(self.log(own)), _as_said(entry))
        self.show([who], entry.told("", len(self.log(own))))
        if to != who:
            other = Kept("private", who, None, dict(entry.fields))
            self.log(f"inbox {to}").append(other)
            self.show(self.connected & {to}, other.told("", len(self.log(f"inbox {to}"))))
        return ("stored", len(self.log(own)), False)

    def history(self, who: str, room: str) -> Any:
        if who not in self.inside[room]:
            return "not_a_member"
        messages = []
        for seq, entry in enumerate(self.log(room), start=1):
            if entry.kind == "message":
                text, edited = entry.fields["text"], False
                reactions: list[str] = []
                for later in self.log(room):
                    if later.fields.get("target") == seq and text is not None:
                        if later.kind == "edited":
                            text, edited = later.fields["text"], True
                        elif later.kind == "reacted":
                            reactions = [name for name in reactions if name != later.sender]
                            reactions += [later.sender] if later.fields["on"] else []
                messages.append((seq, entry.sender, text, edited and text is not None, tuple(reactions)))
        return ("history", tuple(messages))

    def members(self, who: str, room: str) -> Any:
        return ("members", tuple(sorted(self.inside[room]))) if who in self.inside[room] else "not_a_member"

    def read(self, who: str, room: str, seq: int) -> Any:
        if who not in self.inside[room]:
            return "not_a_member"
        mark = max(min(seq, len(self.log(room))), self.marks.get((who, room), 0))
        self.marks[who, room] = mark
        return ("read", mark)

    def unread(self, who: str) -> Any:
        counts = []
        for (name, room), mark in self.marks.items():
            if name == who:
                after = self.log(room)[mark:]
                counts.append((room, mark, sum(one.kind == "message" and one.sender != who for one in after)))
        return ("unread", tuple(sorted(counts)))

    def typing(self, who: str, room: str) -> Any:
        if who not in self.inside[room]:
            return "not_a_member"
        if self.now - self.typed.get((who, room), -TYPING_S) >= TYPING_S:
            self.typed[who, room] = self.now
            self.show([name for name in self.inside[room] if name != who], ("typing", room, who))
        return ("done",)


def _as_said(entry: Kept) -> Told:
    return (entry.kind, tuple(sorted(entry.fields.items())))


def _without_text(said: Told, stored: Kept) -> Told:
    """A text that has been erased since is not compared."""
    if stored.fields.get("text", "") is not None:
        return said
    return (said[0], tuple(pair for pair in said[1] if pair[0] != "text"))


# What the hub says, in the model's words.


def heard(text: str, ops: dict[int, str]) -> Told:
    said = json.loads(text)
    if "error" in said:
        return ("error", said["error"]["code"])
    if "ok" in said:
        return ("ok", _answer(ops[said["re"]], said["ok"]))
    match said["event"]:
        case "welcome":
            return ("welcome", said["inbox"]["last"])
        case "joined" | "left" | "typing" as event:
            return (event, said["room"], said["from"])
    return _entry(said)


def _entry(said: dict[str, Any]) -> Told:
    own = {"event", "room", "seq", "ts", "from", "cid", "salt", "head", "commitment"}
    fields = {name: value for name, value in said.items() if name not in own}
    if "commitment" in said:
        fields["text"] = None
    return (said["event"], said.get("room", ""), said["seq"], said["from"], said["cid"], tuple(sorted(fields.items())))


def _answer(op: str, ok: dict[str, Any]) -> Told:
    match op:
        case "join":
            names = tuple(one["name"] for one in ok["members"])
            return ("joined", ok["last"], tuple(map(_entry, ok["events"])), names, ok["topic"])
        case "history":
            return ("history", tuple(_message(one) for one in ok["messages"]))
        case "members":
            return ("members", tuple(one["name"] for one in ok["members"]))
        case "read":
            return ("read", ok["seq"])
        case "unread":
            return ("unread", tuple(sorted((one["room"], one["read"], one["unread"]) for one in ok["rooms"])))
        case "leave" | "typing":
            return ("done",)
    return ("stored", ok["seq"], ok["dup"])


def _message(said: dict[str, Any]) -> Told:
    names = tuple(said.get("reactions", {}).get("+", ()))
    text = said.get("text")
    return (said["seq"], said["from"], text, "edited" in said and text is not None, names)


Step = tuple[Any, ...]


class TheHubFollowsTheModel(unittest.TestCase):
    def test_whatever_is_asked(self) -> None:
        if hypothesis is None:
            self.skipTest("hypothesis is not installed")
        who, room = st.sampled_from(NAMES), st.sampled_from(ROOMS)
        text, cid, seq = st.sampled_from(["a", "b", " "]), st.sampled_from("123456"), st.integers(1, 6)
        step = st.one_of(
            st.tuples(st.just("tick"), st.sampled_from([0.5, 2.0])),
            st.tuples(st.sampled_from(["connect", "disconnect"]), who),
            st.tuples(st.just("join"), who, room, st.none() | st.integers(0, 9)),
            st.tuples(st.just("leave"), who, room),
            *(st.tuples(st.just("send"), who, room, cid, text) for _ in range(4)),
            *(st.tuples(st.just("private"), who, who, cid, text) for _ in range(2)),
            st.tuples(st.just("topic"), who, room, cid, text),
            st.tuples(st.just("edit"), who, room, cid, seq, text),
            st.tuples(st.just("delete"), who, room, cid, seq),
            st.tuples(st.just("react"), who, room, cid, seq, st.booleans()),
            st.tuples(st.sampled_from(["history", "members", "typing"]), who, room),
            *(st.tuples(st.just("read"), who, room, st.integers(0, 5)) for _ in range(2)),
            *(st.tuples(st.just("unread"), who) for _ in range(2)),
        )
        begun = [("connect", name) for name in NAMES]
        begun += [("join", name, room, None) for name in NAMES for room in ROOMS]  # type: ignore[misc]
        begun += [("send", name, "den", "0", "hi") for name in NAMES]  # type: ignore[misc]
        begun += [("read", "ann", "den", 1), ("edit", "ben", "den", "9", 2, "ho")]  # type: ignore[list-item]
        begun += [("delete", "ben", "den", "8", 2), ("leave", "cleo", "den")]  # type: ignore[list-item]

        def holds(steps: list[Step]) -> None:
            asyncio.run(self.follow([*begun, *steps]))

        settings = hypothesis.settings(
            deadline=None,
            database=None,
            derandomize=True,
            max_examples=150,
            print_blob=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        settings(hypothesis.given(st.lists(step, min_size=15, max_size=50))(holds))()

    async def follow(self, steps: list[Step]) -> None:
        model = Model()
        log = MemoryLog(kept=10_000, queue=100, make_epoch=lambda: EPOCH)
        world = World(log, history=5, typing_s=TYPING_S)  # type: ignore[arg-type]
        await log.open(world.hub.committed)
        present: dict[str, Person] = {}
        ops: dict[int, str] = {}
        for number, (op, *values) in enumerate(steps):
            if op == "tick":
                world.clock.now += values[0]
                model.now += values[0]
                continue
            who = values[0]
            expected: Any = None
            if op == "connect":
                if who not in present:
                    role = Role.MEMBER if who in OWNERS else Role.GUEST
                    present[who] = Person(world, Identity(who, f"sid-of-{who}", role), JSON)
                    world.hub.connect(present[who].session)
                    await world.hub.begin(present[who].session, "den")
                model.connect(who)
            elif op == "disconnect":
                if who in present:
                    present.pop(who).leaves()
                model.disconnect(who)
            elif who in present:
                ops[number] = op
                request = _request(op, values[1:], model)
                present[who].types(json.dumps({"op": op, "id": number, **request}))
                expected = getattr(model, op)(*values)
            await turns()
            self.compare(present, who, model, expected, ops)
        for person in present.values():
            person.leaves()
        await turns()
        self.assertEqual(world.remains(), {})

    def compare(self, present: dict[str, Person], who: str, model: Model, expected: Any, ops: dict[int, str]) -> None:
        """What everybody was told in this step; the answer comes last of all that its asker is told."""
        for name, person in present.items():
            told, should = [heard(text, ops) for text in person.seen()], model.told[name]
            if name == who and expected is not None:
                answers = expected if isinstance(expected, set) else {expected}
                self.assertIn(told.pop(), [("error", one) if isinstance(one, str) else ("ok", one) for one in answers])
            self.assertEqual(told, should)
        for should in model.told.values():
            should.clear()


FIELDS = {
    "join": ("room", "back"),
    "leave": ("room",),
    "send": ("room", "cid", "text"),
    "private": ("to", "cid", "text"),
    "topic": ("room", "cid", "text"),
    "edit": ("room", "cid", "seq", "text"),
    "delete": ("room", "cid", "seq"),
    "react": ("room", "cid", "seq", "on"),
    "history": ("room",),
    "members": ("room",),
    "typing": ("room",),
    "read": ("room", "seq"),
    "unread": (),
}


def _request(op: str, values: list[Any], model: Model) -> dict[str, Any]:
    request = dict(zip(FIELDS[op], values, strict=True))
    if (back := request.pop("back", None)) is not None:
        request["after"] = {"epoch": EPOCH, "seq": max(0, len(model.log(request["room"])) - back)}
    if op == "react":
        request["emoji"] = "+"
    if op == "history":
        request["limit"] = 100
    return request
