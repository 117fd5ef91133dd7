"""The table of commands: complete, and its own help."""

from __future__ import annotations

import typing
import unittest

from gochatsecure.chat import commands, model


class TheTable(unittest.TestCase):
    rows = (commands.SAY, commands.TELL, *commands.TABLE)

    def test_every_command_can_be_asked_for(self) -> None:
        self.assertEqual({row.command for row in self.rows}, set(typing.get_args(model.Command)))

    def test_parameters_are_the_commands_first_fields_in_order(self) -> None:
        for row in self.rows:
            with self.subTest(row.word):
                self.assertEqual(len(row.parameters), len(row.command._fields[: len(row.parameters)]))
                self.assertLessEqual(set(row.fixed), set(row.command._fields))

    def test_only_the_last_parameter_takes_the_rest_of_the_line(self) -> None:
        for row in self.rows:
            self.assertNotIn("rest", [parameter.kind for parameter in row.parameters[:-1]])

    def test_every_row_has_its_help(self) -> None:
        for row in self.rows:
            self.assertTrue(row.help)

    def test_usage_shows_what_is_optional(self) -> None:
        self.assertEqual(commands.BY_WORD["/history"].usage, "/history [N]")
        self.assertEqual(commands.BY_WORD["/join"].usage, "/join ROOM")
        self.assertEqual(commands.BY_WORD["/who"].usage, "/who")
