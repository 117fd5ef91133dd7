"""A client that is none of ours: the `websockets` library talks with the server. Over real TLS."""

from __future__ import annotations

import asyncio
import json
import unittest
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from gochatsecure import ChatServer, Limits
from gochatsecure.conformance.validate import faults
from tests.live.support import LiveTestCase
from tests.support import PATIENCE, ROOT, client_context, token

HERE = find_spec("websockets") is not None
if HERE:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.typing import Subprotocol


@unittest.skipUnless(HERE, "these tests need the websockets library: pip install websockets")
class TheWebsocketsLibrary(LiveTestCase):
    async def join(self, server: ChatServer, name: str, room: str = "default", **options: Any) -> ClientConnection:
        """Signed in and in that room, having seen itself join."""
        client = await self.dial(server, f"/ws?token={await token(server, name)}&room={room}", **options)
        while await self.hear(client) != f"{name} joined the room":
            pass
        return client

    async def dial(self, server: ChatServer, target: str, **options: Any) -> ClientConnection:
        where = f"wss://localhost:{server.port}{target}"
        options |= dict.fromkeys(("open_timeout", "ping_timeout", "close_timeout"), PATIENCE)
        client = await connect(where, ssl=client_context(), host="127.0.0.1", proxy=None, **options)
        self.addAsyncCleanup(client.close)
        return client

    async def hear(self, client: ClientConnection) -> str:
        text = await asyncio.wait_for(client.recv(), PATIENCE)
        assert isinstance(text, str)
        return text

    async def closed(self, client: ClientConnection) -> tuple[int, str]:
        with self.assertRaises(ConnectionClosed) as caught:
            while True:
                await self.hear(client)
        assert caught.exception.rcvd is not None
        return caught.exception.rcvd.code, caught.exception.rcvd.reason

    async def test_talks_in_two_rooms_at_once(self) -> None:
        server = await self.start()
        people = [await self.join(server, name, room) for name, room in (("alice", "one"), ("bob", "two"))]
        guests = [await self.join(server, name, room) for name, room in (("carol", "one"), ("dave", "two"))]
        for person in people:
            await self.hear(person)
        await people[0].send("hello one")
        await people[1].send("hello two")
        heard = [await self.hear(client) for client in (*people, *guests)]
        self.assertEqual(heard, ["alice: hello one", "bob: hello two"] * 2)

    async def test_sends_private_messages_across_rooms(self) -> None:
        server = await self.start()
        alice, bob = await self.join(server, "alice", "one"), await self.join(server, "bob", "two")
        await alice.send("@bob psst")
        self.assertEqual(await self.hear(alice), "(Private) to bob: psst")
        self.assertEqual(await self.hear(bob), "(Private) alice: psst")

    async def test_goes_from_room_to_room_and_asks(self) -> None:
        server = await self.start()
        alice = await self.join(server, "alice")
        for asked, answer in (
            ("/who", "# in default: alice"),
            ("/join other", "alice joined the room"),
            ("/rooms", "# rooms: other (1)"),
            ("/me waves", "* alice waves"),
            ("//x", "alice: /x"),
            ("/history", "* alice waves"),
        ):
            await alice.send(asked)
            self.assertEqual(await self.hear(alice), answer)

    async def test_speaks_json_with_schemas_alone(self) -> None:
        """What a program needs that knows no code of ours: this library, and the published schemas."""
        server = await self.start()
        headers = {"Authorization": f"Bearer {await token(server, 'alice')}"}
        subprotocols = [Subprotocol("gochatsecure.v1.json")]
        alice = await self.dial(server, "/ws", subprotocols=subprotocols, additional_headers=headers)
        self.assertEqual(alice.subprotocol, subprotocols[0])
        frames = [json.loads(await self.hear(alice))]
        requests: tuple[dict[str, object], ...] = (
            {"op": "join", "id": 1, "room": "den"},
            {"op": "send", "id": 2, "room": "den", "cid": "c1", "text": "hi"},
            {"op": "history", "id": 3, "room": "den"},
        )
        for request in requests:
            await alice.send(json.dumps(request))
            while frames[-1].get("re") != request["id"]:
                frames.append(json.loads(await self.hear(alice)))
        names = ("event.welcome", "answer.join", "event.message", "answer.send", "answer.history")
        schemas = json.loads((ROOT / "docs" / "protocol" / "schemas.json").read_text("utf-8"))["$defs"]
        for name, found in zip(names, frames, strict=True):
            with self.subTest(name):
                self.assertEqual(faults(found, schemas[name], schemas, strict=True), [])

    async def test_negotiates_the_subprotocol_and_no_compression(self) -> None:
        server = await self.start()
        alice = await self.join(server, "alice", subprotocols=["gochatsecure.v1.lines"], compression="deflate")
        self.assertEqual(alice.subprotocol, "gochatsecure.v1.lines")
        assert alice.response is not None
        self.assertNotIn("Sec-WebSocket-Extensions", alice.response.headers)

    async def test_sends_fragments_and_long_texts_and_pings(self) -> None:
        server = await self.start()
        alice = await self.join(server, "alice")
        await alice.send(["frag", "ment", "ed"])
        self.assertEqual(await self.hear(alice), "alice: fragmented")
        await alice.send("\u00e9" * 2048)
        self.assertEqual(await self.hear(alice), "alice: " + "\u00e9" * 2048)
        await asyncio.wait_for(await alice.ping(), PATIENCE)

    async def test_leaves_with_its_own_code(self) -> None:
        server = await self.start()
        alice, bob = await self.join(server, "alice"), await self.join(server, "bob")
        await self.hear(alice)
        await bob.close(3000, "done")
        self.assertEqual((bob.close_code, bob.close_reason), (3000, ""))
        self.assertEqual(await self.hear(alice), "bob left the room")

    async def test_understands_why_it_is_closed(self) -> None:
        server = await self.start(message_rate=0.001, limits=Limits(refusals=3, sessions_per_identity=1))
        quitting = await self.join(server, "quitting")
        await quitting.send("/quit")
        self.assertEqual(await self.closed(quitting), (1000, "bye"))
        binary = await self.join(server, "binary")
        await binary.send(b"\x00")
        self.assertEqual(await self.closed(binary), (1003, "text messages only"))
        long = await self.join(server, "long")
        await long.send("x" * 65537)
        self.assertEqual((await self.closed(long))[0], 1009)
        flooding = await self.join(server, "flooding")
        with suppress(ConnectionClosed):  # which may come before the last of these
            for _ in range(10):
                await flooding.send("x")
        self.assertEqual((await self.closed(flooding))[0], 4429)
        ticket = await token(server, "twice")
        first, second = [await self.dial(server, f"/ws?token={ticket}&room=quiet") for _ in range(2)]
        self.assertEqual((await self.closed(second))[0], 4409)
        self.assertEqual(await self.hear(first), "twice joined the room")
        closing = asyncio.create_task(server.close(30))
        self.assertEqual((await self.closed(first))[0], 1001)
        await closing

    async def test_is_told_why_it_may_not_connect(self) -> None:
        server = await self.start()
        for target, status in (("/ws", 401), ("/ws?token=x", 401), ("/nowhere", 404), ("/healthz", 200)):
            with self.subTest(target), self.assertRaises(InvalidStatus) as caught:
                await self.dial(server, target)
            self.assertEqual(caught.exception.response.status_code, status)

    async def test_hears_a_busy_room_whole_and_in_order(self) -> None:
        server = await self.start()
        people = [await self.join(server, f"guest{number}") for number in range(5)]
        said = 100

        async def speak(client: ClientConnection) -> None:
            for number in range(said):
                await client.send(f"{number}")

        async def listen(client: ClientConnection) -> list[str]:
            heard: list[str] = []
            while len(heard) < said * len(people):
                text = await self.hear(client)
                if ": " in text:
                    heard.append(text)
            return heard

        heard, *_ = results = await asyncio.gather(*map(listen, people), *map(speak, people))
        for other in results[1 : len(people)]:
            self.assertEqual(other, heard)
        for number in range(len(people)):
            own = [text for text in heard or [] if text.startswith(f"guest{number}: ")]
            self.assertEqual(own, [f"guest{number}: {count}" for count in range(said)])
