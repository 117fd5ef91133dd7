"""The engine that forgets: the contract, and what it forgets."""

from __future__ import annotations

import unittest
from typing import cast

from gochatsecure.chat.model import Draft, Posted, Stream, text_of
from gochatsecure.log.memory import MemoryLog
from gochatsecure.log.port import Committed, Log, Sink

from . import contract, contract_reading, model
from .contract import ALICE, BOB, OTHER, ROOM, Shown, append, entries, numbers, said, told


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


class Forgetting(unittest.IsolatedAsyncioTestCase):
    async def begin(self, kept: int) -> tuple[MemoryLog, Shown]:
        log, shown = MemoryLog(kept=kept, queue=1000), Shown()
        await log.open(shown)
        self.addAsyncCleanup(log.close)
        return log, shown

    async def texts(self, log: Log, stream: Stream = ROOM) -> list[tuple[int, str]]:
        return [(entry.seq, text_of(entry.content) or "") for entry in await log.read(stream, 0, 1000)]

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


class OurOwnFault(unittest.IsolatedAsyncioTestCase):
    async def test_what_is_no_draft_fails_whoever_brings_it(self) -> None:
        log, shown = MemoryLog(kept=10, queue=1), Shown()
        await log.open(shown)
        with self.assertRaises(TypeError):
            log.append(Draft("alice", 1, ((ROOM, Posted(cast(str, None))),)))
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])
        await log.close()
