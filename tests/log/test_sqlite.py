"""The engine in a file: the contract, what outlives a restart, and how the file is asked."""

from __future__ import annotations

import asyncio
import sqlite3
import unittest
from contextlib import closing
from unittest import mock

from gochatsecure.chat.model import Banned, Deleted, Edited, Reacted, Stream, text_of
from gochatsecure.log.port import Anchor, Committed, Log, Outcome, Sink
from gochatsecure.log.sqlite import SQLiteLog
from gochatsecure.log.verify import verify
from tests.support import PATIENCE, temporary_folder

from . import contract, contract_reading, model
from .contract import ALICE, BOB, OTHER, ROOM, append, entries, numbers, said, told
from .contract_reading import drafted
from .faults import DISK_FULL, faults
from .store import StoreTestCase, look


class SQLiteKeepsTheContract(contract.Contract, contract_reading.ReadingContract, StoreTestCase):
    async def make(self, sink: Sink, *, queue: int = 1000) -> Log:
        return await self.open(sink, durable=True, queue=queue)


class SQLiteFollowsTheModel(model.ModelContract, unittest.TestCase):
    examples = 50

    async def make(self, sink: Sink) -> Log:
        self._path = temporary_folder() / "chat.db"
        return await self.reopen(None, sink)

    async def reopen(self, log: Log | None, sink: Sink) -> Log:
        if log is not None:
            await log.close()
        log = SQLiteLog(self._path, durable=False, queue=1000)
        await log.open(sink)
        return log


class Restart(StoreTestCase):
    """What was stored is there when the file is opened again."""

    async def test_entries_and_their_numbers_go_on(self) -> None:
        log, shown = await self.start()
        first = await append(log, shown, said("a", cid="c"), told("psst"), said("b", stream=OTHER), said("c"))
        await log.close()
        log, shown = await self.start()
        self.assertEqual(await log.read(ROOM, 0, 10), entries(first[0]) + entries(first[3]))
        self.assertEqual(await log.read(ALICE, 0, 10), entries(first[1])[:1])
        self.assertEqual(list((await log.look(BOB, 10)).tail), entries(first[1])[1:])
        drafts = [said("d"), said("e", stream=OTHER), said("f", stream=Stream("room/new"))]
        self.assertEqual(numbers(await append(log, shown, *drafts)), [3, 2, 1])

    async def test_a_cid_is_remembered(self) -> None:
        log, shown = await self.start()
        first = await append(log, shown, said("hi", cid="c", ts=1), told("psst", cid="p"))
        await log.close()
        log, shown = await self.start()
        again = await append(log, shown, said("hi", cid="c", ts=2), told("psst", cid="p"), said("ho", cid="p"))
        for one, outcome in zip(first, again, strict=False):
            self.assertTrue(isinstance(outcome, Committed) and outcome.dup)
            self.assertEqual(entries(outcome), entries(one)[:1])
        self.assertNotIsInstance(again[2], Committed)
        self.assertEqual(numbers(await append(log, shown, said("next"))), [2])

    async def test_a_file_keeps_its_epoch_and_another_has_another(self) -> None:
        log, shown = await self.start()
        before = (await log.look(ROOM, 0)).position
        await append(log, shown, said("a"))
        await log.close()
        log, shown = await self.start()
        after = (await log.look(ROOM, 0)).position
        self.assertEqual((after.epoch, after.last), (before.epoch, 1))
        self.path = self.path.with_name("other.db")
        other, _ = await self.start()
        self.assertNotEqual((await other.look(ROOM, 0)).position.epoch, before.epoch)

    async def test_what_the_sink_is_shown_is_in_the_file_already(self) -> None:
        log, shown = await self.start()
        found: list[tuple[int, int]] = []

        def compare(outcome: Outcome) -> None:
            (entry,) = entries(outcome)
            query = "SELECT count(*) FROM entry JOIN stream ON stream = id WHERE name = ? AND seq = ?"
            found.extend(look(self.path, query, (entry.stream, entry.seq)))

        shown.then = compare
        for turn in range(5):
            await append(log, shown, *(said(f"{turn}", stream=stream) for stream in (ROOM, OTHER)))
        self.assertEqual(found, [(1,)] * 10)


