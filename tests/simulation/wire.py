"""What each connection was shown of what is true: compared at every step, on the very bytes that leave.

`Wire` sits on one connection and reads along in both directions: nobody is shown what is not in the truth, nor what is
not theirs, nothing twice, nothing out of order, and no hole that is not said; nobody is where they may not be, and
nobody is refused what is stored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from gochatsecure.auth.tokens import _LEEWAY
from gochatsecure.chat.chain import base64url, commitment, is_erased
from gochatsecure.chat.model import (
    KIND_OF,
    Banned,
    Entry,
    Identity,
    Muted,
    Opened,
    Posted,
    Role,
    Slowed,
    Stream,
    Told,
    inbox_stream,
    name_of,
    room_of_stream,
    room_stream,
    text_of,
)
from gochatsecure.client.chains import decoded

from .truth import Truth

EXACT_REFUSALS = True  # what is refused was never stored
_LATE = 0.02  # seconds: the least that a timer of the server waits, in ticks
_UNTOLD = 12  # entries of a room that may be committed, and not told yet: the log's queue


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The opcode and payload of each frame; whole ones, masked or not."""
    while data:
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        payload = data[start : start + size]
        if data[1] & 0x80:
            mask, payload = data[start : start + 4], data[start + 4 : start + 4 + size]
            start += 4
            if any(mask):
                whole = (mask * (size // 4 + 1))[:size]
                payload = (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
        yield data[0] & 0xF, payload
        data = data[start + size :]


def _expires(token: str) -> float:
    """When it ends, also for who has another time."""
    return float(json.loads(decoded(token.split(".")[1]))["exp"]) + _LEEWAY


def _says(said: dict[str, Any], entry: Entry) -> bool:
    """Whether its text is the entry's. That may have been erased since, or in the very commit that brought it."""
    if "text" in said and is_erased(entry):
        return commitment(decoded(said["salt"]), said["text"]) == entry.seal
    return "commitment" in said or said.get("text") == text_of(entry.content)


class Wire:
    """One connection, read along. `greets`: it speaks the JSON protocol, else the lines protocol."""

    def __init__(self, truth: Truth, identity: Identity, number: int, *, greets: bool, room: str) -> None:
        self._truth = truth
        self._identity = identity
        self._own = inbox_stream(identity.key)
        self._name = f"{identity.name}/{number}"
        self._greets = greets
        self._head = True  # HTTP's is not through yet
        self._asked: dict[Any, list[dict[str, Any]]] = {}  # by id
        self._next: dict[Stream, int] = {}  # the seq that has to come next, of all that is followed
        self._going: list[str] = [] if greets else [room]  # where a lines session wants to go
        self._rooms: set[str] = set()  # where a lines session is
        self._reached: dict[Stream, int] = {}  # what a lines session was shown last
        self._expires = math.inf
        self._asked_in = 0, 0  # after which entry, and when (milliseconds), a lines session wanted to go there
        self._taken_out = False  # of the room that a lines session was in: that is its end
        self._slow: dict[Stream, int] = {}  # the seconds of slow mode, as far as it was told
        self._paced: dict[Stream, int] = {}  # when it was last said something, by who had been told of slow mode
        self.trace: list[str] = []

    def _fail(self, check: str, what: str) -> None:
        self._truth.fail(check, f"{self._name}: {what}")

    # What it asks.

    def asked(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            if bearer := re.search(rb"Bearer (\S+)", data):
                self._expires = _expires(bearer[1].decode())
            self._asks_in()
            return
        for opcode, payload in frames(data):
            if opcode == 1:
                text = payload.decode()
                if self._greets:
                    request = json.loads(text)
                    request["asked_ms"] = self._truth.now_ms
                    if request["op"] == "refresh":  # its answer may come late to who reads slowly
                        self._expires = max(self._expires, _expires(request["token"]))
                    elif request["op"] == "send":
                        request["slow"] = self._slow.get(room_stream(request["room"]), 0)
                    self._asked.setdefault(request.get("id"), []).append(request)
                elif text.startswith("/join "):
                    self._going = [text.removeprefix("/join ")]
                    self._asks_in()

    def _asks_in(self) -> None:
        """What has been committed lately may not have been told to the server's loop yet."""
        for room in self._going:
            since = self._truth.last(room_stream(room)) - _UNTOLD
            self._asked_in = max(0, since), self._truth.now_ms

    # What it is shown.

    def shown(self, data: bytes) -> None:
        if self._head:
            head, _, data = data.partition(b"\r\n\r\n")
            self._head = False
            if not head.startswith(b"HTTP/1.1 101"):
                return
        for opcode, payload in frames(data):
            if opcode == 1:
                text = payload.decode()
                self.trace.append(text)
                now = self._truth.wall()
                if now > max(self._expires, self._truth.steady_from) + _LATE:
                    self._fail("expired", f"is shown {text!r} {now - self._expires:.3f} s after its token has expired")
                if self._greets:
                    self._said(json.loads(text))
                elif self._taken_out:
                    self._fail("leak", f"was taken out of its room, and is shown {text!r}")
                else:
                    self._line(text)
            elif opcode == 8 and self._taken_out and payload[:2] != (4403).to_bytes(2, "big"):
                self._fail("expelled", f"was taken out of its room, and is closed with {payload!r}")

    def _said(self, said: dict[str, Any]) -> None:
        if "re" in said:
            if said["re"] is None and said.get("error", {}).get("temporary"):
                return  # it was not even greeted
            requests = self._asked.get(said["re"])
            if not requests:
                self._fail("answer", f"{said['re']} was not asked, or answered twice")
            elif "ok" in said:
                self._answered(requests.pop(0), said["ok"])
            else:
                self._refused(requests.pop(0), said["error"])
        elif said["event"] == "welcome":
            if said["username"] != self._identity.name:
                self._fail("leak", f"is welcome as {said['username']}")
            self._next[self._own] = said["inbox"]["last"] + 1
        elif said["event"] in KIND_OF.values():
            stream = room_stream(said["room"]) if "room" in said else self._own
            due = self._next.get(stream)
            if due is None:
                self._fail("leak", f"is shown {said['seq']} of {stream}, where it is not")
                return
            self._entry(said, stream, due)
            self._next[stream] = due + 1
            if said["event"] == "slow":
                self._slow[stream] = said["seconds"]
            elif said["event"] in ("kicked", "banned") and said["whom"] == self._identity.name:
                self._leave(stream)  # that is the last it sees
        elif "room" in said and said["event"] != "read" and room_stream(said["room"]) not in self._next:
            self._fail("leak", f"is told of {said['event']} in {said['room']}, where it is not")

    def _entry(self, said: dict[str, Any], stream: Stream, due: int) -> None:
        """One entry, which has to be that one and as it is stored."""
        if said["seq"] != due:
            check = "twice" if said["seq"] < due else "hole"
            self._fail(check, f"is shown {said['seq']} of {stream} instead of {due}")
            return
        entry = self._truth.at(stream, due)
        if entry is None:
            self._fail("stored", f"is shown {due} of {stream}, which is not stored")
            return
        if isinstance(entry.content, Told) and self._identity.key not in (entry.sender, entry.content.to):
            self._fail("leak", f"is shown what {entry.sender} said to {entry.content.to}")
        told = (said["event"], said["ts"], said["from"], said["cid"], said["head"])
        stored = (KIND_OF[type(entry.content)], entry.ts, name_of(entry.sender), entry.cid, base64url(entry.head))
        if told != stored or not _says(said, entry):
            self._fail("stored", f"is shown {due} of {stream} otherwise than it is stored")

    def _answered(self, request: dict[str, Any], ok: dict[str, Any]) -> None:
        op = request["op"]
        if op in ("join", "inbox"):
            self._replayed(request, ok, room_stream(request["room"]) if op == "join" else self._own)
        elif op == "refresh":
            self._expires = _expires(request["token"])
        elif op == "leave":
            self._leave(room_stream(request["room"]))
        elif "cid" in ok:
            self._acked(request, ok)
        elif op in ("history", "search"):
            self._looked_back(ok, room_stream(ok["room"]) if "room" in ok else self._own)

    def _leave(self, stream: Stream) -> None:
        for kept in (self._next, self._slow, self._paced):
            kept.pop(stream, None)

    def _replayed(self, request: dict[str, Any], ok: dict[str, Any], stream: Stream) -> None:
        after = request.get("after")
        due = ok["last"] + 1
        if after is not None and ok["recovered"]:
            due = after["seq"] + 1
            for event in ok["events"]:
                self._entry(event, stream, due)
                due += 1
            if not ok["more"] and due != ok["last"] + 1:
                self._fail("hole", f"was replayed {stream} up to {due - 1}; it goes on after {ok['last']}")
        elif after is not None and after["epoch"] == ok["epoch"] and after["seq"] >= ok["floor"] - 1:
            floor = self._truth.floors.get(stream, 1)
            if after["seq"] >= floor - 1:
                self._fail("hole", f"could have been told what came in {stream} after {after['seq']}")
        if ok["last"] > self._truth.last(stream):
            self._fail("stored", f"is told that {stream} has {ok['last']} entries, of {self._truth.last(stream)}")
        if request["op"] == "join":
            self._let_in(request, ok, stream)

    def _let_in(self, request: dict[str, Any], ok: dict[str, Any], stream: Stream) -> None:
        if not self._identity.may_enter(request["room"]):
            self._fail("leak", f"may not enter {request['room']}, and does")
        rules = self._truth.rules_at(stream, ok["last"])
        if code := rules.refusal(self._identity.key, request["asked_ms"], self._truth.now_ms):
            self._fail("entry", f"is let into {request['room']}, but {code}")
        if not ok["more"]:
            self._next[stream] = ok["last"] + 1
            self._slow[stream] = ok["slow"]
            self._truth.entered(stream, self._identity.name, ok["last"])

    def _acked(self, request: dict[str, Any], ok: dict[str, Any]) -> None:
        stream = room_stream(request["room"]) if "room" in request else self._own
        truth, cid = self._truth, str(request["cid"])
        key = (self._identity.key, cid)
        entry = truth.at(stream, ok["seq"])
        if entry is None or (entry.sender, entry.cid) != key or base64url(entry.head) != ok["head"]:
            self._fail("acked", f"{request['cid']} is acknowledged as {ok['seq']} of {stream}, and is not stored there")
            return
        if truth.acked.setdefault(key, ok["seq"]) != ok["seq"] or (not ok["dup"] and key in truth.first_acks):
            self._fail("once", f"{request['cid']} is acknowledged as stored just now, for the second time")
        if not ok["dup"]:
            truth.first_acks.add(key)
            if request["op"] == "send":
                self._pace(request, entry)

    def _pace(self, request: dict[str, Any], entry: Entry) -> None:
        """What two messages have between them that were sent by who knew of slow mode."""
        seconds = min(request["slow"], self._slow.get(entry.stream, 0))
        if not seconds:
            return
        last = self._paced.get(entry.stream)
        weak = self._truth.rules[entry.stream].role(self._identity.key) < Role.MODERATOR
        if weak and last is not None and 0 <= entry.ts - last < 1000 * seconds:
            self._fail("slow", f"says something in {entry.stream} {entry.ts - last} ms after the last, of {seconds} s")
        self._paced[entry.stream] = entry.ts

    def _refused(self, request: dict[str, Any], error: dict[str, Any]) -> None:
        self._refused_by_rule(request, error["code"])
        if not EXACT_REFUSALS or "cid" not in request or error["temporary"]:
            return
        key = (self._identity.key, request["cid"])
        entry = self._truth.by_cid.get(key)
        if entry is not None and error["code"] != "cid_reused":
            self._fail("refused", f"{request['op']} {request['cid']} is refused as {error['code']}, and is stored")

    def _refused_by_rule(self, request: dict[str, Any], code: str) -> None:
        """A rule that the room has never had, or one that has ended, refuses nobody anything."""
        if code in ("banned", "muted"):
            kind, times = Banned if code == "banned" else Muted, (request["asked_ms"], self._truth.now_ms)
            held = self._truth.ever(room_stream(request["room"]), self._identity.key, kind, *times)
        elif code in ("invite_only", "slow_mode"):
            rule = Opened if code == "invite_only" else Slowed
            entries = self._truth.streams.get(room_stream(request["room"]), ())
            held = any(isinstance(entry.content, rule) for entry in entries)
        else:
            return
        if not held:
            self._fail("unfair", f"{request} is refused as {code}")

    def _looked_back(self, ok: dict[str, Any], stream: Stream) -> None:
        if "room" in ok and stream not in self._next:
            self._fail("leak", f"is told of the past of {ok['room']}, where it is not")
        for message in ok["messages"]:
            entry = self._truth.at(stream, message["seq"])
            if entry is None or entry.cid != message["cid"] or not isinstance(entry.content, Posted | Told):
                self._fail("stored", f"finds {message['seq']} in {stream}, which is not stored so")

    # In the lines protocol, a text tells which entry it is: no text is said twice.

    def _line(self, text: str) -> None:
        if text == f"{self._identity.name} joined the room":
            for room in self._going:
                self._let_in_by_name(room_stream(room))
            self._rooms, self._going = set(self._going), []
            self._reached.clear()
            return
        if re.match(rf"\(Room\) \S+ (took|banned) {self._identity.name}( |:|$)", text):
            self._taken_out = True
            return
        found = re.search(r"(?:: |\* \S+ )(\S+)$", text)
        if found is None or text.startswith(("!", "#", "(Reaction)")):
            return
        entry = self._truth.by_text.get(found[1])
        if entry is None:
            if not text.startswith("(Edited)") or not self._truth.erased_edits:
                self._fail("stored", f"is shown {text!r}, which is not stored")
        elif isinstance(entry.content, Told):
            if self._identity.key not in (entry.sender, entry.content.to):
                self._fail("leak", f"is shown what {entry.sender} said to {entry.content.to}")
        elif room_of_stream(entry.stream) not in self._rooms | set(self._going):
            self._fail("leak", f"is shown what was said in {entry.stream}, where it is not")
        elif room_of_stream(entry.stream) in self._rooms:
            self._live(entry, text)

    def _let_in_by_name(self, stream: Stream) -> None:
        """What stood when it was let in is not told: somewhere between its asking and now."""
        truth, key = self._truth, self._identity.key
        since, asked_ms = self._asked_in
        codes = {
            truth.rules_at(stream, seq).refusal(key, asked_ms, truth.now_ms)
            for seq in range(since, truth.last(stream) + 1)
        }
        if None not in codes:
            self._fail("entry", f"is let into {stream}, but {codes}")
        truth.out.pop((stream, self._identity.name), None)

    def _live(self, entry: Entry, text: str) -> None:
        """What comes after what was shown last."""
        reached = self._reached.get(entry.stream)
        if reached is not None and entry.seq <= reached:
            self._fail("twice", f"is shown {text!r} again, or out of its order")
        for seq in range(reached + 1, entry.seq) if reached is not None else ():
            between = self._truth.at(entry.stream, seq)
            if between is not None and text_of(between.content):
                self._fail("hole", f"is shown {entry.seq} of {entry.stream} after {reached}, without {seq}")
        self._reached[entry.stream] = entry.seq
