"""Following a log from what is shown of it, and what a server that lies is caught at."""

from __future__ import annotations

import json
import unittest
from typing import Any

from gochatsecure.chat.chain import SALT, advance, erased, genesis
from gochatsecure.chat.model import (
    Content,
    Cursor,
    Deleted,
    Edited,
    Entry,
    Posted,
    Reacted,
    Stream,
    Titled,
    Told,
    inbox_stream,
    room_stream,
    text_of,
)
from gochatsecure.client.chains import advanced, entry_of
from gochatsecure.client.errors import HistoryFork
from gochatsecure.wire.json_v1 import _entry as written

CONTENTS: tuple[Content, ...] = (
    Posted("hi", True, 3), Edited(1, "ho"), Deleted(1), Reacted(1, "x", False), Titled(""), Posted("é🙂\u2028"),
)  # fmt: skip


def log(stream: Stream, contents: tuple[Content, ...]) -> list[Entry]:
    head, entries = genesis(stream, "e"), []
    for seq, content in enumerate(contents, start=1):
        seal = b"" if text_of(content) is None else bytes([seq]) * SALT
        head = advance(head, seq, 7, "alice~s", f"c{seq}", content, seal)
        entries.append(Entry(stream, seq, 7, "alice~s", f"c{seq}", content, head, seal))
    return entries


def shown(entry: Entry) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(written(entry)))
    return event


class Following(unittest.TestCase):
    def follow(self, events: list[dict[str, Any]], stream: Stream) -> Cursor:
        cursor = Cursor("e", 0, genesis(stream, "e"))
        for event in events:
            cursor = advanced(cursor, entry_of(event, "alice"))
        return cursor

    def test_an_honest_log_is_followed_to_its_head(self) -> None:
        room = room_stream("den")
        entries = log(room, CONTENTS)
        self.assertEqual(self.follow(list(map(shown, entries)), room), Cursor("e", len(entries), entries[-1].head))
        bare = [shown(erased(entry)) for entry in entries]
        self.assertEqual(self.follow(bare, room).head, entries[-1].head)

    def test_an_inbox_is_followed_too(self) -> None:
        inbox = inbox_stream("alice~s")
        entries = log(inbox, (Told("bob~t", "psst"), Told("alice~s", "hm")))
        self.assertEqual(self.follow(list(map(shown, entries)), inbox_stream("alice")).seq, 2)

    def test_every_lie_is_found_out(self) -> None:
        room = room_stream("den")
        events = list(map(shown, log(room, CONTENTS)))
        for name, value in (
            ("text", "bye"), ("ts", 8), ("from", "bob"), ("cid", None), ("action", False), ("reply_to", None),
            ("salt", "A" * 22), ("head", "A" * 43), ("seq", 2), ("event", "topic"),
        ):  # fmt: skip
            with self.subTest(name), self.assertRaises(HistoryFork):
                self.follow([{**events[0], name: value}, *events[1:]], room)
        for lie in (events[1:], events[:1] + events[2:], [events[1], events[0]], [events[0], *events]):
            with self.assertRaises(HistoryFork):
                self.follow(lie, room)

    def test_what_is_no_entry_is_found_out(self) -> None:
        for event in ({}, {"event": "message"}, {"event": "joined", "room": "den"}, {"event": ["x"]}):
            with self.assertRaises(HistoryFork):
                entry_of(event, "alice")
