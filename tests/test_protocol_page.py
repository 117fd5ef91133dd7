"""The examples of docs/protocol.md, run against a live server."""

from __future__ import annotations

import asyncio
import re

from gochatsecure.chat.table import BY_OP
from gochatsecure.conformance.runner import Failed, Target, play
from gochatsecure.conformance.shapes import EVENTS
from gochatsecure.conformance.transcript import parse
from tests.support import PATIENCE, ROOT, ServerTestCase, client_context

PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")
SESSIONS = re.findall(r"(?s)```json-session\n(.*?)```", PAGE)


class ThePage(ServerTestCase):
    async def test_the_examples_are_what_happens(self) -> None:
        """Field for field, in the same order."""
        server = await self.start()
        ending: list[asyncio.Task[None]] = []

        async def end() -> None:
            ending.append(asyncio.create_task(server.close()))

        for session in SESSIONS:
            transcript = parse("docs/protocol.md", session, ("general", "attic", "cellar"))
            try:
                target = Target(server.url, client_context(), PATIENCE, strict=True, exact=True)
                await play(transcript, target, end_server=end)
            except Failed as failure:
                self.fail(str(failure))
        await asyncio.gather(*ending)

    def test_every_request_and_every_event_has_an_example(self) -> None:
        lines = [line for session in SESSIONS for line in session.splitlines()]
        asked = " ".join(line for line in lines if "> " in line)
        shown = " ".join(line for line in lines if "< " in line)
        self.assertEqual([op for op in BY_OP if f'"op":"{op}"' not in asked], [])
        self.assertEqual([name for name in EVENTS if f'"event":"{name}"' not in shown], [])
