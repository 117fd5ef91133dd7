"""The library client against real servers: over TLS, through losses of the connection and of the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gochatsecure import ChatServer, Limits
from gochatsecure.chat.model import Cursor
from gochatsecure.client import ChatClient, ClientError, ConnectionRefused, HistoryFork, RequestRefused, sign_in
from gochatsecure.client.client import INBOX
from tests.support import PATIENCE, ServerTestCase, client_context, reserved_port, temporary_folder


class ClientTestCase(ServerTestCase):
    async def client(self, server: ChatServer, name: str, bearer: str | None = None, **options: Any) -> ChatClient:
        bearer = bearer or await sign_in(server.url, name, client_context())
        options.setdefault("backoff", (0.01, 0.05))
        chat = ChatClient(server.url, bearer, context=client_context(), **options)
        await asyncio.wait_for(chat.__aenter__(), PATIENCE)
        self.addAsyncCleanup(chat.close)
        return chat

    async def take(self, chat: ChatClient, count: int, kind: str = "message") -> list[dict[str, Any]]:
        """The next events of that kind."""
        taken: list[dict[str, Any]] = []
        async with asyncio.timeout(PATIENCE):
            while len(taken) < count:
                event = await chat.__anext__()
                if event["event"] == kind:
                    taken.append(event)
        return taken

    async def drop(self, server: ChatServer) -> None:
        """Every connection is lost, without a Close frame."""
        assert server._listener is not None
        for connection in list(server._listener._connections):
            connection.abort("test")
        await asyncio.sleep(0)


class Talking(ClientTestCase):
    async def test_what_is_sent_is_acknowledged_and_shown(self) -> None:
        server = await self.start()
        alice, bob = await self.client(server, "alice"), await self.client(server, "bob")
        await alice.join("den")
        await bob.join("den")
        ack = await alice.send("den", "hi")
        self.assertEqual((ack["seq"], ack["dup"]), (1, False))
        for chat in (alice, bob):
            (event,) = await self.take(chat, 1)
            self.assertEqual((event["from"], event["text"], event["seq"]), ("alice", "hi", 1))
        await bob.private("alice", "psst")
        (event,) = await self.take(alice, 1, "private")
        self.assertEqual(event["text"], "psst")

    async def test_a_refused_request_raises_what_the_server_says(self) -> None:
        chat = await self.client(await self.start(), "alice")
        for op, fields, code in (
            ("send", {"room": "den", "text": "hi", "cid": "1"}, "not_a_member"),
            ("members", {"room": "a b"}, "room_invalid"),
            ("shout", {}, "op_unknown"),
        ):
            with self.assertRaises(RequestRefused) as caught:
                await chat.request(op, **fields)
            self.assertEqual(caught.exception.code, code)
        with self.assertRaises(RequestRefused):
            await chat.join("a b")

    async def test_every_other_request_is_a_method_of_its_own_name(self) -> None:
        chat = await self.client(await self.start(), "alice")
        await chat.join("den")
        await chat.send("den", "teh")
        await chat.request("edit", room="den", seq=1, text="the", cid="e")
        (message,) = (await chat.request("history", room="den"))["messages"]
        self.assertEqual(message["text"], "the")
        reacted = await chat.request("react", room="den", seq=1, emoji="+")  # what is stored has a cid, given or not
        self.assertTrue(reacted["cid"])
        await chat.leave("den")
        with self.assertRaises(RequestRefused):
            await chat.send("den", "x")

    async def test_who_is_not_let_in_is_told_at_once(self) -> None:
        server = await self.start()
        with self.assertRaises(ConnectionRefused) as caught:
            await self.client(server, "alice", "not.a.token")
        self.assertEqual(caught.exception.code, 401)
        with self.assertRaises(ConnectionRefused):
            await sign_in(server.url, "a b", client_context())

    async def test_a_closed_client_says_so(self) -> None:
        chat = await self.client(await self.start(), "alice")
        await chat.close()
        with self.assertRaises(ClientError):
            await chat.request("ping")
        with self.assertRaises(ClientError):
            await chat.__anext__()


class Losing(ClientTestCase):
    async def test_what_was_missed_is_shown_once_and_in_order(self) -> None:
        server = await self.start(limits=Limits(replay_page=5))  # so that it comes back in several steps
        alice, bob = await self.client(server, "alice"), await self.client(server, "bob")
        await alice.join("den")
        await bob.join("den")
        sending = asyncio.gather(*(alice.send("den", str(number)) for number in range(200)))
        for _ in range(5):
            await asyncio.sleep(0.01)
            await self.drop(server)
        acks = await asyncio.wait_for(sending, PATIENCE)
        self.assertEqual(sorted(ack["seq"] for ack in acks), list(range(1, 201)))
        for chat in (alice, bob):
            events = await self.take(chat, 200)
            self.assertEqual([event["seq"] for event in events], list(range(1, 201)))
            self.assertEqual({event["text"] for event in events}, {str(number) for number in range(200)})

    async def test_a_server_that_is_started_again_goes_on_with_the_same_client(self) -> None:
        data, port = temporary_folder() / "data", self.enterContext(reserved_port())
        first = await self.on_disk(data, port)
        alice = await self.client(first, "alice")
        await alice.join("den")
        await alice.send("den", "before")
        await first.close()
        sending = asyncio.create_task(alice.send("den", "meanwhile"))
        await asyncio.sleep(0.02)
        await self.on_disk(data, port)
        self.assertEqual((await asyncio.wait_for(sending, PATIENCE))["seq"], 2)
        self.assertEqual([event["text"] for event in await self.take(alice, 2)], ["before", "meanwhile"])

    async def on_disk(self, data: Path, port: int) -> ChatServer:
        return await self.start(
            data=data, store=f"sqlite:{data}/chat.db", addr=f"localhost:{port}", durability="process"
        )

    async def test_private_messages_that_were_missed_are_shown_once(self) -> None:
        server = await self.start()
        alice, bob = await self.client(server, "alice"), await self.client(server, "bob")
        await bob.private("alice", "0")
        for number in range(1, 40):
            if number % 8 == 0:
                await self.drop(server)
            while True:
                try:
                    await asyncio.wait_for(bob.private("alice", str(number), cid=str(number)), PATIENCE)
                    break
                except RequestRefused as refused:  # alice is not back yet
                    self.assertEqual(refused.code, "not_connected")
                    await asyncio.sleep(0.01)
        events = await self.take(alice, 40, "private")
        self.assertEqual([event["seq"] for event in events], list(range(1, 41)))

    async def test_a_cursor_that_was_saved_goes_on_in_another_run(self) -> None:
        server = await self.start()
        saved: dict[str, Cursor] = {}
        bearer = await sign_in(server.url, "alice", client_context())
        alice = await self.client(server, "alice", bearer, save=saved.__setitem__)
        await alice.join("den")
        for number in range(3):
            await alice.send("den", str(number))
        await self.take(alice, 2)  # the third was not handed out
        await alice.close()
        self.assertEqual(saved["den"].seq, 2)
        again = await self.client(server, "alice", bearer, cursors=saved)
        await again.join("den")
        (event,) = await self.take(again, 1)
        self.assertEqual((event["seq"], event["text"]), (3, "2"))

    async def test_the_same_cid_is_stored_once_also_by_another_run(self) -> None:
        server = await self.start()
        bearer = await sign_in(server.url, "alice", client_context())
        for dup in (False, True):
            chat = await self.client(server, "alice", bearer)
            await chat.join("den")
            ack = await chat.send("den", "hi", cid="c1")
            self.assertEqual((ack["seq"], ack["dup"]), (1, dup))
            await chat.close()


class Checking(ClientTestCase):
    async def test_a_log_that_begins_anew_is_told_as_a_gap(self) -> None:
        server = await self.start()
        cursors = {"den": Cursor("another", 5, bytes(32)), INBOX: Cursor("another", 1)}
        chat = await self.client(server, "alice", cursors=cursors)
        await chat.join("den")
        gaps = await self.take(chat, 2, "gap")
        self.assertEqual([gap.get("room") for gap in gaps], [None, "den"])
        await chat.send("den", "hi")
        self.assertEqual((await self.take(chat, 1))[0]["seq"], 1)

    async def test_a_history_that_was_changed_ends_the_client(self) -> None:
        server = await self.start()
        alice = await self.client(server, "alice")
        await alice.join("den")
        epoch = (await alice.send("den", "hi"))["epoch"]
        bob = await self.client(server, "bob", cursors={"den": Cursor(epoch, 1, bytes(32))})
        with self.assertRaises(HistoryFork):
            await asyncio.wait_for(bob.join("den"), PATIENCE)
        with self.assertRaises(HistoryFork):
            while True:
                await asyncio.wait_for(bob.__anext__(), PATIENCE)
