"""Our own server keeps every promise of the transcripts, and a server that breaks one is found out."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import unittest
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

from gochatsecure import ChatServer, Limits
from gochatsecure.chat.standing import Standing
from gochatsecure.chat.state import Lobby
from gochatsecure.chat.table import BY_OP
from gochatsecure.conformance.__main__ import main
from gochatsecure.conformance.following import Broken, Follower
from gochatsecure.conformance.runner import Failed, Target, play, transcripts
from gochatsecure.conformance.shapes import EVENTS
from gochatsecure.conformance.transcript import fits, parse
from gochatsecure.live import doors
from gochatsecure.live.fanout import Fanout
from gochatsecure.live.hub import Hub
from gochatsecure.log.memory import MemoryLog
from gochatsecure.wire import frames, http1, json_v1, websocket
from tests.support import PATIENCE, ServerTestCase, certificate, client_context

KNOWN = {transcript.name: transcript for transcript in transcripts()}


class OurServer(ServerTestCase):
    async def test_it_keeps_every_promise(self) -> None:
        await self.play_all(await self.start())

    async def test_on_disk_too_and_with_small_pages(self) -> None:
        """Again and again on the same server: each run brings its own names."""
        server = await self.start(store="sqlite:DATA/chat.db", durability="process", limits=Limits(replay_page=2))
        await self.play_all(server, "one_order", "dup", "private", "inbox", "resume_in_pages", "history", "read_marks")
        await self.play_all(server, "one_order", "dup", "private", "inbox", "resume_in_pages", "history", "read_marks")

    async def play_all(self, server: ChatServer, *names: str) -> None:
        for name in names or KNOWN:
            with self.subTest(name):
                try:
                    await play(KNOWN[name], Target(server.url, client_context(), PATIENCE, strict=True))
                except Failed as failure:
                    self.fail(str(failure))


class Wrong(NamedTuple):
    """A server that breaks a promise, and the transcript that finds it out."""

    transcript: str
    place: Any
    name: str
    instead: Callable[[Any], Any]
    """What stands in its place, made from what stood there."""
    says: str
    """What the runner finds."""


def said(change: Callable[[dict[str, Any]], object]) -> Callable[[Any], Any]:
    """Every JSON frame is changed so before it is sent."""

    def instead(frame: Any) -> Any:
        def changed(text: str) -> Any:
            fields = json.loads(text)
            change(fields)
            return frame(json.dumps(fields))

        return changed

    return instead


def acks(**fields: object) -> Callable[[Any], Any]:
    return said(lambda frame: "dup" in frame.get("ok", ()) and frame["ok"].update(fields))


def replays(**fields: object) -> Callable[[Any], Any]:
    return said(lambda frame: "recovered" in frame.get("ok", ()) and frame["ok"].update(fields))


def errors(**fields: object) -> Callable[[Any], Any]:
    return said(lambda frame: "error" in frame and frame["error"].update(fields))


def messages(**fields: Callable[[Any], object]) -> Callable[[Any], Any]:
    """Events, with fields made from what they were."""
    return said(
        lambda frame: (
            frame.get("event") == "message" and frame.update({name: make(frame[name]) for name, make in fields.items()})
        )
    )


def silent(function: Any) -> Any:
    return lambda *arguments, **named: None


def shown_to_all(function: Any) -> Any:
    def show(hub: Hub, entry: Any) -> None:
        for session in hub.sessions:
            session.show(entry)

    return show


def without(**fields: object) -> Callable[[Any], Any]:
    """A method whose first argument, or second, has other fields."""

    def instead(function: Any) -> Any:
        return lambda self, value, *more, **named: function(self, value._replace(**fields), *more, **named)

    return instead


def forgets_head(function: Any) -> Any:
    return lambda log, stream, cursor, *more: function(log, stream, cursor._replace(head=None), *more)


def tells_one_more(function: Any) -> Any:
    async def resume(log: Any, stream: Any, cursor: Any, *more: Any) -> Any:
        return await function(log, stream, cursor._replace(seq=max(0, cursor.seq - 1), head=None), *more)

    return resume


def loses(function: Any) -> Any:
    return lambda self, draft: None


WRONG = (
    Wrong("send", json_v1, "frame", acks(ts="now"), "ok.ts: not of type integer"),
    Wrong("send", json_v1, "frame", acks(epoch="another"), "came: "),
    Wrong("send", json_v1, "frame", acks(head="A" * 43), "the `head` of an ack"),
    Wrong("send", json_v1, "frame", acks(cid="another"), "the `cid` of an ack"),
    Wrong("send", Fanout, "mention", silent, "nothing came"),
    Wrong("send", Fanout, "show", silent, "nothing came"),
    Wrong("one_order", json_v1, "frame", messages(seq=lambda seq: seq * 2 - 1), "entry 3 came after entry 1"),
    Wrong("one_order", json_v1, "frame", messages(text=lambda text: "something else"), "does not follow"),
    Wrong("one_order", json_v1, "frame", messages(head=lambda head: "A" * 43), "does not follow"),
    Wrong("one_order", MemoryLog, "append", loses, "nothing came"),
    Wrong("dup", json_v1, "frame", acks(dup=False), "came: "),
    Wrong("dup", MemoryLog, "append", without(cid=None), "ok.cid: not of type string"),
    Wrong("resume", json_v1, "frame", replays(events=[]), "does not end where the log stands"),
    Wrong("resume", doors, "resume", tells_one_more, "came after entry"),
    Wrong("resume_in_pages", json_v1, "frame", replays(more=False), "there is no `more`"),
    Wrong("not_recovered", json_v1, "frame", replays(recovered=True), "does not end where the log stands"),
    Wrong("history_fork", doors, "resume", forgets_head, "does not end where the log stands"),
    Wrong(
        "welcome",
        json_v1,
        "frame",
        said(lambda frame: "inbox" in frame and frame["inbox"].update(head="A" * 43)),
        "head(0)",
    ),
    Wrong("edit", Lobby, "_check", silent, "came: "),
    Wrong("moderation", Standing, "check_right", silent, "came: "),
    Wrong("moderation", Standing, "check_voice", silent, "came: "),
    Wrong("private_rooms", Standing, "admits", lambda function: lambda self, identity: True, "came: "),
    Wrong("delete", json_v1, "is_erased", lambda function: lambda entry: False, "salt: does not match"),
    Wrong("private", Hub, "_show_privately", shown_to_all, "entry 1 came after entry 1"),
    Wrong(
        "members",
        json_v1,
        "frame",
        said(lambda frame: "members" in frame.get("ok", ()) and frame["ok"].update(total=7)),
        "came: ",
    ),
    Wrong("close_binary", websocket, "UNSUPPORTED_DATA", lambda code: 1008, "closed with 1008"),
    Wrong("errors", json_v1, "frame", errors(code="oops"), "came: "),
    Wrong("errors", json_v1, "frame", errors(temporary=True, retry_after_ms=1), "`temporary` is not as"),
    Wrong(
        "sign_in_refused",
        http1.HTTPError,
        "response",
        lambda function: lambda self: http1.Response(400, b"no"),
        "not of its shape",
    ),
)


class WrongServers(ServerTestCase):
    async def test_each_is_found_out(self) -> None:
        for wrong in WRONG:
            with self.subTest(wrong.transcript, of=f"{wrong.name}, {wrong.instead.__qualname__}"):
                server = await self.start()
                patch = mock.patch.object(wrong.place, wrong.name, wrong.instead(getattr(wrong.place, wrong.name)))
                with patch, self.assertRaises(Failed) as caught:
                    patience = 1.0 if wrong.says == "nothing came" else PATIENCE
                    await play(KNOWN[wrong.transcript], Target(server.url, client_context(), patience))
                self.assertIn(wrong.says, caught.exception.came)
                await server.close(0)

    async def test_one_that_lets_nobody_connect_is_found_out_too(self) -> None:
        server = await self.start()
        with mock.patch("asyncio.open_connection", side_effect=TimeoutError), self.assertRaises(Failed) as caught:
            await play(KNOWN["send"], Target(server.url, client_context(), PATIENCE))
        self.assertIn("nothing came", caught.exception.came)


class TheTranscripts(unittest.TestCase):
    def test_each_says_what_it_promises(self) -> None:
        for transcript in KNOWN.values():
            with self.subTest(transcript.name):
                self.assertTrue(transcript.promise.endswith("."))
                self.assertTrue(transcript.steps)

    def test_every_op_is_asked_and_every_event_is_shown(self) -> None:
        steps = [step for transcript in KNOWN.values() for step in transcript.steps]
        said = " ".join(step.text for step in steps if step.sign != "<")
        shown = " ".join(step.text for step in steps if step.sign == "<")
        by_catching_up = {"join"}
        self.assertEqual({op for op in BY_OP if f'"op":"{op}"' not in said} - by_catching_up, set())
        after_the_server = {"draining"}  # nobody may tell somebody else's server to end
        self.assertEqual({name for name in EVENTS if f'"event":"{name}"' not in shown} - after_the_server, set())

    def test_what_is_no_line_is_said_with_its_number(self) -> None:
        with self.assertRaisesRegex(ValueError, "x, line 2"):
            parse("x", "alice> hi\nalice says hi\n")

    def test_people_and_rooms_are_renamed_as_words(self) -> None:
        transcript = parse("x", 'fresh: den\nalice> {"to":"alice","cid":"alice-1","room":"den","text":"denim, den."}\n')
        self.assertEqual(transcript.people, {"alice"})
        (step,) = transcript.renamed({"alice": "a-1", "den": "d-1"}).steps
        self.assertEqual(step.text, '{"to":"a-1","cid":"alice-1","room":"d-1","text":"denim, d-1."}')

    def test_what_fits(self) -> None:
        for wanted, found, whether in (
            ({"a": 1}, {"a": 1, "b": 2}, True),
            ({"a": "..."}, {"a": [1]}, True),
            ({"a": "..."}, {}, False),
            ({"a": "(none)"}, {"b": 1}, True),
            ({"a": "(none)"}, {"a": None}, False),
            ({"a": "$x", "b": "$x"}, {"a": 1, "b": 1}, True),
            ({"a": "$x", "b": "$x"}, {"a": 1, "b": 2}, False),
            ({"a": 1}, {"a": True}, False),
            ([1, 2], [1, 2, 3], False),
            ({"members": [{"name": "b"}, {"name": "a"}]}, {"members": [{"name": "a"}, {"name": "b"}]}, True),
        ):
            with self.subTest(wanted=wanted, found=found):
                self.assertEqual(fits(wanted, found, {}), whether)


class TheFollower(unittest.TestCase):
    def test_what_no_transcript_can_say_is_checked_of_every_frame(self) -> None:
        frames: tuple[Any, ...] = (
            [],
            {},
            {"event": "joined", "re": 1},
            {"event": "joined", "room": "den"},
            {"re": 7, "ok": {}},
            {"re": [], "ok": {}},
            {"re": None, "ok": {}},
            {"re": 2, "ok": {"room": "den"}},
            {"re": 1, "ok": {"later": 1}},
            {"event": "later"},
            {"re": 1, "error": {"code": "later", "message": "x", "temporary": False}},
        )
        for frame in frames:
            follower = Follower(strict=True)
            follower.asks('{"op":"ping","id":1}')
            follower.asks('{"op":"join","id":2}')
            with self.subTest(frame), self.assertRaises(Broken):
                follower.sees(frame)

    def test_what_later_versions_may_say_is_no_fault_unless_strict(self) -> None:
        follower = Follower()
        follower.asks('{"op":"ping","id":1}')
        follower.sees({"re": 1, "ok": {"later": 1}})
        follower.sees({"event": "later"})
        follower.sees({"re": 1, "error": {"code": "later", "message": "x", "temporary": False}})


class TheCommand(ServerTestCase):
    async def test_a_line_for_each_and_the_verdict(self) -> None:
        server = await self.start()
        common = [server.url, "--cacert", str(certificate().ca), "--timeout", f"{PATIENCE}"]
        self.assertEqual(
            await self.run_main([*common, "health", "dup"]), (0, ["ok      health", "ok      dup", "2 of 2"])
        )
        with mock.patch.object(json_v1, "frame", acks(dup=False)(frames.frame)):
            code, lines = await self.run_main([*common, "health", "dup"])
        self.assertEqual((code, lines[0], lines[-1][:6]), (1, "ok      health", "1 of 2"))
        self.assertIn(KNOWN["dup"].promise, lines[1])
        await server.close()
        self.assertEqual((await self.run_main(common))[0], 2)

    async def run_main(self, arguments: list[str]) -> tuple[int, list[str]]:
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
            code = await asyncio.to_thread(main, arguments)
        return code, [line[:6] if " of " in line else line for line in told.getvalue().splitlines()]

    async def test_what_cannot_be_tried_is_said(self) -> None:
        for arguments in (
            ["https://localhost:1", "nonsense"],
            ["http://localhost:1"],
            ["https://localhost:1", "--cacert", "/x"],
        ):
            with self.subTest(arguments), self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                main(arguments)
