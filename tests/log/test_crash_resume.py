"""The delivery contract through `kill -9`: programs that send again under the same cid, and resume from their cursor.

Every message that was acknowledged is there once, without gaps, in one order for every reader. GOCHATSECURE_CRASHES
says how often (5), GOCHATSECURE_SEED repeats the choices that a failing run has printed.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gochatsecure.chat.model import room_stream
from gochatsecure.log.verify import verify
from gochatsecure.wire.json_v1 import JSON
from tests.support import PATIENCE, Client, HasPort, token

from .test_crash import CRASHES, SEED, CrashTestCase, Process

ROOM = "den"


class Program:
    """Sends numbered messages, again until they are acknowledged; keeps its cursor and all that it was shown."""

    def __init__(self, name: str, bearer: str) -> None:
        self.name = name
        self.bearer = bearer
        self.client: Client | None = None
        self.unanswered: dict[str, str] = {}  # by cid
        self.acks: dict[str, int] = {}  # by cid: the seq that was acknowledged
        self.shown: list[tuple[int, str]] = []  # seq, cid
        self.cursor: dict[str, Any] | None = None
        self.sent = 0

    async def connect(self, server: HasPort) -> None:
        """Join where one left off, a page at a time; then send again what has no answer yet."""
        self.client = await Client.open(server, self.bearer, subprotocols=[JSON.subprotocol])
        assert json.loads(await self.client.receive() or "")["event"] == "welcome"
        more = True
        while more:
            asked = {"op": "join", "id": "join", "room": ROOM}
            self.client.send(json.dumps(asked if self.cursor is None else {**asked, "after": self.cursor}))
            answer: dict[str, Any] = {}
            while answer.get("re") != "join":
                answer = json.loads(await self.client.receive() or "null")
            ok = answer["ok"]
            assert ok["recovered"], ok
            if self.cursor is None:
                assert ok["last"] == 0, "everybody is here from the start"
                self.cursor = {"epoch": ok["epoch"], "seq": 0, "head": ok["head"]}
            for event in ok["events"]:
                self.take(event)
            more = ok["more"]
        for cid, text in self.unanswered.items():
            self.client.send(json.dumps({"op": "send", "id": cid, "room": ROOM, "cid": cid, "text": text}))

    def say(self) -> None:
        assert self.client is not None
        self.sent += 1
        cid = f"{self.name}-{self.sent}"
        self.unanswered[cid] = f"text {self.sent}"
        self.client.send(json.dumps({"op": "send", "id": cid, "room": ROOM, "cid": cid, "text": self.unanswered[cid]}))

    def take(self, event: dict[str, Any]) -> None:
        """One event or answer."""
        if event.get("event") == "message":
            assert self.cursor is not None
            self.shown.append((event["seq"], event["cid"]))
            self.cursor = {"epoch": self.cursor["epoch"], "seq": event["seq"], "head": event["head"]}
        elif "ok" in event:
            self.acks[event["re"]] = event["ok"]["seq"]
            del self.unanswered[event["re"]]
        else:
            assert event.get("event") in ("joined", "left"), event

    async def talk(self, least: int) -> None:
        """Keep eight messages under way until the server is gone, or all `least` are answered."""
        assert self.client is not None
        while (text := await self.client.receive()) is not None:
            self.take(json.loads(text))
            while len(self.unanswered) < 8 and self.sent < least:
                self.say()
            if not self.unanswered and self.sent >= least:
                return


class CrashesAndResumes(CrashTestCase):
    async def test_what_was_acknowledged_is_there_once_in_one_order(self) -> None:
        with self.subTest(seed=SEED):
            await self.send_through_crashes(min(20, CRASHES))

    async def send_through_crashes(self, crashes: int) -> None:
        self.data = self.folder / "data"
        programs: list[Program] = []
        for crash in range(crashes + 1):
            self.running = Process(self.data, "process", self.errors)
            server = await self.running.until_ready()
            programs = programs or [Program(name, await token(server, name)) for name in ("ann", "ben", "cleo")]
            for program in programs:
                await program.connect(server)
            for program in programs:
                program.say()
            least = 10**9 if crash < crashes else max(program.sent for program in programs) + 10
            tasks = [asyncio.create_task(program.talk(least)) for program in programs]
            if crash < crashes:
                async with asyncio.timeout(PATIENCE):
                    wanted = len(programs[0].acks) + self.random.randrange(1, 60)
                    while len(programs[0].acks) < wanted:  # noqa: ASYNC110 - what is waited for knows nothing of tests
                        await asyncio.sleep(0.001)
                self.kill()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*tasks)
            if crash < crashes:
                for program in programs:
                    assert program.client is not None
                    await program.client.abort()
        await self.compare(programs)

    async def compare(self, programs: list[Program]) -> None:
        total = sum(program.sent for program in programs)
        for program in programs:
            self.assertEqual((len(program.acks), program.unanswered), (program.sent, {}))
            async with asyncio.timeout(PATIENCE):
                while len(program.shown) < total:
                    assert program.client is not None
                    program.take(json.loads(await program.client.receive() or "null"))
            await program.client.abort()  # type: ignore[union-attr]
        order = programs[0].shown
        self.assertEqual([seq for seq, _ in order], list(range(1, total + 1)), "a gap, or something twice")
        self.assertEqual(len({cid for _, cid in order}), total, "a message is there twice")
        for program in programs:
            self.assertEqual(program.shown, order, f"{program.name} saw another order")
            for cid, seq in program.acks.items():
                self.assertEqual(order[seq - 1][1], cid, "acknowledged as another")
        self.kill()
        report = verify(self.data / "chat.db")
        self.assertEqual((report.faults, report.positions[room_stream(ROOM)].last), ([], total))
