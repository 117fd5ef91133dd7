"""The engine that forgets: the contract, and what it forgets."""

from __future__ import annotations

import unittest
from itertools import pairwise
from typing import cast
from unittest import mock

from gochatsecure.chat.chain import follows, genesis
from gochatsecure.chat.model import Deleted, Draft, Posted, Stream, text_of
from gochatsecure.log.memory import MemoryLog
from gochatsecure.log.port import Anchor, Committed, Log, Sink

from . import contract, contract_reading, model
from .contract import ALICE, BOB, OTHER, ROOM, Shown, append, entries, numbers, said, told
from .contract_reading import drafted


class MemoryKeepsTheContract(contract.Contract, contract_reading.ReadingContract, unittest.IsolatedAsyncioTestCase):
    async def make(self, sink: Sink, *, queue: int = 1000) -> Log:
        log = MemoryLog(kept=10_000, queue=queue)
        await log.open(sink)
        self.addAsyncCleanup(log.close)
        return log


class MemoryFollowsTheModel(model.ModelContract, unittest.TestCase):
    async def make(self, sink: Sink) -> Log:
        log = MemoryLog(kept=10_000, queue=1000)
        await log.open(sink)
        return log


class MemoryTestCase(unittest.IsolatedAsyncioTestCase):
    async def begin(self, kept: int) -> tuple[MemoryLog, Shown]:
        log, shown = MemoryLog(kept=kept, queue=1000), Shown()
        await log.open(shown)
        self.addAsyncCleanup(log.close)
        return log, shown

    async def texts(self, log: Log, stream: Stream = ROOM) -> list[tuple[int, str]]:
        return [(entry.seq, text_of(entry.content) or "") for entry in await log.read(stream, 0, 1000)]


class Forgetting(MemoryTestCase):
    async def test_the_oldest_go_first_whatever_their_stream(self) -> None:
        log, shown = await self.begin(3)
        await append(log, shown, said("a"), said("b", stream=OTHER), said("c"), said("d"), said("e", stream=OTHER))
        self.assertEqual(await self.texts(log), [(2, "c"), (3, "d")])
        self.assertEqual(await self.texts(log, OTHER), [(2, "e")])

    async def test_the_bound_holds_for_all_streams_together(self) -> None:
        log, shown = await self.begin(10)
        streams = [Stream(f"room/{number}") for number in range(25)]
        for turn in range(4):
            await append(log, shown, *(said(str(turn), stream=stream) for stream in streams))
            kept = [entry for stream in streams for entry in await log.read(stream, 0, 1000)]
            self.assertEqual([(entry.stream, entry.seq) for entry in kept], [(s, turn + 1) for s in streams[-10:]])
            self.assertEqual(sum(bool(kept.entries) for kept in log._streams.values()), 10)

    async def test_seq_goes_on_in_a_stream_whose_entries_are_all_forgotten(self) -> None:
        log, shown = await self.begin(2)
        await append(log, shown, *(said("old") for _ in range(5)))
        await append(log, shown, said("a", stream=OTHER), said("b", stream=OTHER))
        self.assertEqual((await self.texts(log), list((await log.look(ROOM, 5)).tail)), ([], []))
        self.assertEqual(numbers(await append(log, shown, said("new"))), [6])
        self.assertEqual(await self.texts(log), [(6, "new")])

    async def test_reading_begins_at_the_oldest_that_is_kept(self) -> None:
        log, shown = await self.begin(4)
        kept = [entries(outcome)[0] for outcome in await append(log, shown, *(said(str(n)) for n in range(10)))][6:]
        for after in range(12):
            for limit in range(6):
                with self.subTest(after=after, limit=limit):
                    start = max(0, after - 6)
                    self.assertEqual(await log.read(ROOM, after, limit), kept[start : start + limit])
        self.assertEqual(list((await log.look(ROOM, 10)).tail), kept)

    async def test_a_cid_is_forgotten_with_its_entry_and_not_before(self) -> None:
        log, shown = await self.begin(2)
        await append(log, shown, said("hi", cid="c"), said("x"))
        (again,) = await append(log, shown, said("hi", cid="c"))
        self.assertEqual((numbers([again]), isinstance(again, Committed) and again.dup), ([1], True))
        await append(log, shown, said("y"))
        (anew,) = await append(log, shown, said("something else", cid="c"))
        self.assertEqual((numbers([anew]), isinstance(anew, Committed) and anew.dup), ([4], False))
        (again,) = await append(log, shown, said("something else", cid="c"))
        self.assertEqual((numbers([again]), isinstance(again, Committed) and again.dup), ([4], True))

    async def test_a_draft_larger_than_the_bound_is_committed_all_the_same(self) -> None:
        log, shown = await self.begin(1)
        (outcome,) = await append(log, shown, told("psst", cid="c"))
        self.assertEqual([(entry.stream, entry.seq) for entry in entries(outcome)], [(ALICE, 1), (BOB, 1)])
        self.assertEqual((await log.read(ALICE, 0, 9), await log.read(BOB, 0, 9)), ([], entries(outcome)[1:]))
        (anew,) = await append(log, shown, told("psst", cid="c"))
        self.assertEqual(numbers([anew]), [2, 2])

    async def test_keeping_nothing_still_counts(self) -> None:
        log, shown = await self.begin(0)
        self.assertEqual(
            numbers(await append(log, shown, said("a", cid="c"), said("b", cid="c"), said("c"))), [1, 2, 3]
        )
        self.assertEqual(await self.texts(log), [])


