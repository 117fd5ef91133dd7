"""What a stranger can reach is what docs/security/controls.toml lists, and small enough to be read."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any
from unittest import mock

from gochatsecure import ChatServer, Limits
from gochatsecure.auth import passwords
from gochatsecure.journal import JSONFormatter, TextFormatter
from gochatsecure.live.stage import Hold
from tests.live.support import LiveTestCase, eventually, frame, handshake, read_on, server_end, skip, stop_reading
from tests.support import ROOT, Raw, Rejected, request, temporary_folder
from tools.audit import PACKAGE, ceiling, surface

TESTS = ROOT / "tests"


def posted(target: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


JSON = "Content-Type: application/json"
FORGED = "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA"
DAVE = b'{"username": "dave", "password": "correct horse"}'
STRANGERS = (  # each on a connection of its own, which the server answers or closes
    b"GET / HTTP/1.1\r\nHost: chat.example.org\r\n\r\n",
    b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /readyz HTTP/1.0\r\n\r\n",
    b"\r\nGET /auth?username=alice HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /auth?username=%D0%B0lice HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /auth?username=%D9%85%D8%B1%D9%8A%D9%85 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /auth?username=admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /auth?username=bob HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\n\r\n",
    b"GET /auth HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /auth?a=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
    b"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA\r\n\r\n",
    b"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"DELETE /auth HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /nowhere?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000,
    b"nonsense\n\n",
    *(
        posted(target, body, JSON)
        for target in ("/register", "/auth")  # the names of accounts, and their passwords
        for body in (
            DAVE,
            DAVE.replace(b"dave", b"d\xd0\xb0ve"),
            DAVE.replace(b"dave", b"admin"),
            DAVE.replace(b"correct", b"wrong"),
            DAVE.replace(b"correct horse", b"short"),
            DAVE.replace(b"correct horse", b"password1"),
            DAVE.replace(b"correct horse", b"dave1234"),
            DAVE.replace(b"correct horse", b"x" * 1025),
            DAVE.replace(b"correct", b"\\ud800"),
            DAVE.replace(b"dave", b"nobody"),
            DAVE.replace(b'"dave"', b"NaN"),
            DAVE.replace(b"}", b', "username": "erin"}'),
            DAVE[:-1],
            b"[" * 4000,
            b"",
        )
    ),
    posted("/auth", DAVE),
    posted("/auth", b"username=dave&password=x", "Content-Type: application/x-www-form-urlencoded"),
    posted("/register", DAVE, JSON, FORGED),
    posted("/auth/password", b'{"password": "correct horse", "new_password": "battery staple"}', JSON, FORGED),
    posted("/auth/sign-out", b"", FORGED),
    b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n{",
)
ASKED_OF_THE_STORE = (
    "SQLiteAccounts.",
    "AccountTable.",
    "SQLiteLog.marks",
    "SQLiteLog._ask",
    "Reader.marks",
    "Reader.snapshot",
    "_",
)
"""Who is registered, and whether somebody who has signed in elsewhere has the name."""


def symbol(code: CodeType) -> str:
    """The function that this is, or is a part of, as the list names it."""
    module = code.co_filename[len(str(PACKAGE)) + 1 :].removesuffix(".py").replace("/", ".")
    return f"{module}:{code.co_qualname.partition('.<locals>')[0]}"


class Surface(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        cheap = mock.patch.object(passwords, "PARAMETERS", passwords.Parameters(1, 1, 1))
        cheap.start()
        self.addCleanup(cheap.stop)

    @contextlib.contextmanager
    def watched(self) -> Iterator[set[CodeType]]:
        """What of ours is called meanwhile, in this thread and in those that begin meanwhile."""
        called: set[CodeType] = set()

        def note(frame: FrameType, event: str, argument: object) -> None:
            ours = event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE))
            if ours and (frame.f_back is None or not frame.f_back.f_code.co_filename.startswith(str(TESTS))):
                called.add(frame.f_code)

        for module in [module for name, module in sys.modules.items() if name.startswith("gochatsecure")]:
            for remembering in vars(module).values():
                if hasattr(remembering, "cache_clear"):  # else what other tests have asked for would not be reached
                    remembering.cache_clear()
        written = [logging.StreamHandler(io.StringIO()) for _ in range(2)]
        for handler, formatter in zip(written, (TextFormatter(), JSONFormatter()), strict=True):
            handler.setFormatter(formatter)
            logging.getLogger("gochatsecure").addHandler(handler)
        logging.getLogger("gochatsecure").setLevel(logging.INFO)
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            yield called
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            logging.getLogger("gochatsecure").setLevel(logging.NOTSET)
            for handler in written:
                logging.getLogger("gochatsecure").removeHandler(handler)

    async def begun(self, called: set[CodeType], **fields: Any) -> ChatServer:
        """As an operator starts one, on a disk. What has run until now, nobody has reached."""
        server = await self.start(store=f"sqlite:{temporary_folder() / 'chat.db'}", **fields)
        assert server._watch is not None and server._watch._task is not None
        await server.reload()
        server._watch._task.cancel()  # it looks at the operator's files, whoever is there
        await asyncio.wait([server._watch._task])
        await server._watch._worker.run(lambda: None)  # what that has begun in the thread is done now
        called.clear()
        return server

    async def strangers(self, server: ChatServer) -> None:
        """All that one can try without a token that is good."""
        for said in STRANGERS:
            async with await Raw.open(server) as raw:
                raw.send(said)
                await raw.read()
        for key in ("dGhlIHNhbXBsZSBub25jZQ==", "short"):
            for target, *headers in (
                ("/ws",),
                ("/ws?token=a.b.c",),
                ("/ws?token=eyJhbGciOiJIUzI1NiJ9.e30.AAAA&room=general",),
                ("/ws", "Origin: https://evil.example"),
                ("/ws", "Sec-WebSocket-Protocol: gochatsecure.v1.json, bearer.a.b.c"),
                ("/ws", "Sec-WebSocket-Version: 8"),
            ):
                async with await Raw.open(server) as raw:
                    asked = handshake(server, target, headers).replace(b"dGhlIHNhbXBsZSBub25jZQ==", key.encode())
                    raw.send(asked + frame("nobody hears this"))
                    self.assertNotIn(b" 101 ", await raw.read())
        leaving = await Raw.open(server)
        leaving.send(posted("/auth", DAVE, JSON))
        await leaving.abort()
        for _ in range(100):  # too often
            if (await request(server, "/auth?username=carol")).status == 429:
                break

    async def broken(self, server: ChatServer) -> None:
        """Peers that do not finish what they have begun, or do not speak our language."""
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("160301020001")):
            raw = Raw(*await asyncio.open_connection("127.0.0.1", server.port))
            self.addAsyncCleanup(raw.abort)
            raw.send(said)
            await asyncio.sleep(0.05)
        slow = await self.raw(server)
        slow.send(b"GET / HTTP/1.1\r\n")
        unread = await self.raw(server)
        unread.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await unread.answer()
        end = stop_reading(server, unread)
        unread.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        await eventually(lambda: end.held & Hold.WRITING)
        read_on(unread)
        await eventually(lambda: not end.held)
        end = server_end(server, await self.raw(server))
        await eventually(lambda: end._stage is not None)
        await skip(3600)
        await eventually(lambda: end._lost)

    async def test_just_what_is_listed_runs_before_a_sign_in(self) -> None:
        limits = Limits(tracked_addresses=1)
        with self.watched() as called:
            fields = {"sign_in_rate": 60, "max_connections_per_address": 50, "metrics": "10.0.0.0/8"}
            server = await self.begun(called, **fields, limits=limits)
            await self.strangers(server)
            await self.broken(server)
            crowd = [Raw(*await asyncio.open_connection("127.0.0.1", server.port)) for _ in range(60)]
            for raw in crowd:
                self.addAsyncCleanup(raw.abort)
            await crowd[-1].read()
        self.assertEqual({symbol(code) for code in called} - surface().keys(), set(), "reached, and not listed")
        self.assertEqual(surface().keys() - {symbol(code) for code in called}, set(), "listed, and not reached")

    async def test_who_holds_no_token_reaches_no_conversation(self) -> None:
        """Neither a room, nor a message in the store, nor a wire format."""
        with self.watched() as called:
            server = await self.begun(called, sign_in_rate=60)
            await self.strangers(server)
            with self.assertRaises(Rejected):
                await self.open(server, f"{time.time()}")
        rooms = ("chat/table", "chat/fold", "live/desk", "live/doors", "live/archive", "live/websocket_stage")
        reached = {code.co_filename[len(str(PACKAGE)) + 1 :] for code in called}
        self.assertEqual({file for file in reached if file.startswith((*rooms, "wire/lines", "wire/json_v1"))}, set())
        asked = {code.co_qualname.partition(".<locals>")[0] for code in called if "/log/" in code.co_filename}
        self.assertEqual({name for name in asked if not name.startswith(ASKED_OF_THE_STORE)}, set())

    def test_it_is_small_enough_to_be_read(self) -> None:
        self.assertLessEqual(sum(surface().values()), ceiling("surface"))
