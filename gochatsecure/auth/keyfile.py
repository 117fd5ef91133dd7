"""The file of signing keys, changed while a server reads it: a new file is put in the old one's place, whole.

A key is rotated in two steps: a new one signs from now on, the old one still verifies; once its last token has
expired, it is retired. A key that somebody else knows is retired at once: who signed in with it signs in again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import KeyFileError
from ..private import own_lock
from .tokens import KeyRing, new_line, parse_key


def rotate(path: Path) -> str:
    """Add a key, which signs from now on. Answers with its name. Raises KeyFileError."""
    line = new_line()
    _change(path, lambda lines: [*lines, line.rstrip()])
    return line.split()[0]


def retire(path: Path, kid: str) -> None:
    """Take this key out: nothing that it has signed is good any more. Raises KeyFileError."""

    def without(lines: list[str]) -> list[str]:
        kept = [line for line in lines if not line.strip() or line[0] == "#" or parse_key(line).kid != kid]
        if len(kept) == len(lines):
            raise KeyFileError(f"{path}: there is no key {kid}", "gochatsecure key list tells their names")
        if KeyRing.load(path).kids == (kid,):
            raise KeyFileError(f"{path}: {kid} is the only key", "make another first with gochatsecure key rotate")
        return kept

    _change(path, without)


def _change(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = Path(os.path.realpath(path))  # the file, not a link to it, is replaced
    KeyRing.load(path)  # what is wrong with it is said before anything is changed
    new = path.with_name(path.name + ".new")
    try:
        lock = own_lock(path.with_name(path.name + ".lock"))
        try:
            text = "\n".join([*change(path.read_text("utf-8").splitlines()), ""])
            KeyRing.of_text(text)
            with suppress(FileNotFoundError):
                new.unlink()  # left by somebody who was killed
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            owner = path.stat()
            if os.name == "posix" and owner.st_uid != os.geteuid():  # root keeps the file for who runs the server
                os.chown(new, owner.st_uid, owner.st_gid)
            os.replace(new, path)
        finally:
            os.close(lock)
    except BlockingIOError:
        raise KeyFileError(f"{path}: another command is changing it", "try again") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be changed: {error.strerror}", "run this as the server's user") from None
