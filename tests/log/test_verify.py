"""The offline verifier: it finds every kind of tampering, says where, and repeats nobody's words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from unittest import mock

from gochatsecure.chat.chain import base64url, erased
from gochatsecure.chat.model import KINDS, Deleted, Draft, Edited, Stream, Titled
from gochatsecure.errors import StoreError
from gochatsecure.log.verify import Report, verify

from .contract import ALICE, OTHER, ROOM, append, entries, said, told
from .contract_reading import drafted
from .store import StoreTestCase

SECRET = "what alice has said"


class Verifying(StoreTestCase):
    async def fill(self) -> None:
        log, shown = await self.start()
        await append(log, shown, *(said(f"{SECRET} {number}", cid=f"c{number}") for number in range(6)))
        await append(log, shown, told(SECRET), said("elsewhere", stream=OTHER))
        await append(log, shown, Draft("alice", 1, ((OTHER, Titled(SECRET)),)))
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
        self.assertEqual((report.faults, report.entries, len(report.positions)), ([], 12, 4))
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
            (f"UPDATE entry SET body = '[0, false, null]' WHERE {here} = 2", "entry 2 is erased, but has a text"),
            (f"UPDATE entry SET kind = 'topic' WHERE {here} = 8", "entry 2 is erased, but no entry deletes it"),
            (f"UPDATE entry SET target = 3 WHERE {here} = 7", "entry 7 is filed under another message"),
            (f"UPDATE entry SET target = 3 WHERE {here} = 8", "entry 8 is filed under another message"),
            (f"UPDATE entry SET peer = 'eve' WHERE {here} = 4", "entry 4 is filed under another message"),
            (f"UPDATE entry SET seq = seq + 100 * (9 - 2 * seq) WHERE {here} IN (4, 5)", "entries 4 to 5 are missing"),
            (f"DELETE FROM entry WHERE {here} = 1", "entry 1 is missing"),
            (f"UPDATE stream SET floor = 2 WHERE id = {room}", "entry 1 is out of its order"),
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

    async def test_a_rule_that_no_entry_makes_is_found(self) -> None:
        await self.fill()
        for statement in ("DELETE FROM rule", "UPDATE rule SET seq = 4", "UPDATE rule SET person = 'bob'"):
            faults = self.tamper(statement).faults
            self.assertEqual(faults, ["room/other: its rules are not those that its entries make"])

    async def test_entries_that_have_changed_places_are_found(self) -> None:
        await self.fill()
        room = "stream = (SELECT id FROM stream WHERE name = 'room/default')"
        swap = [f"UPDATE entry SET seq = {new} WHERE {room} AND seq = {old}" for old, new in ((4, 99), (5, 4), (99, 5))]
        faults = self.tamper(*swap).faults
        self.assertEqual([fault[: len("room/default: entry 4: its")] for fault in faults[:2]], [
            "room/default: entry 4: its", "room/default: entry 5: its",
        ])  # fmt: skip

    async def test_an_erased_text_that_is_put_back_is_found(self) -> None:
        """From an old copy, with its salt: the chain alone stays whole."""
        log, shown = await self.start()
        outcomes = await append(log, shown, said(SECRET), drafted(Edited(1, SECRET)), drafted(Deleted(1)))
        await log.close()
        for outcome, body in zip(outcomes, (f'["{SECRET}",false,null]', f'[1,"{SECRET}"]'), strict=False):
            (entry,) = entries(outcome)
            report = self.tamper(
                f"UPDATE entry SET body = '{body}', seal = x'{entry.seal.hex()}' WHERE seq = {entry.seq}"
            )
            self.assertEqual(report.faults, [f"room/default: entry {entry.seq} has a text, but entry 3 deletes it"])

    async def test_a_text_that_is_erased_without_a_deletion_is_found(self) -> None:
        log, shown = await self.start()
        (outcome,) = await append(log, shown, said(SECRET))
        await log.close()
        (entry,) = entries(outcome)
        seal = erased(entry).seal.hex()
        report = self.tamper(f"UPDATE entry SET body = '[\"\",false,null]', seal = x'{seal}'")
        self.assertEqual(report.faults, ["room/default: entry 1 is erased, but no entry deletes it"])

    async def test_a_deletion_of_what_is_written_later_is_no_fault(self) -> None:
        log, shown = await self.start()
        await append(log, shown, drafted(Deleted(3)), drafted(Deleted(2)))
        await append(log, shown, said("later"), drafted(Edited(3, "and changed")))
        await append(log, shown, drafted(Deleted(6)), said("erased in its commit"))
        self.assertEqual([len(entry.seal) for entry in await log.read(ROOM, 2, 9)], [16, 16, 0, 32])
        self.assertEqual(verify(self.path).faults, [])

    async def test_whatever_stands_in_a_row_is_a_fault_and_no_error(self) -> None:
        await self.fill()
        bodies = ("", "1", "null", "[]", "[1]", "[null]", "[[1], [2]]", '[{"a": 1}, "x"]', "[1e99]", f"[{2**70}]",
            '{"a": 1}', '["x", "x", "x", "x"]', '["\\ud800", false, null]', '[1, "\\ud800"]', "[" * 100_000,
            "[true, [3]]", f'[{2**70}, "x"]', '[[], "x"]', '[{}, "x"]')  # fmt: skip
        forms = [(kind, body, seal) for kind in KINDS for body in bodies for seal in (0, 16, 32)]
        with closing(sqlite3.connect(self.path)) as intruder, intruder:
            intruder.executemany(
                "INSERT INTO entry SELECT id, ?, 1, 'alice', NULL, ?, ?, NULL, NULL, zeroblob(?), x''"
                " FROM stream WHERE name = 'room/default'",
                [(seq, *form) for seq, form in enumerate(forms, start=9)],
            )
        with mock.patch("gochatsecure.log.verify._TOLD", 9999):
            faults = "; ".join(verify(self.path).faults) + ";"
        for seq, form in enumerate(forms, start=9):
            with self.subTest(form):
                self.assertRegex(faults, rf": entry {seq}\b")
        self.assertNotRegex(faults, r": entry 8\b")

    async def test_bytes_that_are_no_text_are_a_fault_and_repeat_nothing(self) -> None:
        await self.fill()
        for column in ("body", "sender", "cid", "kind"):
            with self.subTest(column):
                report = self.tamper(
                    f"UPDATE entry SET {column} = CAST(CAST({column} AS BLOB) || x'ff' AS TEXT)"
                    " WHERE seq = 4 AND stream = (SELECT id FROM stream WHERE name = 'room/default')"
                )
                self.assertTrue(report.faults[0].startswith("room/default: entry 4"), report.faults)
                self.assertNotIn(SECRET, " ".join(report.faults))
        report = self.tamper("UPDATE stream SET name = CAST(x'ff' AS TEXT) WHERE name = 'room/default'")
        self.assertIn("its chain does not begin with its name and epoch", report.faults[0])

    async def test_rows_of_no_stream_are_told_up_to_a_number(self) -> None:
        await self.fill()
        report = self.tamper("PRAGMA foreign_keys = OFF", "UPDATE entry SET stream = stream + 100")
        strays = [fault for fault in report.faults if fault == "database: a row of entry belongs to no stream"]
        self.assertEqual(len(strays), 12)
        with mock.patch("gochatsecure.log.verify._TOLD", 3):
            report = self.tamper("PRAGMA foreign_keys = OFF", "UPDATE entry SET stream = stream + 100")
        self.assertIn("database: and 9 faults more", report.faults)

    async def test_a_store_with_another_number_of_epochs_than_one_is_found(self) -> None:
        await self.fill()
        for statement, count in (("DELETE FROM store", 0), ("INSERT INTO store VALUES ('more')", 2)):
            self.assertEqual(self.tamper(statement).faults, [f"database: it has {count} epochs, not one"])

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
