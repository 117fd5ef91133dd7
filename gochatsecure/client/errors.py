"""What can go wrong at the client's end, and is not mended by trying again.

ClientError
├── ConnectionRefused     the server does not let this client in: the token, the name, the address
├── RequestRefused        the server refused one request: `code`, as in docs/protocol.md
└── HistoryFork           the log is not the one that this client has seen
"""

from __future__ import annotations


class ClientError(Exception):
    """Anything that the client gives up on."""


class ConnectionRefused(ClientError):
    """Not let in, or sent away for good: `code` is an HTTP status or a close code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class RequestRefused(ClientError):
    """One request was refused; nothing of it is stored."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class HistoryFork(ClientError):
    """What the server shows of a log does not follow from what it has shown before."""
