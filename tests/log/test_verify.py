"""The offline verifier: it finds every kind of tampering, says where, and repeats nobody's words."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from gochatsecure.chat.chain import base64url
from gochatsecure.chat.model import Deleted, Draft, Edited, Stream
from gochatsecure.errors import StoreError
from gochatsecure.log.verify import Report, verify

from .contract import ALICE, OTHER, ROOM, append, said, told
from .store import StoreTestCase

SECRET = "what alice has said"


class Verifying(StoreTestCase):
    async def fill(self) -> None:
        log, shown = await self.start()
        await append(log, shown, *(said(f"{SECRET} {number}", cid=f"c{number}") for number in range(6)))
        await append(log, shown, told(SECRET), said("elsewhere", stream=OTHER))
        await append(
            log, shown, Draft("alice", 1, ((ROOM, Edited(2, SECRET)),)), Draft("alice", 1, ((ROOM, Deleted(2)),))
        )
        await log.close()

    def tamper(self, *statements: str) -> Report:
        """What the verifier says of the file once these were done to it; then they are undone."""
        whole = self.path.read_bytes()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as intruder:
            for statement in statements:
                intruder.execute(statement)
        report = verify(self.path)
        self.path.write_bytes(whole)
        return report

    async def test_a_store_that_nobody_touched_has_no_fault(self) -> None:
        await self.fill()
        report = verify(self.path)
        self.assertEqual((report.faults, report.entries, len(report.positions)), ([], 11, 4))
        self.assertEqual((report.positions[ROOM].floor, report.positions[ROOM].last), (1, 8))

    async def test_its_heads_are_those_that_clients_were_told(self) -> None:
        log, shown = await self.start()
        outcomes = await append(log, shown, said("a"), said("b"))
        position = (await log.look(ROOM, 0)).position
        self.assertEqual(verify(self.path).positions[ROOM], position)  # while the server runs
        self.assertEqual(base64url(position.head), base64url(outcomes[1].entries[0].head))  # type: ignore[union-attr]

    async def test_every_change_is_found_and_placed(self) -> None:
        await self.fill()
        room = "(SELECT id FROM stream WHERE name = 'room/default')"
        here = f"stream = {room} AND seq"
        for statement, fault in (
            (f"UPDATE entry SET body = replace(body, 'said 3', 'done 3') WHERE {here} = 4", "entry 4: its head"),
            (f"UPDATE entry SET ts = ts + 1 WHERE {here} = 4", "entry 4: its head"),
            (f"UPDATE entry SET sender = 'bob' WHERE {here} = 4", "entry 4: its head"),
            (f"UPDATE entry SET cid = 'other' WHERE {here} = 4", "entry 4: its head"),
            (f"UPDATE entry SET kind = 'topic', body = '[\"x\"]' WHERE {here} = 4", "entry 4: its head"),
            (f"UPDATE entry SET seal = x'{'00' * 16}' WHERE {here} = 4", "entry 4: its head"),
            (f"UPDATE entry SET seal = x'' WHERE {here} = 4", "entry 4 has no seal"),
            (f"UPDATE entry SET head = x'{'00' * 32}' WHERE {here} = 8", "entry 8: its head"),
            (
                f"UPDATE entry SET body = '[\"back\", false, null]' WHERE {here} = 2",
                "entry 2 is erased, but has a text",
            ),
            (f"UPDATE entry SET body = 'nonsense' WHERE {here} = 4", "entry 4 cannot be read"),
            (f"UPDATE entry SET body = '[1]' WHERE {here} = 8", "entry 8: its head"),
            (f"UPDATE entry SET kind = 'unheard' WHERE {here} = 4", "entry 4 cannot be read"),
            (f"DELETE FROM entry WHERE {here} = 4", "entry 4 is missing"),
            (f"DELETE FROM entry WHERE {here} IN (4, 5)", "entries 4 to 5 are missing"),
            (f"UPDATE entry SET seq = 99 WHERE {here} = 8", "entries 8 to 98 are missing"),
            (f"UPDATE stream SET base = x'00' WHERE id = {room}", "its chain does not begin"),
            ("UPDATE store SET epoch = 'another'", "its chain does not begin"),
        ):
            with self.subTest(statement):
                report = self.tamper(statement)
                self.assertTrue(any(told.startswith(f"room/default: {fault}") for told in report.faults), report.faults)
                self.assertNotIn(SECRET, " ".join(report.faults))

    async def test_one_stream_does_not_hide_another(self) -> None:
        await self.fill()
        report = self.tamper("UPDATE entry SET ts = 0", "UPDATE entry SET ts = 0")
        self.assertEqual({told.partition(":")[0] for told in report.faults}, {ALICE, OTHER, ROOM, "inbox/bob"})

    async def test_a_rewritten_chain_is_whole_but_has_another_head(self) -> None:
        """Why a head has to be kept elsewhere, too: whoever may write the file may write all of it."""
        await self.fill()
        before = verify(self.path).positions[OTHER]
        self.path = self.path.with_name("other.db")
        await self.fill()
        self.assertNotEqual(verify(self.path).positions[OTHER].head, before.head)

    async def test_the_faults_of_one_stream_are_told_up_to_a_number(self) -> None:
        log, shown = await self.start()
        await append(log, shown, *(said("x") for _ in range(50)))
        await log.close()
        report = self.tamper("UPDATE entry SET sender = 'bob'")
        self.assertEqual((len(report.faults), report.faults[-1]), (21, "room/default: and 30 faults more"))

    async def test_what_is_no_store_of_ours_is_refused(self) -> None:
        self.path.parent.mkdir(parents=True)
        for content, cause in (
            (None, "no such file"),
            (b"", "older version, or empty"),
            (b"garbage" * 999, "cannot be read"),
        ):
            if content is not None:
                self.path.write_bytes(content)
            with self.subTest(cause), self.assertRaisesRegex(StoreError, cause):
                verify(self.path)
        self.path.unlink()

    async def test_a_stream_by_any_name(self) -> None:
        log, shown = await self.start()
        await append(log, shown, said("x", stream=Stream("room/é'\"")))
        self.assertEqual(verify(self.path).faults, [])
