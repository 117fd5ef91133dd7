"""The steps of the schema: released ones stay as they are, each is taken once, whole or not at all."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import unittest
from contextlib import closing
from typing import Any
from unittest import mock

from gochatsecure.chat.model import (
    KIND_OF,
    Banned,
    Entry,
    Invited,
    Kicked,
    Muted,
    Ranked,
    Slowed,
    Unbanned,
    Unmuted,
    room_stream,
    until_of,
)
from gochatsecure.errors import StoreError
from gochatsecure.log import migrations
from gochatsecure.log.migrations import APPLICATION_ID, STEPS, migrate, refuse_foreign
from gochatsecure.log.port import keep_rule
from gochatsecure.log.rows import INSERT, row_of
from tests.support import temporary_folder

RELEASED = (
    "6050382268ee9e65c61ae2b581181d56744091249b715b684964d4c958dbd778",
    "b7164aafc1a16eae812b4149f00c5f4eaca52dfb905833b6269f13e980244efb",
)
"""The SHA-256 of each released step. Add a line with a new step; never change one."""


class MigrationTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.path = temporary_folder() / "chat.db"

    def run_on(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def migrate(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            refuse_foreign(connection, self.path)
            migrate(connection)
            self.assertFalse(connection.in_transaction)

    def ask(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()

    def versions(self) -> tuple[int, int]:
        return self.ask("PRAGMA user_version")[0][0], self.ask("PRAGMA application_id")[0][0]

    def schema(self) -> list[Any]:
        return self.ask("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")


class Released(unittest.TestCase):
    def test_a_released_step_is_never_changed(self) -> None:
        """There are files that have taken it as it was: what is to change now is a step of its own."""
        self.assertEqual(tuple(hashlib.sha256(step.encode()).hexdigest() for step in STEPS), RELEASED)

    def test_the_mark_of_our_files_is_never_changed(self) -> None:
        self.assertEqual(APPLICATION_ID.to_bytes(4), b"GChS")


class Steps(MigrationTestCase):
    def test_an_empty_file_takes_all_steps(self) -> None:
        self.path.touch()
        self.migrate()
        self.assertEqual(self.versions(), (len(STEPS), APPLICATION_ID))
        names = {(kind, name) for kind, name, *_ in self.schema() if not name.startswith("sqlite_")}
        tables = ("store", "stream", "entry", "rule", "mark", "account", "revoked")
        indexes = ("once", "about", "peer")
        wanted = {("table", name) for name in tables} | {("index", f"entry_{name}") for name in indexes}
        self.assertEqual(names, wanted | {("index", "mark_at"), ("index", "mark_last")})

    def test_a_second_time_changes_nothing(self) -> None:
        self.migrate()
        schema, content = self.schema(), self.path.read_bytes()
        self.migrate()
        self.assertEqual(self.schema(), schema)
        self.assertTrue(self.path.read_bytes() == content, "the file was changed")

    def test_only_the_steps_that_are_missing_are_taken(self) -> None:
        self.migrate()
        self.run_on("INSERT INTO stream VALUES (7, 'room/default', 1, x'')")
        more = (*STEPS, "CREATE TABLE more (x);", "INSERT INTO more VALUES (1); INSERT INTO more VALUES (2);")
        with mock.patch.object(migrations, "STEPS", more):
            self.migrate()
            self.migrate()
        self.assertEqual(self.versions(), (len(STEPS) + 2, APPLICATION_ID))
        self.assertEqual(self.ask("SELECT x FROM more"), [(1,), (2,)])
        self.assertEqual(self.ask("SELECT id, name FROM stream"), [(7, "room/default")])

    def test_a_failing_step_leaves_the_version_before_it(self) -> None:
        """The steps before it are kept, of itself nothing is; mended, it is taken from its beginning."""
        good, bad = "CREATE TABLE good (x);", "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);"
        with mock.patch.object(migrations, "STEPS", (*STEPS, good, bad)):
            for _ in range(2):
                with self.assertRaises(sqlite3.Error):
                    self.migrate()
                self.assertEqual(self.versions(), (len(STEPS) + 1, APPLICATION_ID))
                self.assertEqual(self.ask("SELECT name FROM sqlite_master WHERE name IN ('good', 'half')"), [("good",)])
        with mock.patch.object(migrations, "STEPS", (*STEPS, good, "CREATE TABLE half (x);")):
            self.migrate()
        self.assertEqual(self.versions(), (len(STEPS) + 2, APPLICATION_ID))

    def test_a_first_step_that_fails_leaves_an_empty_file(self) -> None:
        failing = ("CREATE TABLE half (x); SYNTAX ERROR;",)
        with mock.patch.object(migrations, "STEPS", failing), self.assertRaises(sqlite3.Error):
            self.migrate()
        self.assertEqual((self.versions(), self.schema()), ((0, 0), []))
        self.migrate()


class Rules(MigrationTestCase):
    def test_of_the_rules_of_earlier_files_those_are_kept_that_count(self) -> None:
        """The second step does as `keep_rule` does, from the last of each kind and about each key."""
        choose = random.Random(2).choice
        people = ("max", "mona", "gus~s1", "gus~s2")
        for run in range(20):
            self.path = temporary_folder() / "chat.db"
            with mock.patch.object(migrations, "STEPS", STEPS[:1]):
                self.migrate()
            self.run_on("INSERT INTO stream VALUES (1, 'room/den', 1, x''), (2, 'room/other', 1, x'')")
            rules: dict[tuple[str, str], Entry] = {}
            for seq in range(1, 30):
                whom, until = choose(people), choose((None, seq + 1, seq + 10))
                kind: Any = choose((Kicked, Banned, Unbanned, Muted, Unmuted, Ranked, Invited, Slowed))
                more = {Kicked: ("",), Banned: (until, ""), Muted: (until, ""), Ranked: ("member",), Invited: ("den",)}
                content = Slowed(seq) if kind is Slowed else kind(whom, *more.get(kind, ()))
                entry = Entry(room_stream("den"), seq, seq, "olga", None, content)
                keep_rule(rules, entry)
                person = "" if kind is Slowed else whom
                with closing(sqlite3.connect(self.path)) as connection, connection:
                    for stream in (1, 2):
                        connection.execute(INSERT, row_of(stream, entry))
                        values = (stream, KIND_OF[kind], person, seq)
                        connection.execute("INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?)", values)
            self.migrate()
            wanted = {(*slot, rule.seq, until_of(rule.content)) for slot, rule in rules.items()}
            for stream in (1, 2):
                kept = self.ask(f"SELECT kind, person, seq, until FROM rule WHERE stream = {stream}")
                with self.subTest(run, stream=stream):
                    self.assertEqual(set(kept), wanted)


class Refusals(MigrationTestCase):
    def check_refused(self, cause: str) -> None:
        before = self.path.read_bytes()
        with self.assertRaises(StoreError) as caught:
            self.migrate()
        self.assertIn(cause, caught.exception.cause)
        self.assertTrue(self.path.read_bytes() == before, "the file was changed")

    def test_a_file_with_tables_that_is_not_marked_as_ours(self) -> None:
        self.run_on("CREATE TABLE entry (stream, seq)")
        self.check_refused("another program's database")

    def test_a_file_that_is_marked_as_another_programs(self) -> None:
        for statement in ("PRAGMA application_id = 252006673", "PRAGMA user_version = 1"):
            with self.subTest(statement):
                self.path = temporary_folder() / "chat.db"
                self.run_on(statement)
                self.check_refused("another program's database")

    def test_a_file_of_a_newer_version(self) -> None:
        self.migrate()
        self.run_on(f"PRAGMA user_version = {len(STEPS) + 1}")
        self.check_refused("newer GoChatSecure")


class Schema(MigrationTestCase):
    """What the tables themselves hold to, whoever writes."""

    def setUp(self) -> None:
        super().setUp()
        self.migrate()
        self.run_on("INSERT INTO stream VALUES (1, 'room/a', 1, x''), (2, 'room/b', 1, x'')")

    def check_refused(self, cause: str, *statements: str) -> None:
        with self.assertRaisesRegex(sqlite3.IntegrityError, cause):
            self.run_on("PRAGMA foreign_keys = ON", *statements)

    def entry(self, stream: object = 1, seq: object = 1, sender: str = "alice", cid: str = "NULL") -> str:
        return (
            f"INSERT INTO entry VALUES ({stream}, {seq}, 0, '{sender}', {cid}, 'message', '[]', NULL, NULL, x'', x'')"
        )

    def test_a_stream_has_one_name(self) -> None:
        self.check_refused("UNIQUE", "INSERT INTO stream VALUES (3, 'room/a', 1, x'')")

    def test_a_place_is_taken_once(self) -> None:
        self.check_refused("UNIQUE", self.entry(1, 1), self.entry(2, 1), self.entry(1, 2), self.entry(1, 1))

    def test_a_sender_uses_a_cid_once_in_all_streams(self) -> None:
        self.check_refused(
            "UNIQUE", self.entry(1, 1, cid="'c'"), self.entry(1, 2, "bob", "'c'"), self.entry(2, cid="'c'")
        )

    def test_entries_without_a_cid_are_no_repetitions(self) -> None:
        self.run_on(self.entry(1, 1), self.entry(1, 2), self.entry(2, 1))

    def test_an_entry_is_of_a_stream_that_there_is(self) -> None:
        self.check_refused("FOREIGN KEY", self.entry(99))

    def test_columns_have_one_type(self) -> None:
        self.check_refused("cannot store TEXT value in INTEGER column", self.entry(1, "'one'"))
        self.check_refused("cannot store BLOB value in TEXT column", self.entry(cid="x'00'"))
        self.check_refused("NOT NULL", self.entry(1, "NULL"))
