"""What every log engine promises. The contract's tests run against each engine; nothing above knows which it is.

- `append` queues a draft and returns at once; its outcome comes to the sink, in the order of appending.
- A draft is committed whole or not at all, and is handed back only once it is stored.
- `seq` is given in the commit: 1, 2, 3, ... for each stream, without gaps.
- The same `(sender, cid)` is committed once, for as long as its entry is kept: again with the same content it comes
  back as the first entry with `dup`; with other content it is refused as `cid_reused`.
- What has arrived while one commit was under way goes into the next one together, up to GROUP: what one commit
  brings has to fit into the outboxes of those who are shown it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ..chat.errors import Refusal, Temporary
from ..chat.model import Draft, Entry, Stream


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


class Log(Protocol):
    async def open(self, sink: Sink) -> None:
        """Ready to append and read. Raises StoreError. Belongs to the running event loop until closed."""

    def append(self, draft: Draft) -> None:
        """Queue a draft. MUST be called on the event loop; never waits. Raises Temporary: full, or closing."""

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        """Committed entries with `seq` above `after`, oldest first, at most `limit`. Raises Temporary."""

    async def tail(self, stream: Stream, limit: int) -> list[Entry]:
        """The last `limit` committed entries, oldest first. Raises Temporary."""

    async def close(self) -> None:
        """Commit what is queued, hand its outcomes to the sink, let go of the store. Twice is no error."""


GROUP = 64 * 1024  # characters; written out they are at most 4 bytes each, a quarter of an outbox's limit
_OVERHEAD = 64  # characters that a short message's frame and name may add


def weigh(draft: Draft) -> int:
    """About how many characters it makes. To be done on append, too: what is no draft fails whoever brings it."""
    return sum(len(getattr(content, "text", "")) + _OVERHEAD for _, content in draft.parts)


def groups(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    """The drafts in their order, in as few groups as GROUP allows; a large one stands alone."""
    begin = size = 0
    for number, draft in enumerate(drafts):
        weight = weigh(draft)
        if size + weight > GROUP and number > begin:
            yield drafts[begin:number]
            begin, size = number, 0
        size += weight
    if begin < len(drafts):
        yield drafts[begin:]


CID_REUSED = Refusal("cid_reused", "this cid was used for something else; choose a new one")


def busy() -> Temporary:
    return Temporary("store_busy", "the server is busy storing messages; nothing was sent", 1000)


def unavailable() -> Temporary:
    return Temporary("store_unavailable", "the message could not be stored; nobody was shown it", 2000)