class ManyStreams(StoreTestCase):
    async def test_more_streams_than_the_writer_keeps_in_mind(self) -> None:
        """It looks up again where those end that it has forgotten."""
        with faults() as store, mock.patch("gochatsecure.log.writer._STREAMS_KNOWN", 3):
            log, shown = await self.start()
            streams = [Stream(f"room/{number}") for number in range(10)]
            for turn in range(1, 5):
                for half in (streams[:5], streams[5:]):
                    outcomes = await append(log, shown, *(said("x", stream=stream) for stream in half))
                    self.assertEqual(numbers(outcomes), [turn] * 5)
        self.assertEqual(store.count("SELECT id, floor, base"), 40)


class Settings(StoreTestCase):
    """How the connections are set up: the writer's, and the reader's."""

    async def pragmas(self, name: str, *, durable: bool = True) -> list[object]:
        with faults() as store:
            await self.start(durable=durable)
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for connection in store.opened]

    async def test_a_commit_waits_for_the_disk_where_it_shall_survive_a_power_cut(self) -> None:
        self.assertEqual((await self.pragmas("synchronous", durable=True))[0], 2)

    async def test_a_commit_does_not_wait_where_it_shall_survive_the_process_only(self) -> None:
        self.assertEqual((await self.pragmas("synchronous", durable=False))[0], 1)

    async def test_readers_and_the_writer_do_not_wait_for_one_another(self) -> None:
        self.assertEqual(await self.pragmas("journal_mode"), ["wal", "wal"])

    async def test_what_a_file_brings_along_is_not_trusted(self) -> None:
        self.assertEqual(await self.pragmas("trusted_schema"), [0, 0])

    async def test_an_entry_has_a_stream(self) -> None:
        self.assertEqual(await self.pragmas("foreign_keys"), [1, 1])


class Plans(StoreTestCase):
    """No statement's work grows with the length of the log."""

    async def plans(self) -> dict[str, str]:
        """SQLite's plan for each statement that every use of the log brings."""
        with faults() as store:
            log, shown = await self.start()
            await append(log, shown, said("a", cid="c"), said("a", cid="c"), said("b"), told("x"))
            await append(log, shown, drafted(Deleted(1)), drafted(Banned("bob", None, "")))
            await log.find("alice", "c")
            await log.read(ROOM, 0, 10)
            await log.look(ROOM, 10)
            for peer in (None, "bob"):
                for anchor in (Anchor(peer=peer), Anchor(after=1, peer=peer)):
                    await log.page(ROOM if peer is None else ALICE, anchor, 5)
                await log.count(ROOM, 0, "bob", 10, peer)
            await log.mark("alice", "here", 0)
            await log.marks("alice", 10)
            self.assertEqual(verify(self.path).faults, [])
        asked = {statement for statement in store.seen if "SELECT" in statement and "?" in statement}
        plans = {}
        for statement in asked:
            steps = look(self.path, f"EXPLAIN QUERY PLAN {statement}", [1] * statement.count("?"))
            plans[statement] = "; ".join(step[3] for step in steps)
        return plans

    async def test_no_statement_scans_or_sorts(self) -> None:
        plans = await self.plans()
        self.assertGreater(len(plans), 12)
        for statement, plan in plans.items():
            with self.subTest(statement):
                self.assertNotIn("SCAN", plan.replace("SCAN CONSTANT ROW", "").replace("SCAN (subquery-1)", ""))
                self.assertNotIn("TEMP B-TREE", plan)

    async def test_what_became_of_a_message_is_found_by_its_index(self) -> None:
        plans = [plan for statement, plan in (await self.plans()).items() if "AND target = ? AND kind = ?" in statement]
        self.assertEqual(len(plans), 1)
        self.assertIn("INDEX entry_about (stream=? AND target=? AND kind=?)", plans[0])

    async def test_a_conversation_is_found_by_its_index(self) -> None:
        plans = [plan for statement, plan in (await self.plans()).items() if "peer = ?" in statement]
        for plan in plans:
            self.assertIn("INDEX entry_peer (stream=? AND peer=?", plan)
        self.assertEqual(len(plans), 3)

    async def test_a_cid_is_found_by_its_index(self) -> None:
        plans = [plan for statement, plan in (await self.plans()).items() if "cid = ?" in statement]
        self.assertEqual(len(plans), 1)
        self.assertIn("SEARCH entry USING INDEX entry_once (sender=? AND cid=?)", plans[0])


