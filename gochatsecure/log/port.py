"""What every log engine promises. The contract's tests run against each engine; nothing above knows which it is.

- `append` queues a draft and returns at once; its outcome comes to the sink, in the order of appending.
- A draft is committed whole or not at all, and is handed back only once it is stored.
- `seq` is given in the commit: 1, 2, 3, ... for each stream, without gaps.
- The same `(sender, cid)` is committed once, for as long as its entry is kept: again with the same content it comes
  back as the first entry with `dup`; with other content it is refused as `cid_reused`.
- Each entry carries the chain on (`chat.chain`), with a salt of its own for its text. With a `Deleted` the text of its
  target, and of the target's edits, is erased in the same commit; place, head and commitment stay.
- What has arrived while one commit was under way goes into the next one together, up to GROUP: what one commit
  brings has to fit into the outboxes of those who are shown it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import NamedTuple, Protocol

from ..chat.errors import Refusal, Temporary
from ..chat.model import (
    Banned,
    Content,
    Draft,
    Entry,
    Muted,
    Position,
    Stream,
    Told,
    inbox_stream,
    name_of,
    slot_of,
    taken_back,
    until_of,
)


class Committed(NamedTuple):
    """The draft is stored: its entries, in the order of its parts. With `dup`: the first entry that it made before."""

    draft: Draft
    entries: Sequence[Entry]
    dup: bool = False


class Failed(NamedTuple):
    """The draft is not stored, and nobody may be shown it."""

    draft: Draft
    refusal: Refusal


Outcome = Committed | Failed
Sink = Callable[[Sequence[Outcome]], None]
"""Called on the event loop with what one commit brought, in order. MUST NOT raise."""


class Opening(NamedTuple):
    """A stream as it stands: its position, its last entries, and, of a room's, its rules that count (`keep_rule`). Both
    in the log's order."""

    position: Position
    tail: Sequence[Entry]
    rules: Sequence[Entry]


class Tally(NamedTuple):
    """What an engine has to do, and what it has done since it was opened."""

    waiting: int
    """Drafts that were appended and whose outcome is not out yet."""
    commits: int = 0
    """Groups of drafts and marks that were stored, each as a whole."""
    entries: int = 0
    failed: int = 0
    """Groups that could not be stored."""
    seconds: float = 0.0
    """Spent storing, in vain too."""


class Page(NamedTuple):
    """Messages (`Posted` or `Told`), oldest first: all that there are from `first` to `last`; with `more` there are, or
    may be, others beyond, in the direction that was asked for.

    `about` tells what became of them, in its order: the last edit, the deletion, the newest REACTIONS of each.
    """

    messages: Sequence[Entry]
    about: Sequence[Entry]
    first: int
    last: int
    more: bool
    position: Position


Find = Callable[[int, int, int], Sequence[Entry]]
"""Given `first`, `last` and `limit`: at most so many messages from the one to the other, oldest first; the oldest of
them, or, with a negative limit, the newest."""


