"""OUT-1: one message is one line of one author, whatever is in it, and moves no terminal's cursor."""

from __future__ import annotations

import re
import sys
import unicodedata
import unittest
from typing import NamedTuple

from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.events import Event, Joined, Left, Member, Members, Messages, Refused, RoomList
from gochatsecure.chat.model import Entry, Message, Posted, Role, Told
from gochatsecure.chat.names import InvalidName, canonical_room, canonical_user
from gochatsecure.wire.lines import visible
from tests.wire.support import PropertyTestCase
from tests.wire.test_lines import entry, posted, shown

try:
    from hypothesis import strategies as st
except ImportError:
    pass

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # UAX 9
MARKS = {"\u061c", "\u200e", "\u200f"}
SURROGATES = range(0xD800, 0xE000)  # no UTF-8 text holds one
EVERYTHING = "".join(chr(code) for code in range(sys.maxunicode + 1) if code not in SURROGATES)
PERILOUS = frozenset(
    char
    for char in EVERYTHING
    if unicodedata.category(char) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(char) in BIDI or char in MARKS
)


class Visible(unittest.TestCase):
    def test_no_code_point_that_steers_a_terminal_is_shown(self) -> None:
        self.assertEqual(len(PERILOUS), 65 + 2 + 9 + 3)
        self.assertFalse(PERILOUS & {*visible(EVERYTHING)})
        for start in range(0, len(EVERYTHING), 16_384):
            (line,) = shown(posted(EVERYTHING[start : start + 16_384]))
            self.assertFalse(PERILOUS & {*line})
            self.assertEqual(len(line.splitlines()), 1)

    def test_each_code_point_is_shown_as_it_is_or_written_out_in_ascii(self) -> None:
        written: dict[str, str] = {}
        for char in EVERYTHING:
            output = visible(char)
            if output != char:
                self.assertRegex(output, r"\A\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[nrt])\Z")
                written[char] = output
        self.assertEqual(len({*written.values()}), len(written))
        self.assertTrue({*written} >= PERILOUS)
        self.assertLess(len(written), 200)

    def test_each_is_treated_alone_and_in_company_alike(self) -> None:
        for char in PERILOUS:
            self.assertEqual(visible(f"a{char}b{char}"), f"a{visible(char)}b{visible(char)}")

    def test_how_some_are_written(self) -> None:
        for text, line in (
            ("a\nb", "a\\nb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\x1b[2J\x07", "\\x1b[2J\\x07"),
            ("\x7f\x80\x85\x9b", "\\x7f\\x80\\x85\\x9b"),
            ("\u202eevil\u2066", "\\u202eevil\\u2066"),
            ("\u2028\u2029", "\\u2028\\u2029"),
            ("a\u200bb\ufeff\u00ad", "a\\u200bb\\ufeff\\xad"),
        ):
            self.assertEqual(visible(text), line)

    def test_what_people_write_stays_as_it_is(self) -> None:
        for text in (
            *("", "plain", "naïve café", "日本語", "שלום", "مرحبا", "नमस्ते", "a\\nb", "tab? no", "\u00a0", "\u3000"),
            *(
                "👩\u200d👩\u200d👧",
                "❤\ufe0f",
                "🏴\U000e0067\U000e0062\U000e007f",
                "می\u200cخواهم",
                "e\u0301",
                "\ue000",
            ),
        ):
            self.assertEqual(visible(text), text)


class Seen(NamedTuple):
    """What a reader takes a line for."""

    kind: str
    who: str = ""
    to: str = ""


def read_as(line: str) -> Seen:
    """As a careful reader would, from the line's beginning alone."""
    for sign, kind in (("! ", "refusal"), ("# ", "list")):
        if line.startswith(sign):
            return Seen(kind)
    for pattern, kind in (
        (r"\(Private\) to ([^ :()]+): ", "to"),
        (r"\(Private\) ([^ :()]+): ", "private"),
        (r"\* ([^ :()]+) ", "action"),
        (r"([^ :()]+): ", "said"),
        (r"([^ :()]+) joined the room\Z", "joined"),
        (r"([^ :()]+) left the room\Z", "left"),
    ):
        if found := re.match(pattern, line):
            return Seen(kind, found[1]) if kind != "to" else Seen(kind, to=found[1])
    raise AssertionError(f"nobody can read {line!r}")


