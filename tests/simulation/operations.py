"""What clients ask, as one table: another operation is another row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .program import Program

Request = dict[str, Any]

ROOMS = ("den", "hall", "attic")


class Operation(NamedTuple):
    """`make` gives the request, or None where it makes no sense now; what is to be acknowledged has a cid.

    `refusals`: codes with which it may be refused for good. `check` looks at the answer.
    """

    op: str
    weight: int
    make: Callable[[Program], Request | None]
    refusals: frozenset[str] = frozenset()
    check: Callable[[Program, dict[str, Any]], object] | None = None


def _room(who: Program) -> str | None:
    """One that it is in."""
    rooms = sorted(room for room, inside in who.wanted.items() if inside and room not in who.leaving)
    return who.random.choice(rooms) if rooms else None


def _in_room(op: str, **fields: Callable[[Program], object]) -> Callable[[Program], Request | None]:
    def make(who: Program) -> Request | None:
        if (room := _room(who)) is None:
            return None
        return {"op": op, "room": room} | {name: value(who) for name, value in fields.items()}

    return make


def _cid(who: Program) -> str:
    return who.run.unique("c")


def _text(who: Program) -> str:
    return who.run.unique("w")


def _about(op: str, own: bool, **fields: Callable[[Program], object]) -> Callable[[Program], Request | None]:
    """Of a message: mostly one's own, if it has to be."""

    def make(who: Program) -> Request | None:
        if (room := _room(who)) is None:
            return None
        known = who.own if own and who.random.random() < 0.9 else who.messages
        if not known.get(room):
            return None
        about = {"op": op, "room": room, "cid": _cid(who), "seq": who.random.choice(known[room][-6:])}
        return about | {name: value(who) for name, value in fields.items()}

    return make


def _join(who: Program) -> Request | None:
    """A further room: it is entered like those that one was in before."""
    others = [room for room in ROOMS if room not in who.wanted and who.identity.may_enter(room)]
    if others:
        room = who.random.choice(others)
        who.wanted[room] = False
        who.ask_replay(room)
    return None


def _leave(who: Program) -> Request | None:
    if len(who.wanted) < 2 or who.leaving or (room := _room(who)) is None:
        return None
    if any(request.get("room") == room for request in who.unanswered.values()):
        return None
    who.leaving.add(room)
    return {"op": "leave", "room": room}


def _reuse(who: Program) -> Request | None:
    """A mistake: a cid of something else."""
    inside = {room for room, inside in who.wanted.items() if inside} - who.leaving
    said = [request for request in who.acked.values() if request["op"] == "send" and request["room"] in inside]
    if not said:
        return None
    return {**who.random.choice(said), "text": who.run.unique("r")}


def _private(who: Program) -> Request:
    return {"op": "private", "cid": _cid(who), "to": who.random.choice(who.names), "text": _text(who)}


def _history(who: Program) -> Request | None:
    if who.random.random() < 0.3:
        return {"op": "history", "with": who.random.choice(who.names)}
    bound = who.random.choice(("before", "after", "around", "limit"))
    return _in_room("history", **{bound: lambda who: who.random.randrange(1, 9)})(who)


def _is_ordered(who: Program, ok: dict[str, Any]) -> None:
    seqs = [message["seq"] for message in ok["messages"]]
    if seqs != sorted(set(seqs)):
        who.run.fail("history", f"{who.identity.name}: a page is out of order: {seqs}")


def _ruled(who: Program, *roles: str) -> str | None:
    """A room in which it has that to say, or, seldom, any: it does not know its place."""
    rooms = [room for room, role in sorted(who.ranks.items()) if role in roles and who.wanted.get(room)]
    return who.random.choice(rooms) if rooms and who.random.random() < 0.9 else _room(who)


