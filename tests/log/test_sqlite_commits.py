"""The committer: what goes into one transaction, and what happens when SQLite, the disk or we ourselves fail."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing, suppress
from typing import NamedTuple, cast
from unittest import mock

from gochatsecure.chat.errors import Temporary
from gochatsecure.chat.model import Content, Draft, Posted, text_of
from gochatsecure.log.port import Committed, Failed, Outcome
from gochatsecure.log.sqlite import SQLiteLog
from tests.support import PATIENCE

from .contract import ALICE, BOB, OTHER, ROOM, Shown, append, entries, numbers, said, told
from .faults import DISK_BROKEN, DISK_FULL, LOCKED, Faults, faults
from .store import StoreTestCase, look


class Sung(NamedTuple):
    """A content of a version to come."""

    text: str


class CommitTestCase(StoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store: Faults = self.enterContext(faults())

    def check_unavailable(self, outcomes: list[Outcome]) -> None:
        """None of these is stored, and each may be tried again."""
        for outcome in outcomes:
            assert isinstance(outcome, Failed), outcome
            assert isinstance(outcome.refusal, Temporary)
            self.assertEqual(outcome.refusal.code, "store_unavailable")
            self.assertGreater(outcome.refusal.retry_after_ms, 0)

    async def failing(self, log: SQLiteLog, shown: Shown, *drafts: Draft) -> logging.LogRecord:
        """Append drafts that come back as failed. Gives the one line that the operator is told."""
        with self.assertLogs("gochatsecure.log", "ERROR") as logged:
            self.check_unavailable(await append(log, shown, *drafts))
        self.assertEqual(len(logged.records), 1)
        return logged.records[0]


class Grouping(CommitTestCase):
    async def test_drafts_of_one_turn_are_one_transaction(self) -> None:
        log, shown = await self.start()
        await append(log, shown, *(said(str(number), cid=str(number)) for number in range(100)))
        self.assertEqual((self.store.count("COMMIT"), len(shown.groups)), (1, 1))

    async def test_what_comes_during_a_commit_goes_into_the_next_one_together(self) -> None:
        log, shown = await self.start(durable=True)
        with self.store.hold("COMMIT") as held:
            log.append(said("first"))
            await asyncio.to_thread(held.wait, PATIENCE)
            for turn in range(50):
                for number in range(10):
                    log.append(said(f"{turn}.{number}"))
                await asyncio.sleep(0)
            self.assertEqual(shown.outcomes, [])
        self.assertEqual(numbers(await shown.first(501)), list(range(1, 502)))
        self.assertEqual([len(group) for group in shown.groups], [1, 500])
        self.assertEqual(self.store.count("COMMIT"), 2)

    async def test_a_cid_of_the_commit_under_way_is_known_to_the_next(self) -> None:
        log, shown = await self.start()
        with self.store.hold("COMMIT") as held:
            log.append(said("hi", cid="c"))
            await asyncio.to_thread(held.wait, PATIENCE)
            log.append(said("new", cid="d"))
            await asyncio.sleep(0)
            log.append(said("hi", cid="c"))
            log.append(said("ho", cid="c"))
        first, new, again, other = await shown.first(4)
        self.assertEqual((numbers([first, new]), entries(again)), ([1, 2], entries(first)))
        self.assertEqual(other.refusal.code if isinstance(other, Failed) else "", "cid_reused")
        self.assertEqual(len(await log.read(ROOM, 0, 10)), 2)

    async def test_the_commit_under_way_counts_against_the_queue(self) -> None:
        shown = Shown()
        log = await self.open(shown, queue=2)
        with self.store.hold("COMMIT") as held:
            log.append(said("under way"))
            await asyncio.to_thread(held.wait, PATIENCE)
            log.append(said("queued"))
            with self.assertRaises(Temporary):
                log.append(said("too much"))
        self.assertEqual(numbers(await shown.first(2)), [1, 2])
        self.assertEqual(numbers(await append(log, shown, said("a"), said("b"))), [3, 4])

    async def test_close_waits_for_the_commit_under_way_and_for_what_came_meanwhile(self) -> None:
        log, shown = await self.start()
        with self.store.hold("COMMIT") as held:
            log.append(said("under way"))
            await asyncio.to_thread(held.wait, PATIENCE)
            log.append(said("queued"))
            closing_log = asyncio.create_task(log.close())
            await asyncio.sleep(0)
            self.assertFalse(closing_log.done())
        await asyncio.wait_for(closing_log, PATIENCE)
        self.assertEqual(numbers(shown.outcomes), [1, 2])

    async def test_a_close_that_was_given_up_can_be_repeated(self) -> None:
        log, shown = await self.start()
        with self.store.hold("COMMIT") as held:
            log.append(said("under way"))
            await asyncio.to_thread(held.wait, PATIENCE)
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(log.close(), 0.01)
        await asyncio.wait_for(log.close(), PATIENCE)
        self.assertEqual(numbers(shown.outcomes), [1])
        log, shown = await self.start()
        self.assertEqual(len(await log.read(ROOM, 0, 10)), 1)

    async def test_what_comes_during_close_or_after_it_is_stored_or_refused(self) -> None:
        log, shown = await self.start()
        refused: list[Temporary] = []

        def bring(text: str) -> None:
            try:
                log.append(said(text))
            except Temporary as refusal:
                refused.append(refusal)

        shown.then = lambda outcome: bring("from within the sink") if len(shown.outcomes) == 1 else None
        bring("first")
        await log.close()
        bring("after close")
        self.assertEqual(len(shown.outcomes) + len(refused), 3)


class FailingCommits(CommitTestCase):
    """Nothing of a failed commit is shown or kept, no number is lost, and the engine mends itself."""

    async def check_recovery(self, log: SQLiteLog, shown: Shown) -> None:
        """After the trouble has ended, and a commit of said("a", "c"), told("b", "d") and one in OTHER had failed."""
        self.store.mend()
        drafts = [said("a", cid="c"), told("b", cid="d"), said("elsewhere", stream=OTHER), said("after")]
        outcomes = await append(log, shown, *drafts)
        self.assertFalse([outcome for outcome in outcomes if isinstance(outcome, Committed) and outcome.dup])
        self.assertEqual(numbers(outcomes), [2, 1, 1, 1, 3])
        self.assertEqual([text_of(entry.content) for entry in await log.read(ROOM, 0, 10)], ["before", "a", "after"])
        for stream in (ALICE, BOB, OTHER):
            self.assertEqual([entry.seq for entry in await log.read(stream, 0, 10)], [1])

    async def test_sqlite_refuses(self) -> None:
        for error in (DISK_FULL, DISK_BROKEN, LOCKED):
            for statement in ("BEGIN IMMEDIATE", "INSERT INTO stream", "INSERT INTO entry", "COMMIT"):
                with self.subTest(statement=statement, error=str(error)):
                    self.path = self.path.with_name(f"{statement}{error}.db".replace(" ", "-").replace("/", "-"))
                    log, shown = await self.start()
                    await append(log, shown, said("before"))
                    self.store.fail(statement, error)
                    drafts = [said("a", cid="c"), told("b", cid="d"), said("elsewhere", stream=OTHER)]
                    for _ in range(3):
                        record = await self.failing(log, shown, *drafts)
                        self.assertIn(str(error), record.getMessage())
                        self.assertEqual(len(await log.read(ROOM, 0, 10)), 1)
                    await self.check_recovery(log, shown)
                    await log.close()
                    self.check_file()

    async def test_the_checked_way_fails_as_well(self) -> None:
        """A group with a cid of before is written a second time, draft by draft."""
        log, shown = await self.start()
        await append(log, shown, said("before", cid="0"))
        self.store.fail("COMMIT", DISK_FULL)
        await self.failing(log, shown, said("before", cid="0"), said("a", cid="c"), told("b", cid="d"))
        await self.check_recovery(log, shown)

    async def test_a_transaction_that_cannot_be_rolled_back_costs_one_commit_more(self) -> None:
        log, shown = await self.start()
        await append(log, shown, said("before"))
        self.store.fail("COMMIT", DISK_BROKEN)
        self.store.fail("ROLLBACK", DISK_BROKEN)
        await self.failing(log, shown, said("a", cid="c"))
        self.store.mend()
        await self.failing(log, shown, said("a", cid="c"))
        self.assertEqual(log.tally[:4], (0, 1, 1, 2))
        await self.check_recovery(log, shown)

    async def test_a_commit_whose_answer_was_lost_leaves_no_gap(self) -> None:
        """It is stored although nobody could be told: whoever sends it again, under its cid, learns its place."""
        log, shown = await self.start()
        await append(log, shown, said("before"))  # so that the writer knows where the stream ends
        self.store.fail("COMMIT", DISK_BROKEN, after=True)
        await self.failing(log, shown, said("hi", cid="c"))
        self.store.mend()
        again, after = await append(log, shown, said("hi", cid="c"), said("after"))
        self.assertEqual((numbers([again, after]), isinstance(again, Committed) and again.dup), ([2, 3], True))

    async def test_a_disk_that_is_really_full(self) -> None:
        log, shown = await self.start(durable=True)
        writer = self.store.opened[0]
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        stored = 0
        with self.assertLogs("gochatsecure.log", "ERROR") as logged:
            while isinstance((await append(log, shown, said("x" * 4096)))[0], Committed):
                stored += 1
        self.check_unavailable(shown.outcomes[-1:])
        self.assertIn("full", logged.output[0])
        writer.execute("PRAGMA max_page_count = 1000000")
        self.assertEqual(numbers(await append(log, shown, said("x" * 4096), said("y"))), [stored + 1, stored + 2])
        self.assertEqual(len(await log.read(ROOM, 0, 100)), stored + 2)

    async def test_a_file_that_another_program_keeps_locked(self) -> None:
        log, shown = await self.start()
        self.store.opened[0].execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(self.path, isolation_level=None)) as intruder:
            intruder.execute("BEGIN IMMEDIATE")
            record = await self.failing(log, shown, said("a"))
            self.assertIn("locked", record.getMessage())
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])

    async def test_log_lines_hold_no_message(self) -> None:
        log, shown = await self.start()
        formatter = logging.Formatter()
        for error in (DISK_FULL, RuntimeError("our bug")):
            self.store.fail("INSERT INTO entry", error)
            record = await self.failing(log, shown, said("a secret", cid="a-secret-cid", by="somebody"))
            self.assertNotRegex(formatter.format(record), "a secret|a-secret-cid|somebody")


class OurOwnFault(CommitTestCase):
    async def test_an_unexpected_exception_fails_its_commit_alone_and_is_logged(self) -> None:
        log, shown = await self.start()
        await append(log, shown, said("before"))
        for statement in ("BEGIN", "INSERT INTO entry", "COMMIT"):
            with self.subTest(statement):
                self.store.fail(statement, RuntimeError("our bug"))
                record = await self.failing(log, shown, said("a"), told("b"))
                assert record.exc_info is not None
                self.assertEqual(str(record.exc_info[1]), "our bug")
                self.store.mend()
        self.assertEqual(numbers(await append(log, shown, said("a"), told("b"))), [2, 1, 1])

    async def test_a_content_that_the_store_does_not_know(self) -> None:
        log, shown = await self.start()
        record = await self.failing(log, shown, Draft("alice", 1, ((ROOM, cast(Content, Sung("la la"))),)))
        self.assertIsNotNone(record.exc_info)
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])

    async def test_a_content_without_a_text(self) -> None:
        """It weighs next to nothing, and no kind has been given to it."""
        log, shown = await self.start()
        await self.failing(log, shown, Draft("alice", 1, ((ROOM, cast(Content, ("no", "text"))),)))
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])

    async def test_what_is_no_draft_fails_whoever_brings_it(self) -> None:
        shown = Shown()
        log = await self.open(shown, queue=1)
        with self.assertRaises(TypeError):
            log.append(Draft("alice", 1, ((ROOM, Posted(cast(str, None))),)))
        self.assertEqual(numbers(await append(log, shown, said("a"))), [1])


class Marks(CommitTestCase):
    async def test_marks_go_with_the_drafts_of_their_turn(self) -> None:
        log, shown = await self.start()
        marking = asyncio.gather(log.mark("alice", "a", 1), log.mark("bob", "a", 2), log.mark("alice", "b", 3))
        log.append(said("a"))
        self.assertEqual(await marking, [1, 2, 3])
        await shown.first(1)
        self.assertEqual(self.store.count("COMMIT"), 1)

    async def test_marks_alone_make_a_commit(self) -> None:
        log, shown = await self.start()
        self.assertEqual(await log.mark("alice", "a", 1), 1)
        self.assertEqual((self.store.count("COMMIT"), shown.groups), (1, []))

    async def test_a_mark_is_answered_once_it_is_stored(self) -> None:
        log, _ = await self.start()
        with self.store.hold("COMMIT") as held:
            marking = asyncio.create_task(log.mark("alice", "a", 1))
            await asyncio.to_thread(held.wait, PATIENCE)
            self.assertEqual(await log.marks("alice", 9), {})
            self.assertFalse(marking.done())
        self.assertEqual(await marking, 1)
        self.assertEqual(look(self.path, "SELECT reader, place, seq FROM mark"), [("alice", "a", 1)])

    async def test_a_mark_that_could_not_be_stored_is_refused_and_forgotten(self) -> None:
        log, shown = await self.start()
        for statement in ("BEGIN", "INSERT INTO mark", "COMMIT"):
            with self.subTest(statement):
                self.store.fail(statement, DISK_FULL)
                log.append(said("a"))
                with self.assertLogs("gochatsecure.log", "ERROR"), self.assertRaises(Temporary) as caught:
                    await log.mark("alice", "a", 9)
                self.assertEqual(caught.exception.code, "store_unavailable")
                self.store.mend()
        self.check_unavailable(shown.outcomes)
        self.assertEqual(await log.marks("alice", 9), {})
        self.assertEqual(await log.mark("alice", "a", 1), 1)

    async def test_who_no_longer_waits_for_a_mark_does_not_disturb_the_others(self) -> None:
        log, _ = await self.start()
        with self.store.hold("COMMIT") as held:
            marking = [asyncio.create_task(log.mark("alice", "a", seq)) for seq in (1, 2)]
            await asyncio.to_thread(held.wait, PATIENCE)
            marking[0].cancel()
        self.assertEqual(await marking[1], 2)
        self.assertEqual(await log.marks("alice", 9), {"a": 2})

    async def test_close_stores_the_marks_that_wait(self) -> None:
        log, _ = await self.start()
        marking = asyncio.create_task(log.mark("alice", "a", 1))
        await asyncio.sleep(0)
        await log.close()
        self.assertEqual(await marking, 1)
        log, _ = await self.start()
        self.assertEqual(await log.marks("alice", 9), {"a": 1})
        self.assertEqual(await log.mark("alice", "a", 0), 1)


class FailingReads(CommitTestCase):
    async def test_reading_is_refused_for_a_while_and_works_again(self) -> None:
        log, shown = await self.start()
        await append(log, shown, said("hi"))
        for error in (DISK_BROKEN, LOCKED, sqlite3.DatabaseError("database disk image is malformed")):
            self.store.fail("SELECT seq", error)
            for reading in (log.read(ROOM, 0, 10), log.look(ROOM, 10)):
                with self.assertLogs("gochatsecure.log", "ERROR"), self.assertRaises(Temporary) as caught:
                    await reading
                self.assertEqual(caught.exception.code, "store_unavailable")
            self.store.mend()
            self.assertEqual(len(list((await log.look(ROOM, 10)).tail)), 1)

    async def test_a_failing_read_does_not_touch_commits(self) -> None:
        log, shown = await self.start()
        self.store.fail("SELECT seq", DISK_BROKEN)
        with self.assertLogs("gochatsecure.log", "ERROR"), self.assertRaises(Temporary):
            await log.read(ROOM, 0, 10)
        self.assertEqual(numbers(await append(log, shown, said("hi"))), [1])

    async def test_close_does_not_take_the_connection_from_a_read_under_way(self) -> None:
        """Python's sqlite3 crashes the process when a connection is closed while rows are fetched from it."""
        log, _shown = await self.start()
        with self.assertNoLogs("gochatsecure.log", "ERROR"):
            with self.store.hold("SELECT seq") as held:
                asked = asyncio.create_task(log.read(ROOM, 0, 10))
                await asyncio.to_thread(held.wait, PATIENCE)
                ending = asyncio.create_task(log.close())
                await asyncio.wait({ending}, timeout=0.1)
                self.assertFalse(ending.done())
            await asyncio.wait_for(ending, PATIENCE)
            self.assertEqual(await asked, [])
        self.assertEqual(self.store.closed_in_use, 0)

    async def test_a_read_that_comes_during_close_is_answered_or_refused(self) -> None:
        log, _shown = await self.start()
        with mock.patch("gochatsecure.log.sqlite._logger") as logger:
            with self.store.hold("COMMIT") as held:
                log.append(said("hi"))
                await asyncio.to_thread(held.wait, PATIENCE)
                ending = asyncio.create_task(log.close())
                await asyncio.sleep(0)
                asked = [asyncio.create_task(log.read(ROOM, 0, 10)) for _ in range(10)]
                await asyncio.sleep(0)
            for task in asked:
                with suppress(Temporary):
                    self.assertLessEqual(len(await asyncio.wait_for(task, PATIENCE)), 1)
            await asyncio.wait_for(ending, PATIENCE)
        self.assertNotIn("closed database", str(logger.mock_calls))
        self.assertEqual(self.store.closed_in_use, 0)

    async def test_a_read_after_close_is_refused(self) -> None:
        log, _shown = await self.start()
        await log.close()
        for reading in (log.read(ROOM, 0, 10), log.look(ROOM, 10)):
            with self.assertNoLogs("gochatsecure.log"), self.assertRaises(Temporary):
                await asyncio.wait_for(reading, PATIENCE)