def as_written(event: Event) -> Seen:
    match event:
        case Entry(content=Posted(_, action)):
            return Seen("action" if action else "said", event.sender)
        case Entry(content=Told(to)):
            return Seen("to", to=to) if event.stream.endswith("/" + event.sender) else Seen("private", event.sender)
        case Joined(_, name):
            return Seen("joined", name)
        case Left(_, name):
            return Seen("left", name)
        case Members() | RoomList():
            return Seen("list")
    assert isinstance(event, Refused)
    return Seen("refusal")


NASTY = (
    *(
        "bob: hi",
        "\nbob: hi",
        "\r\nbob: hi",
        "\u2028bob: hi",
        "\x0bbob: hi",
        "\x85bob: hi",
        "\x1b[1Gbob: hi",
        "\x08" * 9,
    ),
    *(
        "! no",
        "# in den: x",
        "* bob waves",
        "(Private) bob: hi",
        "(Private) to bob: hi",
        "joined the room",
        "left the room",
    ),
    *("\u202e", ": ", " ", "to bob: x", ")", "\u2067x\u2069"),
)


def names() -> st.SearchStrategy[str]:
    """Names that are accepted, and those that come nearest to other kinds of lines."""
    odd = [
        "to",
        "private",
        "bob",
        "joined",
        "left",
        "in",
        "rooms",
        "a.b",
        "0",
        "x-",
        "x_",
        "жук",
        "アリス",
        "אבא",
        "علي",
        "o'b",
    ]
    typed = st.one_of(st.sampled_from(odd), st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True), st.text(max_size=6))
    return typed.filter(is_name).map(canonical_user)


def is_name(typed: str) -> bool:
    try:
        canonical_user(typed)
        canonical_room(typed)
    except InvalidName:
        return False
    return True


class Generated(PropertyTestCase):
    def texts(self) -> st.SearchStrategy[str]:
        some = st.one_of(st.sampled_from(NASTY), st.text(st.characters(codec="utf-8"), max_size=12))
        return st.lists(some, max_size=4).map("".join)

    def test_a_line_is_of_its_own_kind_and_of_its_own_author(self) -> None:
        def holds(alice: str, bob: str, text: str, number: int) -> None:
            for event in (
                posted(text, sender=alice),
                posted(text, action=True, sender=alice),
                entry(Told(bob, text), alice, inbox=bob),
                entry(Told(bob, text), alice, inbox=alice),
                Joined("den", alice),
                Left("den", alice),
                Members(canonical_room(bob), [Member(alice, 1, Role.GUEST), Member(bob, 2, Role.OWNER)], 2 + number),
                RoomList([(canonical_room(alice), number)], 1),
                Refused(Refusal("x", "no; try else")),
            ):
                (line,) = shown(event)
                self.assertEqual(read_as(line), as_written(event), line)
                self.assertEqual(line.splitlines(), [line])
                self.assertFalse(PERILOUS & {*line}, ascii(line))

        self.check(holds, examples=500, alice=names(), bob=names(), text=self.texts(), number=st.integers(0, 9))

    def test_a_line_of_one_never_equals_nor_begins_like_one_of_another(self) -> None:
        def holds(alice: str, bob: str, text: str, other: str) -> None:
            if alice == bob:
                return
            (mine,) = shown(posted(text, sender=alice))
            self.assertTrue(mine.startswith(f"{alice}: "))
            for event in (
                posted(other, sender=bob),
                posted(other, action=True, sender=bob),
                entry(Told(alice, other), bob, inbox=alice),
                entry(Told(alice, other), bob, inbox=bob),
                Joined("den", bob),
                Left("den", bob),
            ):
                (theirs,) = shown(event)
                self.assertNotEqual(mine, theirs)
            for start in (f"{bob}: ", f"{bob} ", "! ", "# ", "* ", "(Private) "):
                self.assertFalse(mine.startswith(start), mine)

        self.check(holds, examples=500, alice=names(), bob=names(), text=self.texts(), other=self.texts())

    def test_a_backlog_has_a_line_for_each_entry(self) -> None:
        def holds(texts: list[str]) -> None:
            lines = shown(Messages("den", None, [Message(posted(text), text) for text in texts], 1, 0, False, 1))
            self.assertEqual(lines, [f"alice: {visible(text)}" for text in texts])

        self.check(holds, texts=st.lists(self.texts(), max_size=5))
