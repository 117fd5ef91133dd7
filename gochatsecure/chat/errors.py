"""What a client may be told when its command fails. Whose fault it is decides the class:

Refusal               the client's: it can change something and try again
└── Temporary         nobody's: the same command may succeed later
"""

from __future__ import annotations


class Refusal(Exception):
    """A command that is not carried out: nothing is stored, nothing is shown, the session stays. Made anew each time it
    is raised: one that is kept would keep what it was ever raised through, frames, sessions and all.

    `code` is stable and for programs; `message` is one sentence for people and never repeats what was sent.
    """

    temporary = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Temporary(Refusal):
    """The same command may succeed in `retry_after_ms` milliseconds."""

    temporary = True

    def __init__(self, code: str, message: str, retry_after_ms: int = 1000) -> None:
        super().__init__(code, message)
        self.retry_after_ms = retry_after_ms
