"""What has happened since the server was started, in plain numbers: who sees it happen adds one. Nothing here waits.

Things are counted for each connection, session, request over HTTP and refusal, never for each message. What they are
counted by is a word of ours from a small set: no name, no room, no address, nothing that a peer could choose.
"""

from __future__ import annotations

from collections import Counter

from ..wire.closing import CLOSE_CODES

_CODES = (*CLOSE_CODES, 1005, 1006)  # the last two are never sent: a Close without a code, no Close. RFC 6455 7.4.1


class Counts:
    __slots__ = ("accepted", "answers", "closed", "commands", "opened", "refused", "sign_ins", "unsecured")

    def __init__(self) -> None:
        self.accepted = 0  # connections
        self.unsecured = 0  # of those that have ended, those whose handshake was not done
        self.refused = Counter({"server full": 0, "address full": 0, "address too fast": 0})  # connections
        self.answers: Counter[int] = Counter()  # HTTP requests, by status; a WebSocket is none of them
        self.sign_ins = Counter(  # by what became of them
            {"guest": 0, "owner": 0, "registered": 0, "bad_credentials": 0, "account_disabled": 0, "rate_limited": 0}
        )
        self.opened = 0  # sessions
        self.closed = Counter({str(code): 0 for code in _CODES})  # sessions, by close code
        self.commands: Counter[str] = Counter()  # refused, by error code

    def session_closed(self, code: int) -> None:
        """A peer may close with any code: those that mean nothing here are one."""
        self.closed[str(code) if code in _CODES else "other"] += 1
