"""The delivery contract through `kill -9`: three library clients that send, resume and check.

Every message that was acknowledged is there once, without gaps, in one order for every reader. GOCHATSECURE_CRASHES
says how often (5), GOCHATSECURE_SEED repeats the choices that a failing run has printed.
"""

from __future__ import annotations

import asyncio

from gochatsecure.chat.model import room_stream
from gochatsecure.client import ChatClient, sign_in
from gochatsecure.log.verify import verify
from tests.live.support import eventually
from tests.support import PATIENCE, client_context, reserved_port

from .test_crash import CRASHES, SEED, CrashTestCase, Process

ROOM = "den"
AT_ONCE = 8  # messages that a program has under way


class Program:
    """Says numbered things, each until it is acknowledged; keeps all that it is shown."""

    def __init__(self, name: str, chat: ChatClient) -> None:
        self.name = name
        self.chat = chat
        self.sent = 0
        self.acks: dict[str, int] = {}  # by cid: the seq that was acknowledged
        self.shown: list[tuple[int, str]] = []  # seq, cid
        self.tasks: list[asyncio.Task[None]] = []

    async def enter(self) -> None:
        await self.chat.__aenter__()
        ok = await self.chat.join(ROOM)
        assert ok["last"] == 0, "everybody is here from the start"

    def begin(self, enough: asyncio.Event) -> None:
        self.tasks = [asyncio.create_task(self.talk(enough)) for _ in range(AT_ONCE)]
        self.listening = asyncio.create_task(self.listen())

    async def talk(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            self.sent += 1
            cid = f"{self.name}-{self.sent}"
            self.acks[cid] = (await self.chat.send(ROOM, f"text {cid}", cid=cid))["seq"]

    async def acknowledged(self, more: int) -> None:
        """Until so many more are."""
        wanted = len(self.acks) + more
        await eventually(lambda: len(self.acks) >= wanted)

    async def listen(self) -> None:
        async for event in self.chat:
            assert event["event"] in ("message", "joined", "left"), event
            if event["event"] == "message":
                self.shown.append((event["seq"], event["cid"]))


class CrashesAndResumes(CrashTestCase):
    async def test_what_was_acknowledged_is_there_once_in_one_order(self) -> None:
        with self.subTest(seed=SEED):
            await self.send_through_crashes(min(20, CRASHES))

    async def send_through_crashes(self, crashes: int) -> None:
        self.data = self.folder / "data"
        port = self.enterContext(reserved_port())
        self.running = Process(self.data, "process", self.errors, port)
        await self.running.until_ready()
        url, enough = f"https://localhost:{port}", asyncio.Event()
        programs = []
        for name in ("ann", "ben", "cleo"):
            bearer = await sign_in(url, name, client_context())
            program = Program(name, ChatClient(url, bearer, context=client_context(), backoff=(0.01, 0.05)))
            self.addAsyncCleanup(program.chat.close)
            programs.append(program)
            await program.enter()
        for program in programs:
            program.begin(enough)
        for _ in range(crashes):
            await programs[0].acknowledged(self.random.randrange(1, 60))
            self.kill()
            self.running = Process(self.data, "process", self.errors, port)
            await self.running.until_ready()
        await programs[0].acknowledged(10)
        enough.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(task for program in programs for task in program.tasks))
        await self.compare(programs)

    async def compare(self, programs: list[Program]) -> None:
        total = sum(program.sent for program in programs)
        await eventually(lambda: all(len(program.shown) >= total or program.listening.done() for program in programs))
        for program in programs:
            program.listening.cancel()
        order = programs[0].shown
        self.assertEqual([seq for seq, _ in order], list(range(1, total + 1)), "a gap, or something twice")
        self.assertEqual(len({cid for _, cid in order}), total, "a message is there twice")
        for program in programs:
            self.assertEqual(len(program.acks), program.sent)
            self.assertEqual(program.shown, order, f"{program.name} saw another order")
            for cid, seq in program.acks.items():
                self.assertEqual(order[seq - 1][1], cid, "acknowledged as another")
        self.kill()
        report = verify(self.data / "chat.db")
        self.assertEqual((report.faults, report.positions[room_stream(ROOM)].last), ([], total))
