"""One peer's flood does not starve another: asserted by the order of things, not by the clock. Over real TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gochatsecure import ChatServer, Limits
from gochatsecure.chat.commands import RequestId
from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.model import Draft
from gochatsecure.live.routes import Later, Upgrade
from gochatsecure.live.session import Session
from gochatsecure.live.stage import MESSAGE, REQUEST
from gochatsecure.wire.http1 import Request, Response
from tests.live.fakes import HeldLog
from tests.live.support import PING, LiveTestCase, eventually, frame, hear, server_end
from tests.support import token

TURN = Limits().turn // MESSAGE  # messages


class Turns:
    """Counts what is done in each turn of the loop."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._open = False

    def count(self) -> None:
        if not self._open:
            self._open = True
            self.counts.append(0)
            asyncio.get_running_loop().call_soon(self._close)
        self.counts[-1] += 1

    def _close(self) -> None:
        self._open = False


class WatchedLog(HeldLog):
    """Tells of each draft as it comes, and commits at the end of the turn."""

    def __init__(self, watch: Callable[[Draft], None]) -> None:
        super().__init__()
        self.watch = watch

    def append(self, draft: Draft) -> None:
        if not self.arrived:
            asyncio.get_running_loop().call_soon(self.commit)
        super().append(draft)
        self.watch(draft)


class AFloodOfMessages(LiveTestCase):
    async def test_is_taken_one_turns_worth_at_a_time(self) -> None:
        turns = Turns()
        server = await self.start(log=WatchedLog(lambda draft: turns.count()), limits=Limits(pending=10_000))
        flooder = await self.connect(server, "flooder")
        flooder.raw.send(frame("x") * 2000)
        await eventually(lambda: sum(turns.counts) == 2000)
        self.assertLessEqual(max(turns.counts), TURN)

    async def test_lets_another_session_speak_in_between(self) -> None:
        order: list[str] = []
        server = await self.start(log=WatchedLog(lambda draft: order.append(draft.sender.partition("~")[0])))
        flooder, quiet = await self.connect(server, "flooder"), await self.connect(server, "quiet")
        await eventually(lambda: server._hub and len(server._hub.sessions) == 2)
        flooder.raw.send(frame("x") * 5000)
        quiet.send("me too")
        await eventually(lambda: len(order) == 5001)
        self.assertLess(order.index("quiet"), 5000 // 2)

    async def test_of_refused_commands_is_taken_one_turns_worth_at_a_time(self) -> None:
        turns = Turns()
        server = await self.start(limits=Limits(refusals=100_000))
        flooder = await self.connect(server, "flooder")
        assert server._hub is not None
        refuse = server._hub._refuse

        def counted(session: Session, asked_as: RequestId, refusal: Refusal) -> None:
            turns.count()
            refuse(session, asked_as, refusal)

        server._hub._refuse = counted  # type: ignore[method-assign]
        flooder.raw.send(frame("/x") * 2000)
        await eventually(lambda: sum(turns.counts) == 2000)
        self.assertLessEqual(max(turns.counts), TURN)

    async def test_of_pings_is_taken_one_turns_worth_at_a_time(self) -> None:
        server = await self.start(limits=Limits(control_frames_per_s=100_000))
        raw = await self.upgraded(server, await token(server, "flooder"))
        end = server_end(server, raw)
        held = 0
        hold = end._transport.pause_reading

        def counted() -> None:
            nonlocal held
            held += 1
            hold()

        end._transport.pause_reading = counted  # type: ignore[method-assign]
        raw.send(frame("", PING) * 2000)
        await hear(raw, b"\x8a\x00", 2000)
        self.assertGreaterEqual(held, 2000 // TURN)


class AFloodOfRequests(LiveTestCase):
    async def test_is_answered_one_turns_worth_at_a_time(self) -> None:
        turns = Turns()
        server = await self.start()
        self.watch(server, lambda request: turns.count())
        raw = await self.raw(server)
        raw.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        await eventually(lambda: sum(turns.counts) == 2000)
        self.assertLessEqual(max(turns.counts), Limits().turn // REQUEST)

    async def test_is_so_in_records_of_their_own_too(self) -> None:
        """What is counted must not begin anew with every TLS record."""
        turns = Turns()
        server = await self.start()
        self.watch(server, lambda request: turns.count())
        raw = await self.raw(server)
        for _ in range(600):
            raw.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: sum(turns.counts) == 600)
        self.assertLessEqual(max(turns.counts), Limits().turn // REQUEST)

    async def test_from_many_peers_is_bounded_for_all_together(self) -> None:
        turns = Turns()
        server = await self.start(limits=Limits(turn_of_all=64))
        self.watch(server, lambda request: turns.count())
        peers = [await self.raw(server) for _ in range(8)]
        for raw in peers:
            raw.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        await eventually(lambda: sum(turns.counts) == 400)
        self.assertLessEqual(max(turns.counts), 64 // REQUEST + len(peers))

    async def test_lets_another_peer_ask_in_between(self) -> None:
        order: list[str] = []
        server = await self.start()
        self.watch(server, lambda request: order.append(request.path))
        flooder, quiet = await self.raw(server), await self.raw(server)
        await eventually(lambda: server_end(server, quiet)._stage is not None)
        reading = asyncio.create_task(flooder.rest())
        flooder.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 6000)
        quiet.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual((await quiet.answer()).status, 200)
        reading.cancel()
        self.assertLess(order.index("/healthz"), 5000)

    def watch(self, server: ChatServer, watch: Callable[[Request], None]) -> None:
        assert server._routes is not None
        answer = server._routes.answer

        def watched(request: Request, address: str) -> Response | Upgrade | Later:
            watch(request)
            return answer(request, address)

        server._routes.answer = watched  # type: ignore[method-assign]


class AConnectionThatWaits(LiveTestCase):
    async def test_for_its_room_to_open_does_not_keep_others_waiting(self) -> None:
        log = HeldLog()
        server = await self.start(log=log)
        alice = await self.connect(server, "alice")
        log.readable.clear()
        for number in range(20):
            await self.open(server, await token(server, f"guest{number}"), f"room{number}")
        self.assertEqual(await alice.ask("/who"), "# in default: alice")
        log.readable.set()