def cut(anchor: Anchor, limit: int, position: Position, find: Find) -> tuple[list[Entry], int, int, bool]:
    """The messages of a page, and its `first`, `last` and `more`."""
    floor = position.floor
    if anchor.after is not None:
        first = max(anchor.after + 1, floor)
        messages, last, more = _newer(first, limit, position, find)
    elif anchor.around is not None:
        older, first, more = _older(min(anchor.around - 1, position.last), limit // 2, position, find)
        newer, last, beyond = _newer(max(anchor.around, floor), limit - limit // 2, position, find)
        messages, more = older + newer, more or beyond
    else:
        last = position.last if anchor.before is None else min(anchor.before - 1, position.last)
        messages, first, more = _older(last, limit, position, find)
    return messages, first, last, more


def _older(last: int, limit: int, position: Position, find: Find) -> tuple[list[Entry], int, bool]:
    """The newest messages up to `last`, oldest first; from where on that is all; whether there may be more."""
    reach = max(position.floor, last - SCAN + 1)
    found = list(find(reach, last, -limit - 1))
    if len(found) > limit:
        found = found[1:]
        return found, found[0].seq if found else last + 1, True
    return found, reach, reach > position.floor


def _newer(first: int, limit: int, position: Position, find: Find) -> tuple[list[Entry], int, bool]:
    """The oldest messages from `first` on; up to where that is all; whether there may be more."""
    reach = min(position.last, first + SCAN - 1)
    found = list(find(first, reach, limit + 1))
    if len(found) > limit:
        found = found[:-1]
        return found, found[-1].seq if found else first - 1, True
    return found, reach, reach < position.last


SCAN = 10_000  # entries looked at for one page: a longer stretch without messages ends it, with `more`
REACTIONS = 100  # of one message: a hundred messages with a hundred names each still fit into one answer


class Anchor(NamedTuple):
    """Which messages are wanted: those next `before` this seq, `after` it, or half of them from before it and half from
    it on (`around`); with none of them, the newest. With `peer`, only private messages with somebody of that name."""

    before: int | None = None
    after: int | None = None
    around: int | None = None
    peer: str | None = None


class Log(Protocol):
    """What is asked of it is a snapshot: a commit is in it wholly or not at all. All reading raises Temporary."""

    async def open(self, sink: Sink) -> None:
        """Ready to append and read. Raises StoreError. Belongs to the running event loop until closed."""

    def append(self, draft: Draft) -> None:
        """Queue a draft. MUST be called on the event loop; never waits. Raises Temporary: full, or closing; Refusal:
        what holds half of a surrogate pair, and so is no text. None of the other drafts is touched by it."""

    async def look(self, stream: Stream, limit: int) -> Opening:
        """The stream as it stands, with its last `limit` entries. One that nobody wrote to has a position, too."""

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        """Committed entries with `seq` above `after`, oldest first, at most `limit`."""

    async def page(self, stream: Stream, anchor: Anchor, limit: int) -> Page:
        """At most `limit` messages, with what became of them."""

    async def find(self, sender: str, cid: str) -> Entry | None:
        """The entry that this sender (a key) has made under this cid, if it is kept."""

    async def count(self, stream: Stream, after: int, besides: str, most: int, peer: str | None = None) -> int:
        """How many messages there are above `after` that `besides` (a key) did not send; counted up to `most`, and
        over SCAN entries. With `peer`, as in `Anchor`."""

    async def mark(self, reader: str, place: str, seq: int) -> int:
        """Keep it that `reader` (a key) has read `place` up to `seq`: a mark never goes back. Answers with the mark,
        once it is stored. Raises Temporary."""

    async def marks(self, reader: str, most: int) -> dict[str, int]:
        """The reader's marks, by place; the `most` that were set last."""

    @property
    def tally(self) -> Tally:
        """As of now, for who measures. MUST cost next to nothing, and not wait."""

    async def close(self) -> None:
        """Commit what is queued, hand its outcomes to the sink, let go of the store. Twice is no error."""


GROUP = 64 * 1024  # characters; written out they are at most 4 bytes each, a quarter of an outbox's limit
_OVERHEAD = 64  # characters that a short message's frame and name may add


def weigh(draft: Draft) -> int:
    """About how many characters it makes."""
    return sum(len(getattr(content, "text", "")) + _OVERHEAD for _, content in draft.parts)


def check(draft: Draft) -> None:
    """To be done on append: what is no draft, or cannot be written, fails whoever brings it, and nobody else."""
    weigh(draft)
    words = [draft.sender, draft.cid or ""]
    for stream, content in draft.parts:
        words += (stream, *(field for field in content if isinstance(field, str)))
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        raise Refusal("text_invalid", "this is no Unicode text: it holds half of a surrogate pair") from None


def groups(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    """The drafts in their order, in as few groups as GROUP allows; a large one stands alone."""
    if len(drafts) == 1:  # as it mostly is, where there is little to do
        yield drafts[:]
        return
    begin = size = 0
    for number, draft in enumerate(drafts):
        weight = weigh(draft)
        if size + weight > GROUP and number > begin:
            yield drafts[begin:number]
            begin, size = number, 0
        size += weight
    if begin < len(drafts):
        yield drafts[begin:]


def cid_reused() -> Refusal:
    return Refusal("cid_reused", "this cid was used for something else; choose a new one")


def busy() -> Temporary:
    return Temporary("store_busy", "the server is busy storing messages; nothing was sent", 1000)


def unavailable() -> Temporary:
    return Temporary("store_unavailable", "the message could not be stored; nobody was shown it", 2000)


def keep_rule(rules: MutableMapping[tuple[str, str], Entry], entry: Entry) -> None:
    """Keep this entry, if it is a rule, by its slot, and only those that count beside it, in the log's order.

    What was taken back is not kept, nor bans and mutes that had ended when the next of their kind was made: so
    `limits.room_rules` bounds what is kept, however much was decided."""
    for moot in taken_back(entry.content):
        rules.pop(moot, None)
    slot = slot_of(entry.stream, entry.content)
    if slot is None:
        return
    if isinstance(entry.content, Banned | Muted):
        for other, kept in list(rules.items()):
            if other[0] == slot[0] and (until := until_of(kept.content)) is not None and until <= entry.ts:
                del rules[other]
    rules.pop(slot, None)  # so that the last stands last
    rules[slot] = entry


def peer_of(stream: Stream, sender: str, content: Content) -> str | None:
    """With whom a private message was exchanged, by name, as the owner of this inbox sees it."""
    if not isinstance(content, Told):
        return None
    return name_of(content.to if stream == inbox_stream(sender) else sender)
