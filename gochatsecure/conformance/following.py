"""What holds for every frame of a session, whatever a transcript says: its shape, its place, its chain. Pure."""

from __future__ import annotations

import json
from typing import Any

from ..chat.chain import base64url, genesis
from ..chat.model import KINDS, Cursor, inbox_stream, room_stream
from ..client.chains import advanced, decoded, entry_of
from ..client.errors import HistoryFork
from .codes import ERRORS
from .schemas import definitions
from .validate import faults

_DEFS = definitions()
_TEMPORARY = {row.code: row.temporary for row in ERRORS}
_APPENDING = {"send", "private", "edit", "delete", "react", "topic"}
INBOX = ""


class Broken(Exception):
    """The server does what the contract excludes."""


class Follower:
    """One session: what it has asked, and where it is in each log."""

    def __init__(self, *, strict: bool = False) -> None:
        """`strict`: fields, events and codes that the tables do not know are faults, too."""
        self._strict = strict
        self._name = ""
        self._asked: dict[object, dict[str, Any]] = {}  # by id
        self._cursors: dict[str, Cursor] = {}  # by room
        self._heads: dict[tuple[str, int], str] = {}  # of what was shown, by room and seq

    def asks(self, text: str) -> None:
        """What is sent; what is no request has no answer that would name it."""
        try:
            request = json.loads(text)
        except ValueError:
            return
        if isinstance(request, dict) and isinstance(request.get("id"), str | int):
            self._asked[request["id"]] = request

    def sees(self, frame: Any) -> None:
        """Raises Broken."""
        if not isinstance(frame, dict) or not ("event" in frame) ^ ("re" in frame):
            raise Broken("a frame has either `event` or `re`")
        if "event" in frame:
            self._sees_event(frame)
        elif "error" in frame:
            self._check(frame, "failure")
            error = frame["error"]
            if self._strict and error["code"] not in _TEMPORARY:
                raise Broken(f"no such code is known: {error['code']}")
            if error["temporary"] is not _TEMPORARY.get(error["code"], error["temporary"]):
                raise Broken(f"{error['code']}: `temporary` is not as the table has it")
        else:
            self._sees_answer(frame)

    def _check(self, frame: dict[str, Any], name: str) -> None:
        if wrong := faults(frame, _DEFS[name], _DEFS, strict=self._strict):
            raise Broken(f"not as the schema {name} has it: {'; '.join(wrong)}")

    def _sees_event(self, event: dict[str, Any]) -> None:
        name = f"event.{event['event']}"
        if name not in _DEFS:
            if self._strict:
                raise Broken(f"no such event is known: {event['event']}")
            return
        self._check(event, name)
        if event["event"] == "welcome":
            self._name = event["username"]
            self._cursors[INBOX] = self._position(event["inbox"], INBOX)
        elif event["event"] in KINDS:
            self._sees_entry(event)

    def _sees_entry(self, event: dict[str, Any]) -> None:
        room = event.get("room", INBOX)
        if room not in self._cursors:
            raise Broken(f"an entry of {room or 'the inbox'}, which this session has no place in")
        self._cursors[room] = self._next(self._cursors[room], event)
        self._heads[room, event["seq"]] = event["head"]

    def _next(self, cursor: Cursor, event: dict[str, Any]) -> Cursor:
        try:
            return advanced(cursor, entry_of(event, self._name))
        except HistoryFork as fork:
            raise Broken(str(fork)) from None

    def _position(self, position: dict[str, Any], room: str) -> Cursor:
        """Where a log stands; of one that is empty, the head is known."""
        stream = room_stream(room) if room else inbox_stream(self._name)
        if not position["last"] and position["head"] != base64url(genesis(stream, position["epoch"])):
            raise Broken(f"head(0) of {room or 'the inbox'} is not what its name and epoch make")
        return Cursor(position["epoch"], position["last"], decoded(position["head"]))

    def _sees_answer(self, answer: dict[str, Any]) -> None:
        self._check(answer, "answer")
        request = self._asked.get(answer["re"])
        if request is None:
            raise Broken(f"an answer to {answer['re']!r}, which was not asked")
        op = request.get("op")
        if f"answer.{op}" not in _DEFS:
            raise Broken(f"`ok` to {op!r}, which is no op")
        self._check(answer, f"answer.{op}")
        if faults(request, _DEFS[f"request.{op}"], _DEFS):
            raise Broken(f"`ok` to a {op} that is not as the schema request.{op} has it")
        ok = answer["ok"]
        if op in ("join", "inbox"):
            self._replayed(request, ok)
        elif op == "leave":
            self._cursors.pop(request["room"].lower(), None)
        elif op in _APPENDING:
            shown = self._heads.get((ok.get("room", INBOX), ok["seq"]))
            if shown is not None and shown != ok["head"]:
                raise Broken("the `head` of an ack is not that of the entry which was shown")
            if ok["cid"] != request["cid"]:
                raise Broken("the `cid` of an ack is not that of its request")

    def _replayed(self, request: dict[str, Any], ok: dict[str, Any]) -> None:
        """What was missed has to follow on the cursor without a hole, up to where the log stands."""
        room, after = ok.get("room", INBOX), request.get("after")
        stands = self._position(ok, room)
        if after is not None and ok["recovered"]:
            head = after.get("head")
            cursor = Cursor(after["epoch"], after["seq"], decoded(head) if head else None)
            for event in ok["events"]:
                cursor = self._next(cursor, event)
            if not ok["more"] and (cursor.seq, cursor.head or stands.head) != (stands.seq, stands.head):
                raise Broken("the replay does not end where the log stands, and there is no `more`")
            if ok["more"] and not (ok["events"] and cursor.seq < stands.seq):
                raise Broken("`more`, but nothing was told, or nothing is left")
        elif ok["events"] or ok["more"]:
            raise Broken("a replay that nobody asked for, or that could not be recovered, has no events and no `more`")
        if room != INBOX and not ok["more"]:
            self._cursors[room] = stands
