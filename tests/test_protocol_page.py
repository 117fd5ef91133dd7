"""The examples of docs/protocol.md, run against a live server."""

from __future__ import annotations

import json
import re
from typing import Any

from gochatsecure.wire.json_v1 import JSON
from tests.support import ROOT, Client, ServerTestCase, token

PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")


def fits(wanted: Any, found: Any) -> bool:
    """Equal, where "..." stands for anything."""
    if wanted == "...":
        return True
    if isinstance(wanted, dict) and isinstance(found, dict):
        return list(wanted) == list(found) and all(fits(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(fits, wanted, found))
    return type(wanted) is type(found) and bool(wanted == found)


class ThePage(ServerTestCase):
    async def test_the_example_is_what_happens(self) -> None:
        (session,) = re.findall(r"(?s)```json-session\n(.*?)```", PAGE)
        server = await self.start()
        clients: dict[str, Client] = {}
        count = 0
        for line in session.splitlines():
            name, direction, said = re.fullmatch(r"(\w+)([<>]) (.*)", line).groups()  # type: ignore[union-attr]
            if name not in clients:
                bearer = await token(server, name)
                clients[name] = await Client.open(server, bearer, subprotocols=[JSON.subprotocol])
                self.addAsyncCleanup(clients[name].abort)
            if direction == ">":
                clients[name].send(said)
            else:
                found = json.loads(await clients[name].receive() or "null")
                self.assertTrue(fits(json.loads(said), found), f"\nwanted {said}\nfound  {json.dumps(found)}")
                count += 1
        self.assertGreater(count, 20)
