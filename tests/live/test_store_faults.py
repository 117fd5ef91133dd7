"""A disk that fails under the whole server, over real TLS.

Senders wait or try again, nobody is shown what is not stored, all else goes on, and it recovers by itself.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from gochatsecure import ChatServer, Limits
from gochatsecure.chat.model import room_stream
from gochatsecure.client import ChatClient, sign_in
from gochatsecure.log.verify import verify
from gochatsecure.wire.json_v1 import JSON
from tests.live.support import eventually
from tests.log.faults import DISK_BROKEN, DISK_FULL, LOCKED, Faults, faults
from tests.support import PATIENCE, Client, ServerTestCase, client_context, request, temporary_folder, token


class Speaker:
    """A client of the JSON protocol, in a room. What it is shown stays in `shown`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked = 0
        self.shown: list[str] = []

    def ask(self, op: str, **fields: Any) -> int:
        self._asked += 1
        self._client.send(json.dumps({"op": op, "id": self._asked, **fields}))
        return self._asked

    async def answer(self, asked: int) -> Any:
        """The answer's `ok`, or its error."""
        while True:
            said = json.loads(await self._client.receive() or '"closed"')
            assert said != "closed", self._client.closed
            if said.get("re") == asked:
                return said["ok"] if "ok" in said else said["error"]
            if said.get("event") == "message":
                self.shown.append(said["text"])

    async def leave(self) -> None:
        await self._client.abort()

    async def do(self, op: str, **fields: Any) -> Any:
        return await asyncio.wait_for(self.answer(self.ask(op, **fields)), PATIENCE)

    async def say(self, text: str, room: str = "den") -> Any:
        """The text is its own cid."""
        return await self.do("send", room=room, text=text, cid=text)


