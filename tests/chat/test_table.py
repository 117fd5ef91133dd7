"""The table of commands: complete, its values checked, and its own help."""

from __future__ import annotations

import typing
import unittest

from gochatsecure.chat import commands, table
from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.model import Cursor
from gochatsecure.chat.table import Kind, Parameter, checked

ROWS = (table.SAY, table.TELL, *table.TABLE)


class TheTable(unittest.TestCase):
    def test_every_command_can_be_asked_for(self) -> None:
        self.assertEqual({row.command for row in ROWS}, set(typing.get_args(commands.Command)))

    def test_every_parameter_is_a_field_of_its_command(self) -> None:
        for row in ROWS:
            with self.subTest(row.op or row.word):
                fields = set(row.command._fields)
                self.assertLessEqual({parameter.field for parameter in row.parameters} | set(row.fixed), fields)

    def test_every_field_can_be_given(self) -> None:
        for row in ROWS:
            with self.subTest(row.op or row.word):
                given = {parameter.field for parameter in row.parameters} | set(row.fixed)
                self.assertEqual(given, set(row.command._fields))

    def test_what_the_command_needs_is_required(self) -> None:
        for row in ROWS:
            for parameter in row.parameters:
                with self.subTest(row.op or row.word, parameter=parameter.name):
                    optional = parameter.field in row.command._field_defaults
                    self.assertTrue(optional or parameter.required)

    def test_only_the_last_typed_parameter_takes_the_rest_of_the_line(self) -> None:
        for row in ROWS:
            kinds = {parameter.name: parameter.kind for parameter in row.parameters}
            self.assertNotIn("text", [kinds[name] for name in row.typed[:-1]])

    def test_every_row_has_its_help_and_can_be_asked_for_somehow(self) -> None:
        for row in ROWS:
            self.assertTrue(row.help)
            self.assertTrue(row.op or row.word)

    def test_usage_shows_what_is_optional(self) -> None:
        self.assertEqual(table.BY_WORD["/history"].usage, "/history [N]")
        self.assertEqual(table.BY_WORD["/join"].usage, "/join ROOM")
        self.assertEqual(table.BY_WORD["/who"].usage, "/who")
        self.assertEqual(table.TELL.usage, "@NAME TEXT")
        self.assertEqual(table.BY_WORD["/ban"].usage, "/ban NAME [SECONDS] [REASON]")

    def test_every_kind_is_told_in_words(self) -> None:
        self.assertEqual(set(table.KINDS), set(typing.get_args(Kind)))


class Values(unittest.TestCase):
    HEAD = "A" * 43
    GOOD: typing.ClassVar[dict[Kind, list[object]]] = {
        "room": ["general", "team-1"],
        "user": ["bob"],
        "text": ["", "hi", "🙂", "a\nb"],
        "cid": ["1", "x" * 64, "a-b_c.~!"],
        "seq": [1, 2**53 - 1],
        "place": [0, 1],
        "count": [1, 100],
        "flag": [True, False],
        "emoji": ["👍", "👩\u200d👩\u200d👧", ":tada:"],
        "token": ["a.b.c"],
        "seconds": [1, 10**9],
        "reason": ["", "spam", "x" * 200],
        "role": ["member", "moderator", "owner"],
        "visibility": ["public", "unlisted", "private"],
    }
    BAD: typing.ClassVar[dict[Kind, list[object]]] = {
        "room": [1, "", "a b", "x" * 65, ["general"]],
        "user": [None, "", "a b", "аlice", "x" * 33],
        "text": [1, ["a"], "\ud800", {"a": 1}, True],
        "cid": ["", "x" * 65, "a b", "é", "\n", 1],
        "seq": [0, -1, 1.0, "1", True, 2**53, 10**400],
        "place": [-1, True, 0.5],
        "count": [0, True],
        "flag": [0, 1, "true"],
        "emoji": ["", "a b", "\x00", "x" * 33, 1, "\ud800"],
        "token": [1],
        "seconds": [0, -1, True, 1.5, 10**9 + 1, "1"],
        "reason": [1, "x" * 201, "\ud800"],
        "role": ["guest", "Owner", "", 3, ["owner"]],
        "visibility": ["", "Private", True, {}],
        "cursor": [1, {}, {"epoch": "e"}, {"epoch": "e", "seq": -1}, {"epoch": 1, "seq": 1}],
    }

    def test_what_fits_is_taken(self) -> None:
        for kind, values in self.GOOD.items():
            for value in values:
                with self.subTest(kind, value=value):
                    self.assertEqual(checked(Parameter("x", kind), value), value)

    def test_what_does_not_fit_is_refused(self) -> None:
        for kind, values in self.BAD.items():
            for value in values:
                with self.subTest(kind, value=repr(value)[:40]), self.assertRaises(Refusal):
                    checked(Parameter("x", kind), value)

    def test_names_are_made_canonical(self) -> None:
        self.assertEqual(checked(Parameter("x", "room"), "General"), "general")
        self.assertEqual(checked(Parameter("x", "user"), "BOB"), "bob")

    def test_a_cursor_with_and_without_its_head(self) -> None:
        after = Parameter("after", "cursor")
        self.assertEqual(checked(after, {"epoch": "e", "seq": 3}), Cursor("e", 3))
        self.assertEqual(checked(after, {"epoch": "e", "seq": 3, "head": None}), Cursor("e", 3))
        self.assertEqual(checked(after, {"epoch": "e", "seq": 0, "head": self.HEAD}), Cursor("e", 0, bytes(32)))

    def test_a_head_is_43_signs_of_base64url(self) -> None:
        for head in ("", "A" * 42, "A" * 44, "+" * 43, "é" * 43, 1):
            with self.subTest(head), self.assertRaises(Refusal):
                checked(Parameter("after", "cursor"), {"epoch": "e", "seq": 3, "head": head})
