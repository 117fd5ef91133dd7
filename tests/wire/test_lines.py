"""The lines protocol: what a person may type, and what is shown."""

from __future__ import annotations

import unittest

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from gochatsecure.chat.commands import Command, Help, History, Join, Quit, Rooms, Say, Tell, Who
from gochatsecure.chat.errors import Refusal, Temporary
from gochatsecure.chat.events import Event, HelpText, Joined, Left, Member, Members, Messages, Refused, RoomList
from gochatsecure.chat.model import Content, Entry, Message, Posted, Role, Told, inbox_stream, room_stream, text_of
from gochatsecure.chat.table import TABLE
from gochatsecure.wire.formats import WireFormat
from gochatsecure.wire.lines import LINES
from tests.wire.support import PropertyTestCase

try:
    from hypothesis import strategies as st
except ImportError:
    pass

FORMAT: WireFormat = LINES


def decode(text: str) -> Command | str:
    """The command, or the code of the refusal."""
    asked = FORMAT.decode(text, "den").command
    return asked.code if isinstance(asked, Refusal) else asked


def shown(event: Event) -> list[str]:
    """The lines that a client sees, each a message of its own."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(FORMAT.frames(event))
    texts = []
    for message in client.events():
        assert isinstance(message, TextMessage), message
        assert message.message_finished
        texts.append(message.data)
    return texts


def posted(text: str, *, action: bool = False, sender: str = "alice") -> Entry:
    return entry(Posted(text, action), sender)


def entry(content: Content, sender: str = "alice", *, inbox: str = "") -> Entry:
    stream = inbox_stream(inbox) if inbox else room_stream("den")
    return Entry(stream, 1, 0, sender, None, content)


class Decode(unittest.TestCase):
    def assertDecodes(self, typed: str, meant: Command | str) -> None:
        for end in ("", "\n", "\r\n", "\n\n"):
            with self.subTest(typed=typed + end):
                found = decode(typed + end)
                self.assertEqual(found, meant)
                self.assertIs(type(found), type(meant))  # named tuples are equal to others with the same fields

    def test_what_is_typed_is_said(self) -> None:
        for text in (
            "hi",
            "hi there ",
            " hi",
            "a/b",
            "a@b.c",
            "\\/who",
            "#x",
            "! no",
            "é 日",
            "one\ntwo",
            "\thi",
        ):
            self.assertDecodes(text, Say("den", text))

    def test_a_space_or_a_full_width_sign_before_it_is_a_slip(self) -> None:
        """What was meant for one, or for the server, is not said to all."""
        for typed, command in (
            (" @bob psst", Tell("bob", "psst")),
            ("\uff20bob psst", Tell("bob", "psst")),
            ("\u3000@bob psst", Tell("bob", "psst")),
            (" /who", Who("den")),
            ("\uff0fwho", Who("den")),
        ):
            self.assertDecodes(typed, command)

    def test_two_slashes_say_one(self) -> None:
        for typed, text in (
            ("//", "/"),
            ("//who", "/who"),
            ("///", "//"),
            ("// x", "/ x"),
            ("//me x", "/me x"),
            ("//@x", "/@x"),
        ):
            self.assertDecodes(typed, Say("den", text))

    def test_nothing_is_not_said(self) -> None:
        for typed in ("", " ", "\t ", "\u3000", "\r"):
            self.assertDecodes(typed, "argument_missing")

    def test_an_at_sign_tells_somebody_alone(self) -> None:
        for typed, meant in (
            ("@bob hi", Tell("bob", "hi")),
            ("@bob hi there ", Tell("bob", "hi there ")),
            ("@bob  hi", Tell("bob", " hi")),
            ("@Bob /who", Tell("bob", "/who")),
            ("@bob @carol hi", Tell("bob", "@carol hi")),
            ("@ bob hi", Tell("bob", "hi")),
            ("@@bob hi", "username_invalid"),
            ("@bob: hi", "username_invalid"),
            ("@/who hi", "username_invalid"),
            ("@bob\thi you", "username_invalid"),
        ):
            self.assertDecodes(typed, meant)
        for typed in ("@", "@ ", "@bob", "@bob ", "@bob  ", "@  bob", "@\t"):
            self.assertDecodes(typed, "argument_missing")

    def test_commands(self) -> None:
        for typed, meant in (
            ("/join attic", Join("attic")),
            ("/join  attic ", Join("attic")),
            ("/JOIN Attic", Join("attic")),
            ("/who", Who("den")),
            ("/who ", Who("den")),
            ("/rooms", Rooms()),
            ("/history", History("den")),
            ("/history 1", History("den", limit=1)),
            ("/history  25 ", History("den", limit=25)),
            ("/history 999999", History("den", limit=999_999)),
            ("/history 007", History("den", limit=7)),
            ("/me waves  twice", Say("den", "waves  twice", action=True)),
            ("/me /who", Say("den", "/who", action=True)),
            ("/me @bob", Say("den", "@bob", action=True)),
            ("/help", Help()),
            ("/Quit", Quit()),
        ):
            self.assertDecodes(typed, meant)

    def test_wrong_arguments(self) -> None:
        for typed, code in (
            ("/join", "argument_missing"),
            ("/join ", "argument_missing"),
            ("/me", "argument_missing"),
            ("/me  ", "argument_missing"),
            ("/join a b", "argument_unexpected"),
            ("/who x", "argument_unexpected"),
            ("/rooms x", "argument_unexpected"),
            ("/help me", "argument_unexpected"),
            ("/quit now", "argument_unexpected"),
            ("/history 5 6", "argument_unexpected"),
            *(
                (f"/history {count}", "argument_invalid")
                for count in ("0", "000", "-1", "+1", "x", "1.5", "1e3", "1_0")
            ),
            *(
                (f"/history {count}", "argument_invalid")
                for count in ("1000000", "9" * 5000, "\u0661", "\uff11", "\xb2")
            ),
        ):
            self.assertDecodes(typed, code)

    def test_unknown_commands(self) -> None:
        for typed in (
            "/",
            "/ ",
            "/ who",
            "/nick x",
            "/whoo",
            "/wh",
            "/who\tx",
            "/join\u00a0x",
            "/\uff57ho",
            "/@bob hi",
            "/.",
        ):
            self.assertDecodes(typed, "command_unknown")

    def test_every_command_of_the_table_is_known(self) -> None:
        for row in TABLE:
            self.assertNotEqual(decode(row.word or ""), "command_unknown")

    def test_a_refusal_says_how_to_type_it_and_repeats_nothing(self) -> None:
        for typed, usage in (
            ("/join", "/join ROOM"),
            ("/history evil", "/history [N]"),
            ("/me", "/me TEXT"),
            ("@evil", "@NAME TEXT"),
            ("/who evil", "/who"),
            ("/evil", "/help"),
            ("", "TEXT"),
        ):
            refusal = FORMAT.decode(typed, "den").command
            assert isinstance(refusal, Refusal)
            self.assertIn(usage, refusal.message)
            self.assertNotIn("evil", refusal.message)
            self.assertNotIsInstance(refusal, Temporary)


class Frames(unittest.TestCase):
    def test_messages(self) -> None:
        for event, line in (
            (posted("hi"), "alice: hi"),
            (posted("hi", sender="alice~sid"), "alice: hi"),
            (posted("waves", action=True), "* alice waves"),
            (posted(" hi "), "alice:  hi "),
            (posted("é 日 😀"), "alice: é 日 😀"),
            (entry(Told("bob", "psst"), inbox="bob"), "(Private) alice: psst"),
            (entry(Told("bob~1", "psst"), "alice~2", inbox="bob~1"), "(Private) alice: psst"),
            (entry(Told("bob", "psst"), inbox="alice"), "(Private) to bob: psst"),
            (entry(Told("bob~1", "psst"), "alice~2", inbox="alice~2"), "(Private) to bob: psst"),
            (entry(Told("alice", "note"), inbox="alice"), "(Private) to alice: note"),
        ):
            self.assertEqual(shown(event), [line])

    def test_who_comes_and_goes(self) -> None:
        self.assertEqual(shown(Joined("den", "alice")), ["alice joined the room"])
        self.assertEqual(shown(Left("den", "alice")), ["alice left the room"])

    def test_a_backlog_is_its_messages_oldest_first(self) -> None:
        entries = [posted("one"), posted("two", sender="bob~1"), posted("three", action=True)]
        messages = [Message(entry, text_of(entry.content) or "") for entry in entries]
        self.assertEqual(
            shown(Messages("den", None, messages, 1, 3, False, 1)), ["alice: one", "bob: two", "* alice three"]
        )
        self.assertEqual(FORMAT.frames(Messages("den", None, [], 1, 0, False, 1)), b"")

    def test_lists(self) -> None:
        self.assertEqual(
            shown(Members("den", [Member("alice", 1, Role.GUEST), Member("bob", 2, Role.OWNER)], 2)),
            ["# in den: alice, bob (owner)"],
        )
        self.assertEqual(shown(Members("den", [Member("alice", 1, Role.MEMBER)], 2)), ["# in den: alice and 1 more"])
        self.assertEqual(shown(Members("den", [Member("alice", 1, Role.MEMBER)], 3)), ["# in den: alice and 2 more"])
        self.assertEqual(shown(RoomList([("den", 2), ("attic", 1)], 2)), ["# rooms: den (2), attic (1)"])
        self.assertEqual(shown(RoomList([("den", 2)], 9)), ["# rooms: den (2) and 8 more"])

    def test_help_has_a_line_for_each_command(self) -> None:
        lines = shown(HelpText())
        self.assertEqual(len(lines), len([row for row in TABLE if row.word]) + 2)
        for row in TABLE:
            if row.word is not None:
                self.assertIn(f"# {row.usage}: {row.help}", lines)
        self.assertTrue(all(line.startswith("# ") for line in lines))

    def test_refusals(self) -> None:
        for refusal, line in (
            (Refusal("x", "no; try else"), "! no; try else"),
            (Temporary("x", "not now", 2500), "! not now; try again in 2.5 s"),
            (Temporary("x", "not now", 60_000), "! not now; try again in 60.0 s"),
            (Temporary("x", "not now", 1), "! not now; try again in 0.1 s"),
            (Temporary("x", "not now", 0), "! not now; try again in 0.1 s"),
            (Temporary("x", "not now"), "! not now; try again in 1.0 s"),
        ):
            self.assertEqual(shown(Refused(refusal)), [line])


class Generated(PropertyTestCase):
    def test_what_begins_with_a_slash_or_an_at_sign_is_never_said_to_the_room(self) -> None:
        def holds(sign: str, rest: str) -> None:
            found = decode(sign + rest)
            if sign == "@":
                self.assertIsInstance(found, Tell | str)
            elif isinstance(found, Say):
                self.assertTrue(found.action or rest.startswith("/"), rest)

        rests = st.one_of(st.text(max_size=30), st.sampled_from(["/", "me x", "who", "ME x", "\n/", "\x00/"]))
        self.check(holds, examples=500, sign=st.sampled_from("/@"), rest=rests)

    def test_any_text_is_a_command_or_a_refusal(self) -> None:
        words = st.sampled_from([*(row.word for row in TABLE if row.word), "@", "/", "1", "x", " ", "\t", "\n", "é"])

        def holds(typed: str) -> None:
            decode(typed)

        self.check(holds, typed=st.text())
        self.check(holds, typed=st.lists(words, max_size=6).map(" ".join))
        self.check(holds, typed=st.lists(words, max_size=6).map("".join))