class StoreFaults(ServerTestCase):
    came = 0  # into another room, while something failed

    async def asyncSetUp(self) -> None:
        self.store: Faults = self.enterContext(faults())
        self.path: Path = temporary_folder() / "data" / "chat.db"
        self.server = await self.serve()
        self.alice, self.bob = await self.speaker("alice"), await self.speaker("bob")

    async def serve(self, **fields: Any) -> ChatServer:
        return await self.start(store=f"sqlite:{self.path}", data=self.path.parent, durability="power", **fields)

    async def speaker(self, name: str, *rooms: str) -> Speaker:
        client = await Client.open(self.server, await token(self.server, name), subprotocols=[JSON.subprotocol])
        self.addAsyncCleanup(client.abort)
        speaker = Speaker(client)
        for room in rooms or ("den",):
            await speaker.do("join", room=room)
        return speaker

    async def check_that_life_goes_on(self) -> None:
        """Questions are answered, from memory and from the store; people come and sign in."""
        self.assertEqual(await self.bob.do("ping"), {})
        self.assertEqual((await self.bob.do("history", room="den", before=2))["messages"][0]["text"], "first")
        self.assertEqual((await request(self.server, "/readyz")).status, 200)
        self.came += 1
        carol = await self.speaker(f"carol{self.came}", "another")
        self.assertEqual((await carol.do("members", room="another"))["total"], self.came)

    async def check_store(self, *texts: str) -> None:
        """All that are stored, and that bob was shown each of them once."""
        page = await self.bob.do("history", room="den", limit=100)
        self.assertEqual([message["text"] for message in page["messages"]], list(texts))
        self.assertEqual([message["seq"] for message in page["messages"]], list(range(1, len(texts) + 1)))
        self.assertEqual(self.bob.shown, list(texts))
        report = verify(self.path)
        self.assertEqual((report.faults, report.positions[room_stream("den")].last), ([], len(texts)))

    async def test_what_cannot_be_stored_is_refused_for_a_while_and_shown_to_nobody(self) -> None:
        await self.alice.say("first")
        said = ["first"]
        for error, statement in (
            (DISK_FULL, "INSERT INTO entry"),
            (DISK_BROKEN, "COMMIT"),
            (LOCKED, "BEGIN IMMEDIATE"),
        ):
            with self.subTest(error), self.assertLogs("gochatsecure.log", "ERROR") as logged:
                self.store.fail(statement, error)
                text = f"during-{statement.split()[0]}"
                for one in (await self.alice.say(text), await self.alice.say(text)):
                    self.assertEqual((one["code"], one["temporary"]), ("store_unavailable", True))
                    self.assertGreater(one["retry_after_ms"], 0)
                self.assertIn(str(error), logged.output[0])
                self.assertNotIn(text, "".join(logged.output))
                await self.check_that_life_goes_on()
                self.assertEqual(self.bob.shown, said)
                self.store.mend()
                self.assertFalse((await self.alice.say(text))["dup"])
                said.append(text)
        await self.bob.do("ping")
        await self.check_store(*said)

    async def test_a_disk_that_is_really_full_takes_messages_again_when_there_is_room(self) -> None:
        await self.alice.say("first")
        writer = self.store.opened[0]
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        said = ["first"]
        with self.assertLogs("gochatsecure.log", "ERROR"):
            while "seq" in (answer := await self.alice.do("send", room="den", text="x" * 4000, cid=f"{len(said)}")):
                said.append("x" * 4000)
        self.assertEqual(answer["code"], "store_unavailable")
        await self.check_that_life_goes_on()
        writer.execute("PRAGMA max_page_count = 1000000")
        await self.alice.say("last")
        await self.bob.do("ping")
        await self.check_store(*said, "last")

    async def test_a_store_that_another_program_has_locked_makes_senders_wait(self) -> None:
        await self.alice.say("first")
        self.store.opened[0].execute(f"PRAGMA busy_timeout = {1000 * PATIENCE:.0f}")
        with closing(sqlite3.connect(self.path, isolation_level=None)) as intruder:
            intruder.execute("BEGIN IMMEDIATE")
            asked = self.alice.ask("send", room="den", text="waits", cid="1")
            await eventually(lambda: self.store.count("BEGIN IMMEDIATE") == 2)
            await self.check_that_life_goes_on()
            self.assertEqual(self.bob.shown, ["first"])
            intruder.execute("ROLLBACK")
        self.assertEqual((await asyncio.wait_for(self.alice.answer(asked), PATIENCE))["seq"], 2)
        await self.bob.do("ping")
        await self.check_store("first", "waits")

    async def test_a_commit_that_hangs_keeps_its_senders_waiting_and_nobody_else(self) -> None:
        await self.alice.say("first")
        with self.store.hold("COMMIT") as held:
            asked = [self.alice.ask("send", room="den", text=f"{number}", cid=f"{number}") for number in range(3)]
            await asyncio.to_thread(held.wait, PATIENCE)
            await self.check_that_life_goes_on()
            self.assertEqual(self.bob.shown, ["first"])
        acks = [(await asyncio.wait_for(self.alice.answer(one), PATIENCE))["seq"] for one in asked]
        self.assertEqual(acks, [2, 3, 4])
        await self.bob.do("ping")
        await self.check_store("first", "0", "1", "2")

    async def test_more_than_the_queue_holds_is_refused_while_a_commit_hangs(self) -> None:
        for speaker in (self.alice, self.bob):
            await speaker.leave()
        await self.server.close(PATIENCE)  # with less, the store's thread may still be letting go of it
        self.server = await self.serve(limits=Limits(queue=2))
        alice, bob = await self.speaker("alice"), await self.speaker("bob")
        with self.store.hold("COMMIT") as held:
            waiting = alice.ask("send", room="den", text="a", cid="a")
            await asyncio.to_thread(held.wait, PATIENCE)
            queued = alice.ask("send", room="den", text="b", cid="b")
            await _under_way(self.server, 2)
            refused = await bob.say("c")
            self.assertEqual((refused["code"], refused["temporary"]), ("store_busy", True))
        self.assertEqual([(await alice.answer(one))["seq"] for one in (waiting, queued)], [1, 2])
        self.assertEqual((await bob.say("c"))["seq"], 3)

    async def test_a_store_that_cannot_be_read_is_told_and_open_rooms_go_on(self) -> None:
        await self.alice.say("first")
        self.store.fail("BEGIN DEFERRED", DISK_BROKEN)
        with self.assertLogs("gochatsecure.log", "ERROR"):
            refused = await self.bob.do("join", room="another")
        self.assertEqual((refused["code"], refused["temporary"]), ("store_unavailable", True))
        await self.alice.say("second")
        self.assertEqual(await self.bob.do("ping"), {})
        self.assertEqual(self.bob.shown, ["first", "second"])
        self.store.mend()
        self.assertEqual((await self.bob.do("join", room="another"))["total"], 1)

    async def test_the_library_client_sends_until_it_is_stored(self) -> None:
        bearer = await sign_in(self.server.url, "dora", client_context())
        async with ChatClient(self.server.url, bearer, context=client_context(), jitter=lambda: 0.0) as dora:
            await dora.join("den")
            self.store.fail("COMMIT", DISK_FULL)
            with self.assertLogs("gochatsecure.log", "ERROR"):
                sending = asyncio.create_task(dora.send("den", "at last", cid="d"))
                await eventually(lambda: self.store.count("ROLLBACK"))
            self.assertFalse(sending.done())
            self.store.mend()
            ack = await asyncio.wait_for(sending, PATIENCE)
        self.assertEqual((ack["seq"], ack["dup"]), (1, False))
        await self.bob.do("ping")
        await self.check_store("at last")


async def _under_way(server: ChatServer, drafts: int) -> None:
    """So many drafts are under way."""
    log: Any = server._log
    await eventually(lambda: log._under_way == drafts)