class Erasing(StoreTestCase):
    async def test_no_byte_of_an_erased_text_stays_in_the_file(self) -> None:
        secrets = [f"a secret {number} " * 360 for number in range(4)]  # so long that they have pages of their own
        log, shown = await self.start()
        await append(log, shown, *(said(secret) for secret in secrets[:3]), drafted(Edited(2, secrets[3])))
        await append(log, shown, said("kept"), drafted(Deleted(2)))
        await log.close()
        found = [secret[:99].encode() in self.path.read_bytes() for secret in secrets]
        self.assertEqual(found, [True, False, True, False])

    async def test_a_deletion_whose_commit_fails_erases_nothing(self) -> None:
        with faults() as store:
            log, shown = await self.start()
            await append(log, shown, said("a"))
            store.fail("COMMIT", DISK_FULL)
            with self.assertLogs("gochatsecure.log", "ERROR"):
                await append(log, shown, drafted(Deleted(1)))
            store.mend()
            self.assertEqual([text_of(entry.content) for entry in await log.read(ROOM, 0, 9)], ["a"])


class Reading(StoreTestCase):
    async def test_a_page_is_as_of_one_moment(self) -> None:
        """What is committed while it is put together is in none of its parts."""
        with faults() as store:
            log, shown = await self.start()
            await append(log, shown, said("a"))
            before = (await log.look(ROOM, 0)).position
            with store.hold("SELECT seq, ts") as held:
                asked = asyncio.create_task(log.page(ROOM, Anchor(), 9))
                await asyncio.to_thread(held.wait, PATIENCE)
                await append(log, shown, said("b"), drafted(Edited(1, "c")), drafted(Reacted(1, "x")))
            page = await asked
            self.assertEqual((page.position, [entry.seq for entry in page.messages], page.about), (before, [1], []))
            self.assertEqual([entry.seq for entry in (await log.page(ROOM, Anchor(), 9)).about], [3, 4])

    async def test_a_reader_works_while_a_commit_is_under_way(self) -> None:
        with faults() as store:
            log, shown = await self.start()
            before = await append(log, shown, *(said(str(number)) for number in range(3)))
            kept = [entries(outcome)[0] for outcome in before]
            with store.hold("COMMIT") as held:
                log.append(said("not yet"))
                await asyncio.to_thread(held.wait, PATIENCE)
                self.assertEqual(await log.read(ROOM, 0, 10), kept)
                self.assertEqual(list((await log.look(ROOM, 2)).tail), kept[1:])
                self.assertEqual(len(shown.outcomes), 3)
            await shown.first(4)
            self.assertEqual(len(await log.read(ROOM, 0, 10)), 4)

    async def test_a_reader_works_while_another_program_writes(self) -> None:
        log, shown = await self.start()
        (outcome,) = await append(log, shown, said("hi"))
        with closing(sqlite3.connect(self.path, isolation_level=None)) as intruder:
            intruder.execute("BEGIN IMMEDIATE")
            self.assertEqual(await log.read(ROOM, 0, 10), entries(outcome))
            log.append(said("when it has ended"))
            intruder.execute("ROLLBACK")
            self.assertEqual(numbers(await shown.first(2)), [1, 2])
