"""A client of the JSON protocol, on its own feet: it does now this, now that, and keeps its side of the contract."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any, NamedTuple

from gochatsecure.chat.chain import base64url
from gochatsecure.chat.model import KIND_OF, Cursor, Identity
from gochatsecure.client.chains import advanced, decoded, entry_of
from gochatsecure.client.errors import HistoryFork

from .operations import OPERATIONS, REFUSALS, Operation
from .people import Line, Person, Surroundings

INBOX = ""


class Asked(NamedTuple):
    """A request that is on its way. `place`: whose replay it asks for."""

    request: dict[str, Any]
    operation: Operation | None = None
    place: str | None = None


class Program(Person):
    def __init__(
        self, run: Surroundings, identity: Identity, random: Random, operations: int, rooms: list[str]
    ) -> None:
        super().__init__(run, identity, random, operations)
        self.wanted: dict[str, bool] = dict.fromkeys(rooms, False)  # rooms, and whether it is in them
        self.cursors: dict[str, Cursor] = {}
        self.unanswered: dict[str, dict[str, Any]] = {}  # by cid
        self.acked: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, str] = {}
        self.messages: dict[str, list[int]] = {}  # by room: those it has seen
        self.own: dict[str, list[int]] = {}  # its own ones
        self.names: list[str] = []  # whom it may write to
        self.leaving: set[str] = set()
        self.sentenced: dict[str, list[str]] = {"banned": [], "muted": []}  # whom it has heard to be that
        self.ranks: dict[str, str] = {}  # by room: what it is there, if that is something
        self._asked: dict[int, Asked] = {}
        self._number = 0
        self._ready = False
        self._early: list[dict[str, Any]] | None = None

    @property
    def settled(self) -> bool:
        return (
            self.left <= 0
            and self._ready
            and not self.unanswered
            and not self._asked
            and all(self.wanted.values())
            and self._early is None
        )

    @property
    def state(self) -> str:
        return f"{super().state}, {self.unanswered} unanswered, {self._asked} asked, in {self.wanted}"

    # Asking.

    def act(self) -> bool:
        """Something that its present state allows."""
        if not self._ready:
            return False
        operation = self.random.choices(OPERATIONS, [row.weight for row in OPERATIONS])[0]
        request = operation.make(self)
        if request is None:
            return False
        if "cid" in request:
            self.unanswered.setdefault(request["cid"], request)
        self.ask(request, operation)
        if "cid" in request and self.random.random() < 0.15:  # it is impatient
            self.run.later(self.random.choice((0.0, 0.3, 2.0)), lambda: self.repeat(request["cid"]))
        return True

    def repeat(self, cid: str) -> None:
        request = self.unanswered.get(cid) or self.acked.get(cid)
        room = request.get("room", "") if request is not None else ""
        # Of a room that it has been taken out of, it asks all the same.
        if request is not None and self._ready and self.wanted.get(room, True) and room not in self.leaving:
            self.ask(request)

    def ask(self, request: dict[str, Any], operation: Operation | None = None, place: str | None = None) -> None:
        if self.line is None:
            return
        self._number += 1
        self._asked[self._number] = Asked(request, operation, place)
        self.says(json.dumps({**request, "id": self._number}))

    def ask_replay(self, place: str) -> None:
        request: dict[str, Any] = {"op": "join", "room": place} if place else {"op": "inbox"}
        if (cursor := self.cursors.get(place)) is not None:
            request["after"] = {"epoch": cursor.epoch, "seq": cursor.seq}
            if cursor.head is not None:
                request["after"]["head"] = base64url(cursor.head)
        self.ask(request, place=place)

    def _ask_again(self, place: str, line: Line | None) -> None:
        if self.line is line and self._ready and not self.wanted.get(place):
            self.ask_replay(place)

    # Hearing.

    def hears(self, text: str) -> None:
        said = json.loads(text)
        try:
            if "re" in said:
                if said["re"] is not None:
                    self._answered(said)
            elif said["event"] == "welcome":
                self._begin(said)
            elif said["event"] in KIND_OF.values():
                if "room" not in said and self._early is not None:
                    self._early.append(said)
                else:
                    self._take(said)
                    self._rule(said)
        except HistoryFork as fork:
            self.run.fail("chain", f"{self.identity.name}: {fork}")

    def _rule(self, event: dict[str, Any]) -> None:
        """A live event, perhaps about oneself."""
        place, kind = event.get("room", INBOX), event["event"]
        if kind in ("banned", "muted"):
            self.sentenced[kind].append(event["whom"])
        if event.get("whom") != self.identity.name:
            return
        if kind in ("kicked", "banned"):
            self.ranks.pop(place, None)
            if place not in self.wanted or self.random.random() < 0.3:
                self._barred(place)
            else:
                self.wanted[place] = False
                self.run.later(self.random.random(), partial(self._ask_again, place, self.line))
        elif kind == "role":
            self._ranked(place, event["role"])
        elif kind == "invited" and place == INBOX and self._ready:
            self._come(event["into"])

    def _ranked(self, place: str, role: str) -> None:
        self.ranks.pop(place, None)
        if role in ("moderator", "owner"):
            self.ranks[place] = role

    def _come(self, room: str) -> None:
        if room not in self.wanted and self.identity.may_enter(room):
            self.wanted[room] = False
            self.ask_replay(room)

    def _barred(self, place: str) -> None:
        """It will not come back soon. What had no answer is asked from outside: it may have been stored."""
        self.wanted.pop(place, None)
        self.ranks.pop(place, None)
        self._say_again(place)

    def _found(self, room: str) -> None:
        """It came first: it becomes the owner."""
        cid = self.run.unique("c")
        request = {"op": "role", "room": room, "cid": cid, "name": self.identity.name, "role": "owner"}
        self.unanswered[cid] = request
        self.ask(request)

    def _begin(self, welcome: dict[str, Any]) -> None:
        self._ready = True
        inbox = welcome["inbox"]
        cursor = self.cursors.setdefault(INBOX, Cursor(inbox["epoch"], inbox["last"], decoded(inbox["head"])))
        if cursor.epoch != inbox["epoch"] or cursor.seq < inbox["floor"] - 1:
            self._lose(INBOX, inbox)
        elif cursor.seq < inbox["last"]:
            self._early = []
            self.ask_replay(INBOX)
        elif cursor.seq > inbox["last"]:
            self.run.fail("lost", f"{self.identity.name}: the inbox ends at {inbox['last']}, not at {cursor.seq}")
        for room in self.wanted:
            self.ask_replay(room)
        for place in {request.get("room", INBOX): None for request in self.unanswered.values()}:
            if place not in self.wanted:
                self._say_again(place)

    def _say_again(self, place: str) -> None:
        for request in list(self.unanswered.values()):
            if request.get("room", "") == place:
                self.ask(request)

    def _answered(self, said: dict[str, Any]) -> None:
        asked = self._asked.pop(said["re"])
        request, error = asked.request, said.get("error")
        if error is not None and error["temporary"]:
            wait = error["retry_after_ms"] / 1000 * (1 + self.random.random())
            if asked.place is not None:
                self.run.later(wait, partial(self._ask_again, asked.place, self.line))
            elif "cid" in request:
                self.run.later(wait, lambda: self.repeat(request["cid"]))
            elif request["op"] == "leave":
                self.leaving.discard(request["room"])
        elif error is not None:
            self._refused(asked, error)
        elif asked.place is not None:
            self._replayed(asked.place, said["ok"])
        elif "cid" in request:
            if self.unanswered.pop(request["cid"], None) is not None:
                self.acked[request["cid"]] = request
                if request["op"] == "send":
                    self.own.setdefault(request["room"], []).append(said["ok"]["seq"])
        elif request["op"] == "leave":
            self.wanted.pop(request["room"], None)
            self.leaving.discard(request["room"])
        elif asked.operation is not None and asked.operation.check is not None:
            asked.operation.check(self, said["ok"])

    def _refused(self, asked: Asked, error: dict[str, Any]) -> None:
        request, code = asked.request, error["code"]
        if asked.place is not None and code == "already_joined":  # it could not leave
            self.wanted[asked.place] = True
            return
        if asked.place is not None and code in ("banned", "invite_only"):
            self._barred(asked.place)
            return
        if request["op"] == "leave":
            self.wanted.pop(request["room"], None)
            self.leaving.discard(request["room"])
        if asked.place is not None or code not in REFUSALS.get(request["op"], ()):
            self.run.fail("refusal", f"{self.identity.name}: {request} is refused as {code}")
        if "cid" in request and self.unanswered.pop(request["cid"], None) is not None:
            self.refused[request["cid"]] = code

    def _replayed(self, place: str, ok: dict[str, Any]) -> None:
        if not ok["recovered"]:
            self._lose(place, ok)
        self.cursors.setdefault(place, Cursor(ok["epoch"], ok["last"], decoded(ok["head"])))
        for event in ok["events"]:
            self._take(event)
        if ok["more"]:
            self.ask_replay(place)
        elif place == INBOX:
            early, self._early = self._early or [], None
            for event in early:
                self._take(event)
        else:
            if place in self.wanted:
                self.wanted[place] = True
                self._ranked(place, ok["role"])
            if not ok["last"] and not self.identity.guest and self.random.random() < 0.7:
                self._found(place)
            self._say_again(place)

    def _lose(self, place: str, position: dict[str, Any]) -> None:
        self.cursors[place] = Cursor(position["epoch"], position["last"], decoded(position["head"]))
        self.messages.pop(place, None)
        self.own.pop(place, None)

    def _take(self, event: dict[str, Any]) -> None:
        """One entry: the very next one, and its chain's next link. Raises HistoryFork."""
        place = event.get("room", INBOX)
        self.cursors[place] = advanced(self.cursors[place], entry_of(event, self.identity.name))
        if event["event"] == "message":
            self.messages.setdefault(place, []).append(event["seq"])

    def ended(self, code: int) -> None:
        self._ready, self._early = False, None
        self._asked.clear()
        self.leaving.clear()
        for room in self.wanted:
            self.wanted[room] = False
        super().ended(code)