class Positions(MemoryTestCase):
    async def test_the_chain_goes_on_over_what_is_forgotten(self) -> None:
        log, shown = await self.begin(2)
        made = [entries(outcome)[0] for outcome in await append(log, shown, *(said(text) for text in "abcde"))]
        position = (await log.look(ROOM, 0)).position
        self.assertEqual((position.floor, position.last, position.head), (4, 5, made[4].head))
        self.assertTrue(all(follows(entry, before.head) for before, entry in pairwise(made)))
        await append(log, shown, said("x", stream=OTHER), said("y", stream=OTHER))
        self.assertEqual((await log.look(ROOM, 0)).position, position._replace(floor=6))
        (after,) = await append(log, shown, said("f"))
        self.assertTrue(follows(entries(after)[0], made[4].head))

    async def test_a_stream_that_is_forgotten_wholly_begins_anew_in_another_epoch(self) -> None:
        log, shown = await self.begin(0)
        await append(log, shown, said("a"))
        before = (await log.look(ROOM, 0)).position
        for number in range(2000):
            await log.look(Stream(f"room/{number}"), 0)
        after = (await log.look(ROOM, 0)).position
        self.assertEqual((before.last, after.floor, after.last, after.head), (1, 1, 0, genesis(ROOM, after.epoch)))
        self.assertNotEqual(after.epoch, before.epoch)
        self.assertLess(len(log._streams), 2000)

    async def test_a_stream_that_was_looked_at_lately_keeps_its_epoch(self) -> None:
        log, _ = await self.begin(0)
        epoch = (await log.look(ROOM, 0)).position.epoch
        for number in range(3000):
            await log.look(Stream(f"room/{number}"), 0)
            self.assertEqual((await log.look(ROOM, 0)).position.epoch, epoch)

    async def test_every_stream_has_an_epoch_of_its_own(self) -> None:
        log, _ = await self.begin(9)
        self.assertNotEqual((await log.look(ROOM, 0)).position.epoch, (await log.look(OTHER, 0)).position.epoch)

    async def test_a_page_ends_at_the_oldest_that_is_kept(self) -> None:
        log, shown = await self.begin(4)
        await append(log, shown, *(said(str(number)) for number in range(10)))
        for anchor, seqs, first, last, more in (
            (Anchor(), [7, 8, 9, 10], 7, 10, False),
            (Anchor(before=9), [7, 8], 7, 8, False),
            (Anchor(before=5), [], 7, 4, False),
            (Anchor(after=0), [7, 8, 9, 10], 7, 10, False),
            (Anchor(around=2), [7, 8], 7, 8, True),
        ):
            with self.subTest(anchor):
                page = await log.page(ROOM, anchor, 4)
                found = [entry.seq for entry in page.messages], page.first, page.last, page.more
                self.assertEqual(found, (seqs, first, last, more))

    async def test_a_deletion_of_what_is_forgotten_erases_nothing_else(self) -> None:
        log, shown = await self.begin(3)
        await append(log, shown, *(said(text) for text in "abcd"), drafted(Deleted(1)))
        self.assertEqual(await self.texts(log), [(3, "c"), (4, "d"), (5, "")])


class Marks(MemoryTestCase):
    async def test_the_readers_who_marked_least_recently_are_forgotten(self) -> None:
        log, _ = await self.begin(2)
        for reader in ("alice", "bob", "alice", "carol"):
            await log.mark(reader, "a", 1)
        found = [await log.marks(reader, 9) for reader in ("alice", "bob", "carol")]
        self.assertEqual(found, [{"a": 1}, {}, {"a": 1}])

    async def test_one_reader_has_so_many_marks(self) -> None:
        log, _ = await self.begin(2)
        with mock.patch("gochatsecure.log.memory._PLACES", 3):
            for place in ("a", "b", "c", "a", "d"):
                await log.mark("alice", place, 1)
        self.assertEqual(list(await log.marks("alice", 9)), ["d", "a", "c"])


class OurOwnFault(unittest.IsolatedAsyncioTestCase):
    async def test_what_is_no_draft_fails_whoever_brings_it(self) -> None:
        log, shown = MemoryLog(kept=10, queue=1), Shown()
        await log.open(shown)
        with self.assertRaises(TypeError):
            log.append(Draft("alice", 1, ((ROOM, Posted(cast(str, None))),)))
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])
        await log.close()
