"""Our server without one of its techniques, to measure what that is worth: `python -m bench.without NAME FLAGS`.

Each is switched off from outside, in the running program: the server has no such switches.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence, Set
from typing import Any

from gochatsecure.cli import main


def _gathering() -> None:
    """Every frame is written as it comes, not once for all that a turn of the loop and a commit bring."""
    from gochatsecure.live.outbox import Outbox

    _joining()
    put = Outbox.put

    def put_and_flush(self: Outbox, frames: bytes) -> None:
        put(self, frames)
        self.flush()

    Outbox.put = put_and_flush  # type: ignore[method-assign]


def _framing_once() -> None:
    """Every member's frame is formatted for it alone."""
    from gochatsecure.live.fanout import Fanout

    def show(self: Fanout, stream: Any, events: Sequence[Any], besides: Set[Any] = frozenset()) -> None:
        for wire_format, sessions in list(self._followers.get(stream, {}).items()):
            for session in sessions - besides:
                session.outbox.put(b"".join(map(wire_format.frames, events)))

    Fanout.show = show  # type: ignore[method-assign]


def _joining() -> None:
    """The entries of one commit are queued one by one for every member, not as one piece."""
    from gochatsecure.live.fanout import Fanout

    show = Fanout.show

    def one_by_one(self: Fanout, stream: Any, events: Sequence[Any], besides: Set[Any] = frozenset()) -> None:
        for event in events:
            show(self, stream, (event,), besides)

    Fanout.show = one_by_one  # type: ignore[method-assign]


def _own_frames() -> None:
    """wsproto makes the head of every frame that we send."""
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import Message

    from gochatsecure.wire import json_v1, lines

    encoder = Connection(ConnectionType.SERVER)

    def frame(text: str) -> bytes:
        return encoder.send(Message(text))

    lines.frame = json_v1.frame = frame  # type: ignore[attr-defined]


def _own_reading() -> None:
    """wsproto reads every frame that comes."""
    from gochatsecure.wire import websocket

    websocket.take_text = lambda waiting, most: None  # type: ignore[attr-defined]


def _written_out() -> None:
    """Messages of the JSON protocol and their acks are made of dictionaries."""
    from gochatsecure.chat.chain import base64url
    from gochatsecure.chat.model import room_of_stream
    from gochatsecure.wire import json_v1

    def acked(event: Any) -> str:
        entry, epoch, dup, _ = event
        place = {"room": room_of_stream(entry.stream), "cid": entry.cid, "epoch": epoch, "seq": entry.seq}
        return json_v1._encode({**place, "head": base64url(entry.head), "ts": entry.ts, "dup": dup})

    json_v1._posted = lambda entry: None
    json_v1._acked = acked  # type: ignore[assignment]


def _group_commit() -> None:
    """A transaction for each message."""
    from gochatsecure.log import sqlite

    sqlite.groups = lambda drafts: ([draft] for draft in drafts)  # type: ignore[attr-defined]


def _calm_collector() -> None:
    """The garbage collector as Python has it by default."""
    gc.freeze = lambda: None
    gc.set_threshold = lambda *thresholds: None


Technique = tuple[Callable[[], None], tuple[str, ...], str, dict[str, Any]]
_MEMORY = ("-store=memory:",)
_BUSY = {"users": 100, "senders": 10, "window": 64}

TECHNIQUES: dict[str, Technique] = {
    "gathering": (_gathering, _MEMORY, "room", _BUSY),
    "framing once": (_framing_once, _MEMORY, "room", _BUSY),
    "joining": (_joining, _MEMORY, "room", _BUSY),
    "our own frames": (_own_frames, _MEMORY, "room", _BUSY),
    "our own reading of texts": (_own_reading, _MEMORY, "room", _BUSY),
    "written-out JSON": (_written_out, _MEMORY, "room", {**_BUSY, "--json": True}),
    "the calm collector": (_calm_collector, _MEMORY, "storm", {"users": 32}),
    "group commit": (_group_commit, (), "room", _BUSY),
}
"""By name: how it is switched off, the server's flags, and in which scenario one sees it."""


if __name__ == "__main__":
    TECHNIQUES[sys.argv[1]][0]()
    sys.exit(main(sys.argv[2:]))
