"""What is true: what has been committed. Each entry is checked as it comes: the next one, and its sender's to bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gochatsecure.chat.chain import follows, is_erased
from gochatsecure.chat.model import (
    Banned,
    Deleted,
    Edited,
    Entry,
    Identity,
    Kicked,
    Muted,
    Stream,
    name_of,
    room_of_stream,
    target_of,
    text_of,
)

from .rules import Rules

Fail = Callable[[str, str], None]
"""Called with the name of the check that fails, and what it has found."""


class Truth:
    """`wall`: seconds since 1970, as the server takes them."""

    def __init__(self, fail: Fail, wall: Callable[[], float], people: dict[str, Identity] | None = None) -> None:
        self.fail = fail
        self.wall = wall
        self.steady_from = 0.0  # by that clock: when everybody has noticed its last jump
        self.people = {} if people is None else people  # by key
        self.rules: dict[Stream, Rules] = {}  # how the rooms stand
        self.out: dict[tuple[Stream, str], int] = {}  # names that were taken out, and by which entry
        self.streams: dict[Stream, list[Entry]] = {}
        self.floors: dict[Stream, int] = {}
        self.by_cid: dict[tuple[str, str], Entry] = {}
        self.by_text: dict[str, Entry] = {}
        self.erased_edits = 0  # by the commit that brought them: what they say is not known
        self.acked: dict[tuple[str, str], int] = {}  # by sender and cid: the seq
        self.first_acks: set[tuple[str, str]] = set()  # those that were told that it was stored just now

    def forget(self) -> None:
        """A store that lasts as long as its process has gone."""
        steady_from = self.steady_from
        self.__init__(self.fail, self.wall, self.people)  # type: ignore[misc]
        self.steady_from = steady_from

    def last(self, stream: Stream) -> int:
        return len(self.streams.get(stream, ()))

    def at(self, stream: Stream, seq: int) -> Entry | None:
        kept = self.streams.get(stream, ())
        return kept[seq - 1] if 1 <= seq <= len(kept) else None

    @property
    def now_ms(self) -> int:
        return int(self.wall() * 1000)

    def rules_at(self, stream: Stream, seq: int) -> Rules:
        """How the room stood after that entry."""
        return Rules(self.people, self.streams.get(stream, [])[:seq])

    def entered(self, stream: Stream, name: str, last: int) -> None:
        """Somebody was let in, when that was the last entry."""
        if self.out.get((stream, name), last + 1) <= last:
            del self.out[stream, name]

    def ever(self, stream: Stream, key: str, kind: type[Banned | Muted], *times: int) -> bool:
        """Whether there was a sentence of that kind that held at one of these times."""
        return any(
            isinstance(content, kind)
            and name_of(content.whom) == name_of(key)
            and (content.until is None or min(times) < content.until)
            for content in (entry.content for entry in self.streams.get(stream, ()))
        )

    def _ruled(self, entry: Entry) -> None:
        """It is the next one of a room: who has brought it was there, and had the right to."""
        stream = entry.stream
        rules = self.rules.setdefault(stream, Rules(self.people))
        about = self.at(stream, target_of(entry.content) or 0)
        if (stream, name_of(entry.sender)) in self.out:
            self.fail("expelled", f"{entry.sender} has been taken out of {stream}, and brings entry {entry.seq}")
        elif (found := rules.objection(entry, about.sender if about is not None else "")) is not None:
            self.fail(found[0], f"{stream}: entry {entry.seq}, {entry.content}: {found[1]}")
        rules.apply(entry)
        if isinstance(entry.content, Kicked | Banned):
            self.out[stream, name_of(entry.content.whom)] = entry.seq

    def committed(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            kept = self.streams.setdefault(entry.stream, [])
            if entry.seq != len(kept) + 1:
                self.fail("gap", f"{entry.stream}: entry {entry.seq} is stored after entry {len(kept)}")
                return
            if entry.seq > 1 and not follows(entry, kept[-1].head):
                self.fail("chain", f"{entry.stream}: entry {entry.seq} does not follow from the one before")
            if room_of_stream(entry.stream):
                self._ruled(entry)
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
        return any(
            isinstance(entry.content, Deleted) and entry.content.target == seq for entry in self.streams.get(stream, ())
        )

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
