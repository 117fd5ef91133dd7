"""What every log engine promises, as tests that each engine's own test file mixes in."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import (
    Content,
    Deleted,
    Draft,
    Edited,
    Entry,
    Posted,
    Reacted,
    Stream,
    Titled,
    Told,
    inbox_stream,
    room_stream,
    text_of,
)
from gochatsecure.log.port import GROUP, Committed, Failed, Log, Outcome, Sink
from tests.support import PATIENCE

if TYPE_CHECKING:
    Base = unittest.IsolatedAsyncioTestCase
else:
    Base = object

ROOM = room_stream("default")
OTHER = room_stream("other")
ALICE = inbox_stream("alice")
BOB = inbox_stream("bob")
TEXTS = (
    "",
    " ",
    "plain",
    "it's \"quoted\" \\ and 'twice' `so`; DROP TABLE entry --",
    "a\x00b\x00",
    "line\nbreak\r\ttab\x1b[31m\x7f\x85",
    "\u202e\u2028\u2029\ufeff\u200b\ufffe\uffff",
    "Grüße, Ελλάδα, Привет, שלום, مرحبا, नमस्ते, 你好, e\u0301",
    "🙂👩\u200d👩\u200d👧\u200d👦🏴\U000e0067\U0010ffff",
    '[1, {"a": null}]',
    "x" * 4096,
    "🙂" * 1024,
    "\x00" * 4096,
    '"\\' * 2048,
)


def said(
    text: str,
    *,
    by: str = "alice",
    stream: Stream = ROOM,
    cid: str | None = None,
    ts: int = 1_700_000_000_123,
    context: object = None,
) -> Draft:
    """A draft of one part."""
    return Draft(by, ts, ((stream, Posted(text)),), cid, context)


def told(text: str, *, cid: str | None = None) -> Draft:
    """A private message of alice to bob: a draft of two parts."""
    content = Told("bob", text)
    return Draft("alice", 1_700_000_000_456, ((ALICE, content), (BOB, content)), cid)


class Shown:
    """A sink that keeps what it is handed, and can be waited for."""

    def __init__(self) -> None:
        self.groups: list[list[Outcome]] = []
        self.outcomes: list[Outcome] = []
        self.then: Callable[[Outcome], None] | None = None  # called with each outcome, within the sink
        self._more = asyncio.Event()

    def __call__(self, outcomes: Sequence[Outcome]) -> None:
        self.groups.append(list(outcomes))
        self.outcomes.extend(outcomes)
        if self.then is not None:
            for outcome in outcomes:
                self.then(outcome)
        self._more.set()

    async def first(self, count: int) -> list[Outcome]:
        """The outcomes so far, once there are that many. Fails if there are more."""
        while len(self.outcomes) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), PATIENCE)
        assert len(self.outcomes) == count, self.outcomes
        return self.outcomes

    def drafts(self) -> list[Draft]:
        return [outcome.draft for outcome in self.outcomes]


async def append(log: Log, shown: Shown, *drafts: Draft) -> list[Outcome]:
    """Append all in one turn of the loop, and wait for their outcomes."""
    before = len(shown.outcomes)
    for draft in drafts:
        log.append(draft)
    return (await shown.first(before + len(drafts)))[before:]


def entries(outcome: Outcome) -> list[Entry]:
    """Of a draft that is stored, now or before."""
    assert isinstance(outcome, Committed), outcome
    return list(outcome.entries)


def bare(entry: Entry) -> Entry:
    """Without its place in the chain."""
    return entry._replace(head=b"", seal=b"")


def numbers(outcomes: Sequence[Outcome]) -> list[int]:
    """The `seq` that each draft of one part was given."""
    return [entry.seq for outcome in outcomes for entry in entries(outcome)]


class Contract(Base):
    """Mixed into a test case that says how to make the engine."""

    async def make(self, sink: Sink, *, queue: int = 1000) -> Log:
        """An empty log, open, that is closed when the test ends."""
        raise NotImplementedError

    async def begin(self, *, queue: int = 1000) -> tuple[Log, Shown]:
        shown = Shown()
        return await self.make(shown, queue=queue), shown

    def check_refused(self, outcome: Outcome, code: str) -> None:
        """For good: the same again will be refused again."""
        assert isinstance(outcome, Failed), outcome
        self.assertEqual(outcome.refusal.code, code)
        self.assertNotIsInstance(outcome.refusal, Temporary)

    # Order.

    async def test_append_returns_before_anything_is_shown(self) -> None:
        log, shown = await self.begin()
        log.append(said("hi"))
        self.assertEqual(shown.outcomes, [])
        await shown.first(1)

    async def test_outcomes_come_in_the_order_of_appending(self) -> None:
        """However the drafts fall into turns of the loop, and whatever their streams."""
        log, shown = await self.begin()
        drafts = [said(str(number), stream=(ROOM, OTHER, ALICE)[number % 3]) for number in range(300)]
        for number, draft in enumerate(drafts):
            log.append(draft)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await shown.first(300)
        self.assertEqual(shown.drafts(), drafts)
        self.assertFalse([outcome for outcome in shown.outcomes if not isinstance(outcome, Committed)])

    async def test_what_is_shown_is_stored_already(self) -> None:
        log, shown = await self.begin()
        reads: list[asyncio.Task[list[Entry]]] = []
        shown.then = lambda outcome: reads.append(asyncio.create_task(log.read(ROOM, 0, 100)))
        for number in range(5):
            outcome = (await append(log, shown, said(str(number))))[0]
            self.assertEqual((await reads[number])[number:], entries(outcome))

    async def test_an_entry_says_all_that_its_draft_said(self) -> None:
        log, shown = await self.begin()
        (outcome,) = await append(log, shown, said("hi", by="bob~x1", stream=OTHER, cid="c1", ts=42))
        self.assertEqual(
            [bare(entry) for entry in entries(outcome)], [Entry(OTHER, 1, 42, "bob~x1", "c1", Posted("hi"))]
        )
        self.assertEqual(await log.read(OTHER, 0, 10), entries(outcome))

    async def test_the_context_comes_back_untouched(self) -> None:
        log, shown = await self.begin()
        contexts = [object(), {"not": "hashable"}, None, object(), object()]
        drafts = [said("a", cid="1"), said("b"), said("c"), said("a", cid="1"), said("other", cid="1")]
        outcomes = await append(log, shown, *(d._replace(context=c) for d, c in zip(drafts, contexts, strict=True)))
        for outcome, context in zip(outcomes, contexts, strict=True):
            self.assertIs(outcome.draft.context, context)

    async def test_appending_from_within_the_sink(self) -> None:
        log, shown = await self.begin()

        def answer(outcome: Outcome) -> None:
            (content,) = (content for _, content in outcome.draft.parts)
            text = text_of(content) or ""
            if len(text) < 5:
                log.append(said(text + "a"))
                log.append(said(text + "b"))

        shown.then = answer
        log.append(said(""))
        outcomes = await shown.first(2**6 - 1)
        self.assertEqual(numbers(outcomes), list(range(1, 2**6)))
        texts = [text_of(draft.parts[0][1]) or "" for draft in shown.drafts()]
        self.assertEqual(texts, sorted(texts, key=lambda text: (len(text), text)))

    # Numbering.

    async def test_each_stream_counts_from_one_without_gaps(self) -> None:
        log, shown = await self.begin()
        streams = [ROOM, OTHER, ROOM, ROOM, ALICE, OTHER]
        first = await append(log, shown, *(said("x", stream=stream) for stream in streams))
        self.assertEqual(numbers(first), [1, 1, 2, 3, 1, 2])
        second = await append(log, shown, *(said("x", stream=stream) for stream in streams))
        self.assertEqual(numbers(second), [4, 3, 5, 6, 2, 4])

    async def test_a_draft_of_two_parts_takes_a_place_in_each_stream(self) -> None:
        log, shown = await self.begin()
        outcomes = await append(log, shown, said("x", stream=BOB), told("psst", cid="c"))
        one, two = entries(outcomes[1])
        self.assertEqual((one.stream, one.seq, one.cid), (ALICE, 1, "c"))
        self.assertEqual((two.stream, two.seq, two.cid), (BOB, 2, None))
        self.assertEqual(await log.read(ALICE, 0, 10), [one])
        self.assertEqual(await log.read(BOB, 1, 10), [two])

    async def test_a_draft_of_two_parts_in_one_stream(self) -> None:
        log, shown = await self.begin()
        draft = Draft("alice", 1, ((ROOM, Posted("one")), (ROOM, Posted("two"))), "c")
        (outcome,) = await append(log, shown, draft)
        made = [(entry.seq, entry.cid, entry.content) for entry in entries(outcome)]
        self.assertEqual(made, [(1, "c", Posted("one")), (2, None, Posted("two"))])
        self.assertEqual(await log.read(ROOM, 0, 10), entries(outcome))

    async def test_a_refused_draft_of_two_parts_leaves_nothing_in_either_stream(self) -> None:
        log, shown = await self.begin()
        outcomes = await append(log, shown, said("x", cid="c"), told("psst", cid="c"), told("again"))
        self.check_refused(outcomes[1], "cid_reused")
        self.assertEqual(await log.read(ALICE, 0, 10), entries(outcomes[2])[:1])
        self.assertEqual(await log.read(BOB, 0, 10), entries(outcomes[2])[1:])
        self.assertEqual(numbers(outcomes[2:]), [1, 1])

    # Once only.

    async def check_once(self, log: Log, outcome: Outcome, first: Outcome, stream: Stream) -> None:
        assert isinstance(outcome, Committed)
        self.assertTrue(outcome.dup)
        self.assertEqual(entries(outcome), entries(first)[:1])
        self.assertEqual(await log.read(stream, 0, 10), entries(first)[:1])

    async def test_the_same_cid_in_the_same_turn_is_one_entry(self) -> None:
        log, shown = await self.begin()
        first, again = await append(log, shown, said("hi", cid="c", ts=1), said("hi", cid="c", ts=2))
        assert isinstance(first, Committed)
        self.assertFalse(first.dup)
        await self.check_once(log, again, first, ROOM)

    async def test_the_same_cid_later_is_one_entry(self) -> None:
        log, shown = await self.begin()
        (first,) = await append(log, shown, said("hi", cid="c", ts=1))
        for ts in (1, 2):
            (again,) = await append(log, shown, said("hi", cid="c", ts=ts))
            await self.check_once(log, again, first, ROOM)

    async def test_the_same_cid_of_a_private_message_is_one_entry_in_each_inbox(self) -> None:
        log, shown = await self.begin()
        first, again = await append(log, shown, told("psst", cid="c"), told("psst", cid="c"))
        await self.check_once(log, again, first, ALICE)
        self.assertEqual(await log.read(BOB, 0, 10), entries(first)[1:])

    async def test_a_cid_with_another_content_is_refused(self) -> None:
        log, shown = await self.begin()
        outcomes = await append(log, shown, said("hi", cid="c"), said("ho", cid="c"), said("next"))
        self.check_refused(outcomes[1], "cid_reused")
        self.assertEqual(numbers([outcomes[0], outcomes[2]]), [1, 2])
        (later,) = await append(log, shown, said("ho", cid="c"))
        self.check_refused(later, "cid_reused")
        action = said("hi", cid="c")._replace(parts=((ROOM, Posted("hi", True)),))
        self.check_refused((await append(log, shown, action))[0], "cid_reused")
        self.assertEqual(numbers(await append(log, shown, said("last"))), [3])
        self.assertEqual([text_of(entry.content) for entry in await log.read(ROOM, 0, 10)], ["hi", "next", "last"])

    async def test_a_cid_in_another_stream_is_refused(self) -> None:
        log, shown = await self.begin()
        outcomes = await append(log, shown, said("hi", cid="c"), said("hi", stream=OTHER, cid="c"))
        self.check_refused(outcomes[1], "cid_reused")
        self.assertEqual(await log.read(OTHER, 0, 10), [])
        self.assertEqual(numbers(await append(log, shown, said("first", stream=OTHER))), [1])

    async def test_a_cid_of_another_sender_is_another_cid(self) -> None:
        log, shown = await self.begin()
        drafts = [said("hi", by=sender, cid="c") for sender in ("alice", "bob", "alice~1", "Alice", "")]
        outcomes = await append(log, shown, *drafts)
        self.assertEqual(numbers(outcomes), [1, 2, 3, 4, 5])
        self.assertFalse([outcome for outcome in outcomes if isinstance(outcome, Committed) and outcome.dup])

    async def test_cids_are_compared_exactly(self) -> None:
        log, shown = await self.begin()
        cids = ["", "c", "C", " c", "c\x00", "1", "01", "1.0", "é", "e\u0301", "'", "NULL"]
        self.assertEqual(len(numbers(await append(log, shown, *(said("x", cid=cid) for cid in cids)))), len(cids))
        for number, cid in enumerate(cids):
            (again,) = await append(log, shown, said("x", cid=cid))
            self.assertEqual((entries(again)[0].seq, entries(again)[0].cid), (number + 1, cid))

    async def test_without_a_cid_the_same_words_are_two_entries(self) -> None:
        log, shown = await self.begin()
        self.assertEqual(numbers(await append(log, shown, said("hi"), said("hi"), said("hi"))), [1, 2, 3])

    # Reading.

    async def test_the_boundaries_of_read_and_tail(self) -> None:
        log, shown = await self.begin()
        kept = [entries(outcome)[0] for outcome in await append(log, shown, *(said(text) for text in "abcde"))]
        await append(log, shown, said("elsewhere", stream=OTHER))
        for after in range(8):
            for limit in range(8):
                with self.subTest(after=after, limit=limit):
                    self.assertEqual(await log.read(ROOM, after, limit), kept[after : after + limit])
        for limit in range(8):
            with self.subTest(limit=limit):
                self.assertEqual(list((await log.look(ROOM, limit)).tail), kept[max(0, 5 - limit) :])
        self.assertEqual(await log.read(ROOM, 2**53, 10), [])

    async def test_a_stream_that_nobody_wrote_to_is_empty(self) -> None:
        log, shown = await self.begin()
        await append(log, shown, said("hi"))
        for stream in (OTHER, Stream(""), Stream("room/"), Stream("room/%"), Stream("ROOM/default")):
            self.assertEqual((await log.read(stream, 0, 10), list((await log.look(stream, 10)).tail)), ([], []))

    async def test_reading_asks_for_many_at_once(self) -> None:
        log, shown = await self.begin()
        await append(log, shown, *(said(str(number)) for number in range(100)))
        pages = await asyncio.gather(*(log.read(ROOM, after, 1) for after in range(100)))
        self.assertEqual([page[0].seq for page in pages], list(range(1, 101)))

    async def test_every_kind_of_content_comes_back_as_it_was(self) -> None:
        log, shown = await self.begin()
        contents: list[Content] = []
        for text in TEXTS:
            contents += [Posted(text), Posted(text, True, 7), Told("bob", text), Told(text, "x"), Titled(text)]
            contents += [Edited(1000, text), Reacted(1000, text, False), Reacted(1000, text), Deleted(2000)]
        drafts = [
            Draft(TEXTS[n % len(TEXTS)], 1, ((ROOM, content),), f"{TEXTS[n % len(TEXTS)]}{n}")
            for n, content in enumerate(contents)
        ]
        outcomes = await append(log, shown, *drafts)
        kept = await log.read(ROOM, 0, 1000)
        self.assertEqual([entry.content for entry in kept], contents)
        self.assertEqual([type(entry.content) for entry in kept], [type(content) for content in contents])
        self.assertEqual(kept, [entries(outcome)[0] for outcome in outcomes])
        for entry in kept:
            if isinstance(entry.content, Posted):
                self.assertIs(type(entry.content.action), bool)

    async def test_streams_have_any_name(self) -> None:
        log, shown = await self.begin()
        streams = [Stream(text) for text in TEXTS]
        outcomes = await append(log, shown, *(said("x", stream=stream) for stream in streams))
        self.assertEqual(numbers(outcomes), [1] * len(streams))
        for stream, outcome in zip(streams, outcomes, strict=True):
            self.assertEqual(await log.read(stream, 0, 10), entries(outcome))

    # The queue.

    async def test_a_full_queue_refuses_and_loses_nothing_that_it_took(self) -> None:
        log, shown = await self.begin(queue=3)
        taken = [said(text) for text in "abc"]
        for draft in taken:
            log.append(draft)
        for _ in range(2):
            with self.assertRaises(Temporary) as caught:
                log.append(said("too much"))
            self.assertEqual(caught.exception.code, "store_busy")
            self.assertGreater(caught.exception.retry_after_ms, 0)
        await shown.first(3)
        self.assertEqual(shown.drafts(), taken)
        self.assertEqual(numbers(await append(log, shown, *taken)), [4, 5, 6])
        self.assertEqual([text_of(entry.content) for entry in await log.read(ROOM, 0, 10)], [*"abcabc"])

    async def test_what_is_shown_at_once_is_bounded(self) -> None:
        """It has to fit into the outboxes of those who follow; what is left comes next, in its order."""
        log, shown = await self.begin()
        drafts = [said(f"{number:04}" * 512) for number in range(100)] + [said("x" * (2 * GROUP)), said("end")]
        self.assertEqual(numbers(await append(log, shown, *drafts)), list(range(1, 103)))
        self.assertEqual(shown.drafts(), drafts)
        for group in shown.groups:
            size = sum(len(text_of(content) or "") for outcome in group for _, content in outcome.draft.parts)
            self.assertTrue(size <= GROUP or len(group) == 1, size)
        self.assertLess(len(shown.groups), 10)

    async def test_close_shows_more_than_fits_at_once(self) -> None:
        log, shown = await self.begin()
        for _ in range(100):
            log.append(said("x" * 4096))
        await log.close()
        self.assertEqual(numbers(shown.outcomes), list(range(1, 101)))

    async def test_the_queue_has_room_again_within_the_sink(self) -> None:
        log, shown = await self.begin(queue=1)
        shown.then = lambda outcome: log.append(said("next")) if len(shown.outcomes) < 5 else None
        log.append(said("first"))
        self.assertEqual(numbers(await shown.first(5)), [1, 2, 3, 4, 5])

    # The end.

    async def test_it_is_told_how_much_waits_and_how_much_is_stored(self) -> None:
        log, shown = await self.begin()
        self.assertEqual(log.tally[:4], (0, 0, 0, 0))
        log.append(said("one", cid="c"))
        log.append(told("two"))
        self.assertEqual(log.tally[:4], (2, 0, 0, 0))
        await shown.first(2)
        self.assertEqual(log.tally[:4], (0, 1, 3, 0))
        self.check_refused((await append(log, shown, said("other", cid="c")))[0], "cid_reused")
        await append(log, shown, said("one", cid="c"))
        waiting, commits, entries, failed, seconds = log.tally
        self.assertEqual((waiting, commits, entries, failed), (0, 3, 3, 0))
        self.assertGreaterEqual(seconds, 0)

    async def test_close_stores_and_shows_what_is_queued(self) -> None:
        log, shown = await self.begin()
        await append(log, shown, said("before"))
        for number in range(50):
            log.append(said(str(number)))
        await log.close()
        self.assertEqual(numbers(shown.outcomes), list(range(1, 52)))

    async def test_closing_twice_is_no_error(self) -> None:
        log, shown = await self.begin()
        log.append(said("hi"))
        await log.close()
        await log.close()
        self.assertEqual(numbers(shown.outcomes), [1])

    async def test_closing_twice_at_once_is_no_error(self) -> None:
        log, shown = await self.begin()
        log.append(said("hi"))
        await asyncio.wait_for(asyncio.gather(log.close(), log.close()), PATIENCE)
        self.assertEqual(numbers(shown.outcomes), [1])
