"""Log lines: one for each event, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys
import unittest

from gochatsecure.journal import Happening, JSONFormatter, TextFormatter


def record(message: object, *, error: bool = False) -> logging.LogRecord:
    found = None
    if error:
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            found = sys.exc_info()
    made = logging.LogRecord("gochatsecure", logging.INFO, "", 0, message, (), found)
    made.created = 0.0
    return made


class Text(unittest.TestCase):
    def test_fields_follow_the_name(self) -> None:
        line = TextFormatter().format(record(Happening("sign_in", username="alice", reason="two words")))
        self.assertEqual(line, '1970-01-01T00:00:00Z info sign_in username=alice reason="two words"')

    def test_nothing_in_a_field_can_begin_a_new_line_or_move_a_cursor(self) -> None:
        hostile = "x\n2026 info sign_in username=admin\x1b[2J\u202e\u2028"
        for message in (Happening("sign_in", username=hostile), hostile):
            line = TextFormatter().format(record(message))
            self.assertTrue(line.isascii() and line.isprintable(), line)

    def test_a_field_cannot_look_like_two(self) -> None:
        line = TextFormatter().format(record(Happening("e", a='b" c="d')))
        self.assertTrue(line.endswith(r'e a="b\" c=\"d"'), line)

    def test_a_traceback_is_indented(self) -> None:
        lines = TextFormatter().format(record("our bug", error=True)).split("\n")
        self.assertTrue(all(line.startswith("    ") for line in lines[1:]))


class JSONLines(unittest.TestCase):
    def test_one_object_on_one_line(self) -> None:
        text = JSONFormatter().format(record(Happening("sign_in", username="a\nb", code=1), error=True))
        self.assertNotIn("\n", text)
        line = json.loads(text)
        self.assertEqual((line["event"], line["username"], line["code"], line["level"]), ("sign_in", "a\nb", 1, "info"))
        self.assertIn("ValueError", line["traceback"])

    def test_a_plain_message_is_an_event_too(self) -> None:
        self.assertEqual(json.loads(JSONFormatter().format(record("started")))["event"], "started")
