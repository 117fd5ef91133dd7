"""Where a client's own steps cross each other, or a server does what it should not. Each test is named for a fault."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from unittest import mock

from gochatsecure import Limits
from gochatsecure.chat.errors import Refusal, Temporary
from gochatsecure.chat.model import Cursor
from gochatsecure.client import (
    ChatClient,
    ClientError,
    ConnectionRefused,
    HistoryFork,
    RequestRefused,
    register,
    sign_in,
)
from gochatsecure.client.client import INBOX
from gochatsecure.live.doors import Doors
from gochatsecure.wire.frames import frame
from gochatsecure.wire.json_v1 import JSONFormat
from tests.live.support import eventually, skip
from tests.support import PATIENCE, client_context

from .test_client import ClientTestCase


class Joining(ClientTestCase):
    async def test_a_room_has_one_name_however_it_is_written(self) -> None:
        chat = await self.client(await self.start(), "alice")
        await chat.join("Den")
        await chat.join("den")
        await chat.send("DEN", "hi")
        (event,) = await self.take(chat, 1)
        self.assertEqual(event["room"], "den")
        await chat.leave("dEN")
        with self.assertRaises(RequestRefused):
            await chat.send("den", "hi")

    async def test_what_is_sent_while_one_joins_waits_for_that(self) -> None:
        chat = await self.client(await self.start(), "alice")
        joined, ack = await asyncio.gather(chat.join("den"), chat.send("den", "hi"))
        self.assertEqual((joined["last"], ack["seq"]), (0, 1))

    async def test_who_waits_to_be_in_a_room_that_is_left_is_told(self) -> None:
        chat = await self.client(await self.start(), "alice")
        joining = asyncio.create_task(chat.join("den"))
        await asyncio.sleep(0)
        await chat.leave("den")
        with self.assertRaises(RequestRefused):
            await asyncio.wait_for(joining, PATIENCE)
        with self.assertRaises(RequestRefused):
            await chat.send("den", "hi")

    async def test_leaving_and_joining_at_once_ends_inside(self) -> None:
        chat = await self.client(await self.start(), "alice")
        await chat.join("den")
        leaving = asyncio.create_task(chat.leave("den"))
        await asyncio.sleep(0)
        await asyncio.wait_for(chat.join("den"), PATIENCE)
        await leaving
        self.assertEqual((await chat.send("den", "hi"))["seq"], 1)

    async def test_a_loss_while_leaving_does_not_leave_the_room_that_was_joined_again(self) -> None:
        server = await self.start()
        chat = await self.client(server, "alice")
        await chat.join("den")
        leaving = asyncio.create_task(chat.leave("den"))
        await asyncio.sleep(0)
        await self.drop(server)
        joining = asyncio.create_task(chat.join("den"))
        await asyncio.wait_for(asyncio.gather(leaving, joining), PATIENCE)
        self.assertEqual((await asyncio.wait_for(chat.send("den", "hi"), PATIENCE))["seq"], 1)

    async def test_a_join_that_is_refused_for_a_while_is_asked_again(self) -> None:
        chat = await self.client(await self.start(), "alice")
        join, tries = Doors.join, 0

        async def busy(doors: Doors, *arguments: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise Temporary("store_busy", "later", 1)
            return await join(doors, *arguments)

        with mock.patch.object(Doors, "join", busy):
            await asyncio.wait_for(chat.join("den"), PATIENCE)
        self.assertEqual(tries, 3)

    async def test_who_is_not_let_back_in_is_told_and_what_waited_is_refused(self) -> None:
        server = await self.start()
        chat = await self.client(server, "alice")
        await chat.join("den")

        async def forbid(doors: Doors, *arguments: Any) -> Any:
            raise Refusal("room_forbidden", "no")

        with mock.patch.object(Doors, "join", forbid):
            await self.drop(server)
            with self.assertRaises(RequestRefused):
                await asyncio.wait_for(chat.send("den", "hi"), PATIENCE)
        (event,) = await self.take(chat, 1, "removed")
        self.assertEqual((event["room"], event["code"]), ("den", "room_forbidden"))

    async def test_who_is_taken_out_knows_that_it_has_to_join_again(self) -> None:
        server = await self.start()
        bearer = await register(server.url, "olga", "correct horse", client_context())
        olga, bob = await self.client(server, "olga", bearer), await self.client(server, "bob")
        await olga.join("den")
        await olga.request("role", room="den", name="olga", role="owner", cid="1")
        await bob.join("den")
        await olga.request("kick", room="den", name="bob", cid="2")
        (event,) = await self.take(bob, 1, "removed")
        self.assertEqual((event["room"], event["code"]), ("den", "kicked"))
        with self.assertRaises(RequestRefused):
            await bob.send("den", "hi")
        await bob.join("den")
        self.assertEqual((await bob.send("den", "hi"))["seq"], 3)

    async def test_rooms_are_not_joined_or_left_behind_its_back(self) -> None:
        chat = await self.client(await self.start(), "alice")
        for op in ("join", "leave"):
            with self.assertRaises(ValueError):
                await chat.request(op, room="den")


class Waiting(ClientTestCase):
    async def test_a_flood_stays_within_what_a_server_takes(self) -> None:
        """More at once than the rate allows, and more refusals in a row than a session may have."""
        server = await self.start(message_rate=200, limits=Limits(refusals=40, message_burst_s=0.1))
        chat = await self.client(server, "alice", jitter=lambda: 0.5)
        await chat.join("den")
        acks = await asyncio.wait_for(asyncio.gather(*(chat.send("den", str(n)) for n in range(150))), PATIENCE)
        self.assertEqual(sorted(ack["seq"] for ack in acks), list(range(1, 151)))
        self.assertEqual(chat.welcome["session"], "1", "it was sent away")

    async def test_what_nobody_waits_for_any_longer_is_not_sent_again(self) -> None:
        server = await self.start()
        chat = await self.client(server, "alice")
        await chat.join("den")
        await self.drop(server)
        await eventually(lambda: chat._line is None)
        sending = asyncio.create_task(chat.send("den", "forget it"))
        await asyncio.sleep(0)
        sending.cancel()
        self.assertEqual((await asyncio.wait_for(chat.send("den", "hi"), PATIENCE))["seq"], 1)

    async def test_whoever_gives_up_connecting_leaves_nothing_behind(self) -> None:
        server = await self.start()
        bearer = await sign_in(server.url, "alice", client_context())
        await server.close()
        chat = ChatClient(server.url, bearer, context=client_context(), backoff=(0.01,))
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.05):
                await chat.__aenter__()
        assert chat._task is not None
        self.assertTrue(chat._task.done())

    async def test_a_connection_on_which_nothing_comes_is_lost(self) -> None:
        """It may be half open: then what is written to it goes nowhere, and no error comes back."""
        server = await self.start(limits=Limits(ping_s=7200, silence_s=7200))  # it does not ask, either
        chat = await self.client(server, "alice", timeout=3600)
        await chat.join("den")
        await skip(3601)
        await eventually(lambda: chat.welcome["session"] != "1")
        self.assertEqual((await asyncio.wait_for(chat.send("den", "hi"), PATIENCE))["seq"], 1)

    async def test_closing_ends_whoever_waits(self) -> None:
        server = await self.start()
        chat = await self.client(server, "alice")
        await chat.join("den")
        await self.drop(server)
        await eventually(lambda: chat._line is None)
        waiting = [asyncio.create_task(chat.send("den", "hi")), asyncio.create_task(chat.__anext__())]
        await asyncio.sleep(0)
        await chat.close()
        for task in waiting:
            with self.assertRaises(ClientError):
                while True:  # events that had come before are handed out
                    await asyncio.wait_for(task, PATIENCE)
                    task = asyncio.create_task(chat.__anext__())

    async def test_a_server_that_lets_in_and_sends_away_is_asked_ever_more_rarely(self) -> None:
        server = await self.start()
        tries: list[float] = []
        chat = await self.client(server, "alice", backoff=(0.0, 0.02, 0.05, 60), jitter=lambda: 0.5)
        loop = asyncio.get_running_loop()
        begin = chat._begin

        async def send_away(welcome: dict[str, Any]) -> None:
            tries.append(loop.time())
            await begin(welcome)
            await self.drop(server)

        with mock.patch.object(chat, "_begin", send_away):
            await self.drop(server)
            await eventually(lambda: len(tries) == 3)
            await eventually(lambda: chat._line is None)
            await asyncio.sleep(0.1)
        self.assertEqual(len(tries), 3)  # the fourth comes after a minute


class Cursors(ClientTestCase):
    async def test_a_first_place_is_saved_before_anything_is_shown_there(self) -> None:
        """Else another run would miss what came between the two."""
        server = await self.start()
        saved: dict[str, Cursor] = {}
        bearer = await sign_in(server.url, "alice", client_context())
        alice = await self.client(server, "alice", bearer, save=saved.__setitem__)
        await alice.join("den")
        taking = asyncio.create_task(alice.__anext__())
        await eventually(lambda: set(saved) == {INBOX, "den"})
        taking.cancel()
        await alice.close()
        bob = await self.client(server, "bob")
        await bob.join("den")
        await bob.send("den", "meanwhile")
        again = await self.client(server, "alice", bearer, cursors=saved)
        await again.join("den")
        (event,) = await self.take(again, 1)
        self.assertEqual(event["text"], "meanwhile")

    async def test_an_inbox_that_has_forgotten_is_a_fork_and_one_without_a_head_is_not(self) -> None:
        server = await self.start()
        bearer = await sign_in(server.url, "alice", client_context())
        alice = await self.client(server, "alice", bearer)
        epoch = alice.welcome["inbox"]["epoch"]
        for cursor in (Cursor(epoch, 5), Cursor(epoch, 0, bytes(32))):
            with self.assertRaises(HistoryFork):
                chat = await self.client(server, "alice", bearer, cursors={INBOX: cursor})
                await asyncio.wait_for(chat.__anext__(), PATIENCE)
        chat = await self.client(server, "alice", bearer, cursors={INBOX: Cursor(epoch, 0)})
        await chat.private("alice", "a note")
        self.assertEqual((await self.take(chat, 1, "private"))[0]["seq"], 1)

    async def test_a_loss_amid_the_inbox_s_replay_does_not_keep_back_what_comes_later(self) -> None:
        server = await self.start(limits=Limits(replay_page=1))
        bearer = await sign_in(server.url, "alice", client_context())
        first = await self.client(server, "alice", bearer)
        epoch = first.welcome["inbox"]["epoch"]
        for number in range(20):
            await first.private("alice", str(number))
        second = await self.client(server, "alice", bearer, cursors={INBOX: Cursor(epoch, 0)}, buffer=1)
        await self.take(second, 1, "private")
        await self.drop(server)
        events = await self.take(second, 19, "private")
        self.assertEqual([event["seq"] for event in events], list(range(2, 21)))
        self.assertIsNone(second._early)


class Strangers(ClientTestCase):
    async def test_a_server_of_another_protocol_ends_the_client(self) -> None:
        server = await self.start()
        texts = ("[]", "hello", "{}", '{"event":"welcome"}', "5", '{"re":1,"ok":{}}')
        for name, text in zip(("ann", "ben", "cleo", "dan", "eve", "fay"), texts, strict=True):
            with self.subTest(text):
                bearer = await sign_in(server.url, name, client_context())
                with mock.patch.object(JSONFormat, "frames", lambda *_, text=text: frame(text)):
                    chat = ChatClient(server.url, bearer, context=client_context())
                    self.addAsyncCleanup(chat.close)
                    if text.startswith('{"re"'):  # an answer to nothing is no harm
                        with self.assertRaises(TimeoutError):
                            async with asyncio.timeout(0.2):
                                await chat.__aenter__()
                        continue
                    with self.assertRaises(ConnectionRefused) as caught:
                        await asyncio.wait_for(chat.__aenter__(), PATIENCE)
                    self.assertEqual(caught.exception.code, 1002)

    async def test_a_certificate_that_is_not_good_is_said_at_once(self) -> None:
        server = await self.start()
        chat = ChatClient(server.url, "token", context=ssl.create_default_context())
        with self.assertRaisesRegex(ConnectionRefused, "certificate"):
            await asyncio.wait_for(chat.__aenter__(), PATIENCE)

    async def test_why_one_is_not_let_in_is_told_in_the_server_s_words(self) -> None:
        server = await self.start()
        chat = ChatClient(server.url, "no.good.token", context=client_context())
        with self.assertRaisesRegex(ConnectionRefused, "base64url"):
            await asyncio.wait_for(chat.__aenter__(), PATIENCE)


@mock.patch("gochatsecure.client.client._EARLY", 1e-5)
@mock.patch("gochatsecure.client.client._RENEW_AGAIN", 0.01)
class Renewing(ClientTestCase):
    async def test_a_token_is_renewed_before_it_expires(self) -> None:
        server = await self.start()
        chat = await self.client(server, "alice")
        first = chat._token
        assert server._hub is not None
        (session,) = server._hub.sessions
        identity = session.identity
        await eventually(lambda: session.identity is not identity)
        self.assertNotEqual(chat._token, first)
        self.assertGreaterEqual(session.identity.expires, identity.expires)

    async def test_who_gets_no_newer_token_goes_on_until_this_one_expires(self) -> None:
        asked: list[str] = []

        async def renew(token: str) -> str:
            asked.append(token)
            raise OSError if len(asked) == 1 else ConnectionRefused(403, "no")

        chat = await self.client(await self.start(), "alice", renew=renew)
        await eventually(lambda: chat._renewing is not None and chat._renewing.done())
        self.assertEqual(len(asked), 2)
        self.assertEqual(await chat.request("ping"), {})
