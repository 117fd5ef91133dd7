"""A server under attack: somebody talks on it all the while, and has to be undisturbed after each blow."""

from __future__ import annotations

import re
from typing import Any

from gochatsecure import ChatServer, Limits
from tests.live.support import LiveTestCase, eventually, skip
from tests.support import Client, token


class AttackTestCase(LiveTestCase):
    """Fails, too, if the server has logged an error, or a connection is left over."""

    settings: dict[str, Any] = {}  # noqa: RUF012 - of the class, by whoever derives one

    async def asyncSetUp(self) -> None:
        self.server = await self.start(**self.settings)
        self.bob: Client = await self.connect(self.server, "bob", "lobby")
        self.ticket = await token(self.server, "mallory")
        self.asked = 0

    async def asyncTearDown(self) -> None:
        await self.undisturbed()
        await skip(Limits().linger_s)
        await eventually(lambda: connections(self.server) == 1)

    async def undisturbed(self) -> None:
        """Who talks here talks on, and has heard nothing that was not meant for them."""
        self.asked += 1
        self.bob.send(f"{self.asked}")
        self.assertEqual(await self.bob.until(f"bob: {self.asked}"), [f"bob: {self.asked}"])

    async def statuses(self, sent: bytes) -> tuple[list[int], bytes]:
        """Those of all answers up to where the server closes, and all that it has said."""
        raw = await self.raw(self.server)
        raw.send(sent)
        received = await raw.rest()
        await raw.abort()
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)], received


def connections(server: ChatServer) -> int:
    assert server._listener is not None
    return len(server._listener._connections)
