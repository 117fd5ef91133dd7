"""Our server with a sampler in it: `python -m bench.profile FILE FLAGS` writes into FILE where its CPU time went.

Every millisecond of CPU time it is noted which module is at work. What json, re and other helpers do counts for who
called them. The store has to be `memory:`, so that there is no other thread.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from gochatsecure.cli import main

PLACES: tuple[tuple[str, str], ...] = (
    ("asyncio/selector_events.py", "reading from and writing to sockets"),
    ("gochatsecure/wire/tls.py", "TLS"),
    ("/ssl.py", "TLS"),
    ("wsproto/", "WebSocket frames"),
    ("gochatsecure/wire/websocket.py", "WebSocket frames"),
    ("gochatsecure/wire/frames.py", "WebSocket frames"),
    ("h11/", "HTTP"),
    ("gochatsecure/wire/http1.py", "HTTP"),
    ("gochatsecure/live/http_stage.py", "HTTP"),
    ("gochatsecure/live/routes.py", "HTTP"),
    ("/logging/", "log lines"),
    ("gochatsecure/journal.py", "log lines"),
    ("gochatsecure/wire/", "words to text and back"),
    ("gochatsecure/chat/table.py", "words to text and back"),
    ("gochatsecure/chat/chain.py", "the chain"),
    ("gochatsecure/chat/", "deciding and applying"),
    ("gochatsecure/log/", "the log"),
    ("gochatsecure/auth/", "tokens and rates"),
    ("gochatsecure/live/authority.py", "tokens and rates"),
    ("gochatsecure/live/outbox.py", "outboxes and connections"),
    ("gochatsecure/live/connection.py", "outboxes and connections"),
    ("gochatsecure/live/", "the hub"),
    ("asyncio/", "the event loop"),
    ("/selectors.py", "the event loop"),
)
_samples: Counter[str] = Counter()


def _sample(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        path = frame.f_code.co_filename
        for part, place in PLACES:
            if part in path:
                _samples[place] += 1
                return
        frame = frame.f_back
    _samples["the rest"] += 1


def _main() -> int:
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    # The generator says with these when its measuring begins and ends.
    signal.signal(signal.SIGUSR1, lambda number, frame: _samples.clear())
    signal.signal(signal.SIGUSR2, lambda number, frame: _write())
    return main(sys.argv[2:])


def _write() -> None:
    Path(sys.argv[1]).write_text(json.dumps(_samples))


if __name__ == "__main__":
    sys.exit(_main())
