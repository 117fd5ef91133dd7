"""What is true, and what each connection was shown of it: compared at every step, on the very bytes that leave.

`Truth` is what has been committed. `Wire` sits on one connection and reads along in both directions: nobody is shown
what is not in the truth, nor what is not theirs, nothing twice, nothing out of order, and no hole that is not said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gochatsecure.chat.chain import base64url, commitment, follows, is_erased
from gochatsecure.chat.model import (
    KIND_OF,
    Deleted,
    Edited,
    Entry,
    Identity,
    Posted,
    Stream,
    Told,
    inbox_stream,
    name_of,
    room_of_stream,
    room_stream,
    text_of,
)
from gochatsecure.client.chains import decoded

EXACT_REFUSALS = False  # what is refused was never stored: not so yet for a repetition whose first answer was lost

Fail = Callable[[str, str], None]
"""Called with the name of the check that fails, and what it has found."""


class Truth:
    def __init__(self, fail: Fail) -> None:
        self.fail = fail
        self.streams: dict[Stream, list[Entry]] = {}
        self.floors: dict[Stream, int] = {}
        self.by_cid: dict[tuple[str, str], Entry] = {}
        self.by_text: dict[str, Entry] = {}
        self.erased_edits = 0  # by the commit that brought them: what they say is not known
        self.acked: dict[tuple[str, str], int] = {}  # by sender and cid: the seq
        self.first_acks: set[tuple[str, str]] = set()  # those that were told that it was stored just now

    def forget(self) -> None:
        """A store that lasts as long as its process has gone."""
        self.__init__(self.fail)  # type: ignore[misc]

    def last(self, stream: Stream) -> int:
        return len(self.streams.get(stream, ()))

    def at(self, stream: Stream, seq: int) -> Entry | None:
        kept = self.streams.get(stream, ())
        return kept[seq - 1] if 1 <= seq <= len(kept) else None

    def committed(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            kept = self.streams.setdefault(entry.stream, [])
            if entry.seq != len(kept) + 1:
                self.fail("gap", f"{entry.stream}: entry {entry.seq} is stored after entry {len(kept)}")
                return
            if entry.seq > 1 and not follows(entry, kept[-1].head):
                self.fail("chain", f"{entry.stream}: entry {entry.seq} does not follow from the one before")
            kept.append(entry)
            self.erased_edits += isinstance(entry.content, Edited) and is_erased(entry)
            text = text_of(entry.content)
            if text and ((known := self.by_text.get(text)) is None or known.seq < self.floors.get(known.stream, 1)):
                self.by_text[text] = entry  # or again, as who forgets does
            if entry.cid is not None:
                key = (entry.sender, entry.cid)
                if (first := self.by_cid.get(key)) is not None:
                    self.fail(
                        "once", f"{entry.cid} is stored as {first.stream} {first.seq} and {entry.stream} {entry.seq}"
                    )
                self.by_cid[key] = entry

    def dropped(self, entry: Entry) -> None:
        """The store keeps it no more."""
        self.floors[entry.stream] = entry.seq + 1
        if entry.cid is not None:
            key = (entry.sender, entry.cid)
            del self.by_cid[key]
            self.acked.pop(key, None)
            self.first_acks.discard(key)

    def is_deleted(self, stream: Stream, seq: int) -> bool:
        return any(entry.content == Deleted(seq) for entry in self.streams.get(stream, ()))

    def audit(self, found: Iterable[Entry]) -> None:
        """Compare with all that the store holds."""
        stored: dict[Stream, list[Entry]] = {}
        for entry in found:
            stored.setdefault(entry.stream, []).append(entry)
        for stream in self.streams.keys() | stored.keys():
            told, kept = self.streams.get(stream, []), stored.get(stream, [])
            if len(kept) < len(told):
                self.fail("lost", f"{stream}: {len(told)} entries were committed, {len(kept)} are there")
            for one, other in zip(told, kept, strict=False):
                if one.head != other.head or one.cid != other.cid:
                    self.fail("lost", f"{stream}: entry {one.seq} is not what was committed")
                elif not is_erased(other) and text_of(other.content) is not None:
                    target = other.content.target if isinstance(other.content, Edited) else other.seq
                    if self.is_deleted(stream, target):
                        self.fail("erased", f"{stream}: entry {other.seq} was deleted, and its text is there")
        for (sender, cid), seq in self.acked.items():
            made = self.by_cid.get((sender, cid))
            if made is None or made.seq != seq:
                self.fail("lost", f"{cid} was acknowledged as {seq}, and is not there")


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
        self.trace: list[str] = []

    def _fail(self, check: str, what: str) -> None:
        self._truth.fail(check, f"{self._name}: {what}")

    # What it asks.

    def asked(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            return
        for opcode, payload in frames(data):
            if opcode == 1:
                text = payload.decode()
                if self._greets:
                    request = json.loads(text)
                    self._asked.setdefault(request.get("id"), []).append(request)
                elif text.startswith("/join "):
                    self._going = [text.removeprefix("/join ")]

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
                if self._greets:
                    self._said(json.loads(text))
                else:
                    self._line(text)

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
        elif op == "leave":
            self._next.pop(room_stream(request["room"]), None)
        elif "cid" in ok:
            self._acked(request, ok)
        elif op == "history":
            self._looked_back(ok, room_stream(ok["room"]) if "room" in ok else self._own)

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
        if request["op"] == "join" and not ok["more"]:
            self._next[stream] = ok["last"] + 1
            if not self._identity.may_enter(request["room"]):
                self._fail("leak", f"may not enter {request['room']}, and does")

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

    def _refused(self, request: dict[str, Any], error: dict[str, Any]) -> None:
        if not EXACT_REFUSALS or "cid" not in request or error["temporary"]:
            return
        key = (self._identity.key, request["cid"])
        entry = self._truth.by_cid.get(key)
        if entry is not None and error["code"] != "cid_reused":
            self._fail("refused", f"{request['op']} {request['cid']} is refused as {error['code']}, and is stored")

    def _looked_back(self, ok: dict[str, Any], stream: Stream) -> None:
        for message in ok["messages"]:
            entry = self._truth.at(stream, message["seq"])
            if entry is None or entry.cid != message["cid"] or not isinstance(entry.content, Posted | Told):
                self._fail("stored", f"finds {message['seq']} in {stream}, which is not stored so")

    # In the lines protocol, a text tells which entry it is: no text is said twice.

    def _line(self, text: str) -> None:
        if text == f"{self._identity.name} joined the room":
            self._rooms, self._going = set(self._going), []
            self._reached.clear()
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
