"""The server's process is killed under load, again and again: what anybody was shown is there when it is back.

GOCHATSECURE_CRASHES says how often (5), GOCHATSECURE_SEED repeats the choices that a failing run has printed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import sqlite3
import subprocess
import sys
import unittest
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

from gochatsecure import ChatServer
from tests.support import PATIENCE, ROOT, Client, certificate, temporary_folder, token

CRASHES = int(os.environ.get("GOCHATSECURE_CRASHES", "5"))
SEED = int(os.environ.get("GOCHATSECURE_SEED", random.randrange(2**32)))
ROOMS = ("north", "south")
NAMES = ("ann", "ben", "cleo", "dan")
WINDOW = 16  # messages that a client sends ahead of what it is shown
MESSAGE = re.compile(r"(?:\(Private\) )?(?:to )?([a-z]+): ([0-9a-z.]+)")


class Process:
    """A server in a process of its own, on that port or a free one; `port` is what clients ask of a server."""

    def __init__(self, data: Path, durability: str, errors: IO[bytes], port: int = 0) -> None:
        pair = certificate()
        settings: dict[str, object] = {
            "addr": f"localhost:{port}",
            "cert": pair.cert,
            "key": pair.key,
            "data": data,
            "durability": durability,
            "history": 100_000,
            "message-rate": 0,
            "sign-in-rate": 0,
            "max-connections-per-address": 0,
        }
        command = [sys.executable, "-m", "gochatsecure", *(f"-{name}={value}" for name, value in settings.items())]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOCHATSECURE_")}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors)
        self.port = 0

    async def until_ready(self) -> ChatServer:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), PATIENCE)
        greeting = re.fullmatch(r"GoChatSecure \S+ at https://localhost:(\d+)\n", line.decode())
        assert greeting is not None, line
        self.port = int(greeting[1])
        return cast(ChatServer, self)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Talker:
    """One who says numbered things to a room and to a neighbour, and keeps what is shown in return."""

    def __init__(self, name: str, room: str, neighbour: str, client: Client) -> None:
        self.name = name
        self.room = room
        self.neighbour = neighbour
        self.client = client
        self.backlog: list[str] = []  # what the room's log held on joining
        self.heard: list[str] = []  # what was said in the room since
        self.private: list[str] = []  # what was shown of private messages, one's own and others'
        self.sent: list[str] = []

    @classmethod
    async def enter(cls, server: ChatServer, name: str, room: str, neighbour: str) -> Talker:
        client = await Client.open(server, await token(server, name), room)
        talker = cls(name, room, neighbour, client)
        seen = await client.until(f"{name} joined the room")
        talker.backlog = [line for line in seen if ": " in line]
        return talker

    def say(self, text: str, *, privately: bool) -> None:
        self.sent.append(text)
        self.client.send(f"@{self.neighbour} {text}" if privately else text)

    def take(self, line: str) -> bool:
        """Keep what is shown; True for what this one has said."""
        found = MESSAGE.fullmatch(line)
        if found is None:
            assert line.endswith((" joined the room", " left the room")), line
            return False
        if not line.startswith("(Private)"):
            self.heard.append(line)
            return found[1] == self.name
        self.private.append(found[2])
        return line.startswith("(Private) to ")


class CrashTestCase(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.random = random.Random(SEED)
        self.folder = temporary_folder()
        self.running: Process | None = None
        self.errors = self.enterContext((self.folder / "errors").open("w+b"))
        self.addCleanup(self.kill)
        asyncio_logger = logging.getLogger("asyncio")  # it warns of each write to a server that is dead
        self.addCleanup(asyncio_logger.setLevel, asyncio_logger.level)
        asyncio_logger.setLevel(logging.ERROR)

    def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running = None


class Crashes(CrashTestCase):
    async def test_what_was_shown_before_a_crash_is_there_after_it(self) -> None:
        with self.subTest(seed=SEED):
            for done in range(0, CRASHES, 20):
                self.data = self.folder / f"data-{done}"
                await self.crash_and_compare(min(20, CRASHES - done))

    async def crash_and_compare(self, crashes: int) -> None:
        everybody: list[Talker] = []  # of all runs
        for crash in range(crashes + 1):
            durability = self.random.choice(("power", "process"))  # a killed process is no power cut: both survive it
            self.running = Process(self.data, durability, self.errors)
            server = await self.running.until_ready()
            talkers = []
            for number, name in enumerate(NAMES):
                neighbour = NAMES[(number + 1) % len(NAMES)]
                talkers.append(await Talker.enter(server, name, ROOMS[number % len(ROOMS)], neighbour))
            self.check(everybody, talkers)
            everybody += talkers
            if crash < crashes:
                await self.talk_until_killed(talkers, crash)
            for talker in talkers:
                await talker.client.abort()
        self.kill()
        self.errors.seek(0)
        self.assertNotRegex(self.errors.read().decode(), "(?m)our bug|our own fault|Traceback|^[^ ]+ error ")

    async def talk_until_killed(self, talkers: list[Talker], run: int) -> None:
        """All talk at once, until a certain number of messages has been shown, and then for a moment more."""
        enough = asyncio.Event()
        left = [self.random.randrange(1, 1500)]
        moment = self.random.random() * 0.02

        async def talk(talker: Talker) -> None:
            choose = random.Random(f"{SEED} {run} {talker.name}")
            under_way = 0
            while True:
                while under_way < WINDOW:
                    talker.say(f"{run}.{talker.name}.{len(talker.sent)}", privately=choose.random() < 0.3)
                    under_way += 1
                line = await talker.client.receive()
                if line is None:
                    return
                under_way -= talker.take(line)
                left[0] -= 1
                if left[0] <= 0:
                    enough.set()

        tasks = [asyncio.create_task(talk(talker)) for talker in talkers]
        await asyncio.wait_for(enough.wait(), PATIENCE)
        await asyncio.sleep(moment)
        self.kill()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)

    def check(self, before: list[Talker], now: list[Talker]) -> None:
        """What those before the crash were shown, against the file and against what those after it are shown."""
        with closing(sqlite3.connect(f"file:{self.data}/chat.db?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT name, seq, sender, body FROM entry JOIN stream ON stream = id ORDER BY seq")
            logs: dict[str, list[tuple[str, str]]] = {}
            for name, seq, sender, body in rows:
                log = logs.setdefault(name, [])
                log.append((sender.partition("~")[0], self.text(json.loads(body))))
                self.assertEqual(seq, len(log), f"a gap in {name}")
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        for room in ROOMS:
            said = [f"{sender}: {text}" for sender, text in logs.get(f"room/{room}", [])]
            self.check_once(said)
            for talker in before:
                if talker.room == room:
                    shown = talker.backlog + talker.heard
                    self.assertEqual(shown, said[: len(shown)], f"{talker.name} saw another log of {room}")
            for talker in now:
                if talker.room == room:
                    self.assertEqual(talker.backlog, said, f"{talker.name} is shown another log of {room}")
        self.check_private(before, {name: log for name, log in logs.items() if name.startswith("inbox/")})
        kept = {text for log in logs.values() for _, text in log}
        self.assertLessEqual(kept, {text for talker in before for text in talker.sent})

    def check_private(self, before: list[Talker], inboxes: dict[str, list[tuple[str, str]]]) -> None:
        """A private message is in two inboxes or in none; what was shown of it is in one's own."""
        texts = [text for log in inboxes.values() for _, text in log]
        self.assertLessEqual(set(Counter(texts).values()), {2}, "a private message is kept by half, or twice")
        for name in NAMES:
            own = [text for key, log in inboxes.items() if name_of_inbox(key) == name for _, text in log]
            self.check_once(own)
            shown = [text for talker in before if talker.name == name for text in talker.private]
            self.check_once(shown)
            self.assertLessEqual(set(shown), set(own), f"{name} was shown what is not kept")
        for key, log in inboxes.items():
            kept = [text for _, text in log]
            for talker in before:
                if talker.name == name_of_inbox(key) and set(talker.private) & set(kept):
                    self.assertEqual(talker.private, kept[: len(talker.private)], f"{key} is kept in another order")

    def check_once(self, texts: Iterable[str]) -> None:
        self.assertEqual([text for text, count in Counter(texts).items() if count > 1], [], "more than once")

    def text(self, body: list[Any]) -> str:
        """Of a Posted (text, action) or a Told (to, text)."""
        return str(body[0] if isinstance(body[1], bool) else body[1])


def name_of_inbox(key: str) -> str:
    return key.removeprefix("inbox/").partition("~")[0]