class Stress(StoreTestCase):
    async def test_reads_at_any_moment_of_close(self) -> None:
        """Each is answered whole, or refused."""
        log, shown = await self.start()
        await append(log, shown, *(said("x" * 100) for _ in range(500)))
        await log.close()
        with mock.patch("gochatsecure.log.sqlite._logger"):
            for _ in range(20):
                log, _shown = await self.start()
                asked = [asyncio.create_task(self.ask(log, turns)) for turns in range(30)]
                await asyncio.sleep(0.001)
                await log.close()
                for task in asked:
                    self.assertIn(await asyncio.wait_for(task, PATIENCE), (None, 500))

    async def ask(self, log: SQLiteLog, turns: int) -> int | None:
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            return len(await log.read(ROOM, 0, 1000))
        except Temporary:
            return None


class LoopGone(StoreTestCase):
    def test_a_loop_that_closes_during_a_commit(self) -> None:
        """Nobody waits for an answer any more: the commit is finished all the same, and another loop can close."""
        raised: list[object] = []
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        with faults() as store, mock.patch("threading.excepthook", raised.append):
            log = SQLiteLog(self.path, durable=False, queue=10)
            loop.run_until_complete(log.open(Shown()))
            with store.hold("COMMIT") as held:
                loop.call_soon(log.append, said("hi"))
                loop.run_until_complete(asyncio.sleep(0))
                loop.run_until_complete(asyncio.sleep(0))
                self.assertTrue(held.wait(PATIENCE))
                loop.close()
            asyncio.run(log.close())
        self.assertEqual(raised, [])
        self.assertEqual(look(self.path, "SELECT seq FROM entry"), [(1,)])