def _rule(op: str, *roles: str, **fields: Callable[[Program], object]) -> Callable[[Program], Request | None]:
    def make(who: Program) -> Request | None:
        room = _ruled(who, *(roles or ("moderator", "owner")))
        if room is None or room in who.leaving or (room not in who.ranks and who.random.random() < 0.7):
            return None
        request = {"op": op, "room": room, "cid": _cid(who)}
        return request | {name: value(who) for name, value in fields.items()}

    return make


def _name(who: Program) -> str:
    return who.random.choice(who.names)


def _sentenced(kind: str) -> Callable[[Program], object]:
    return lambda who: who.random.choice(who.sentenced[kind] or who.names)


def _one_of(*choices: object) -> Callable[[Program], object]:
    return lambda who: who.random.choice(choices)


GONE = frozenset({"message_deleted", "no_such_message"})
LEFT = frozenset({"not_a_member"})  # it was left meanwhile, or one was taken out of it
RULED = LEFT | {"not_allowed"}
QUIET = LEFT | {"muted"}
SHORT = _one_of(1, 2, 5, 20, 100, None)  # seconds
CLOCK = frozenset({"token_expired", "token_not_yet_valid"})  # it has jumped meanwhile
OPERATIONS: tuple[Operation, ...] = (
    Operation("send", 40, _in_room("send", cid=_cid, text=_text), QUIET),
    Operation("send", 4, _reuse, frozenset({"cid_reused"})),
    Operation("private", 25, _private, frozenset({"not_connected"})),
    Operation("edit", 8, _about("edit", True, text=_text), GONE | QUIET | {"not_yours"}),
    Operation("delete", 8, _about("delete", True), GONE | LEFT | {"not_yours"}),
    Operation("react", 8, _about("react", False, emoji=lambda who: who.random.choice("abc")), GONE | QUIET),
    Operation("topic", 3, _in_room("topic", cid=_cid, text=_text), QUIET | RULED),
    Operation(
        "role",
        7,
        _rule("role", "owner", name=_name, role=_one_of("member", "moderator", "moderator", "owner")),
        RULED | {"guest_role", "last_owner", "not_connected"},
    ),
    Operation("invite", 5, _rule("invite", name=_name), RULED | {"not_connected"}),
    Operation("kick", 9, _rule("kick", name=_name), RULED | {"not_here"}),
    Operation("ban", 7, _rule("ban", name=_name, seconds=SHORT), RULED),
    Operation("unban", 6, _rule("unban", name=_sentenced("banned")), RULED | {"not_banned"}),
    Operation("mute", 7, _rule("mute", name=_name, seconds=SHORT), RULED),
    Operation("unmute", 5, _rule("unmute", name=_sentenced("muted")), RULED | {"not_muted"}),
    Operation("slow", 3, _rule("slow", seconds=_one_of(0, 0, 1, 2)), RULED),
    Operation(
        "visibility", 5, _rule("visibility", "owner", visibility=_one_of("public", "unlisted", "private")), RULED
    ),
    Operation("bans", 1, _in_room("bans"), RULED),
    Operation("join", 5, _join),
    Operation("leave", 3, _leave, LEFT),
    Operation("history", 6, _history, LEFT, _is_ordered),
    Operation("search", 2, _in_room("search", text=lambda who: "w"), LEFT),
    Operation("members", 2, _in_room("members"), LEFT),
    Operation("rooms", 1, lambda who: {"op": "rooms"}),
    Operation("read", 4, _in_room("read", seq=lambda who: who.random.randrange(20)), LEFT),
    Operation("unread", 2, lambda who: {"op": "unread"}),
    Operation("typing", 3, _in_room("typing"), QUIET),
    Operation("ping", 2, lambda who: {"op": "ping"}),
    Operation("refresh", 3, lambda who: {"op": "refresh", "token": who.run.token(who.identity)}, CLOCK),
)
REFUSALS: dict[str, frozenset[str]] = {}
for _row in OPERATIONS:
    REFUSALS[_row.op] = REFUSALS.get(_row.op, frozenset()) | _row.refusals
