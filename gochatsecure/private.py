"""Files that nobody else on this machine may read: keys and messages. Imports nothing of ours but errors."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .errors import OperatorError

try:
    import fcntl
except ImportError:  # Windows has neither this lock nor these permissions
    fcntl = None  # type: ignore[assignment]


def own_folder(folder: Path) -> None:
    """Make the folder and the way to it, for this user alone, unless it is there. Raises OSError.

    One in which everybody may rename and replace files (unless it is sticky, as /tmp) keeps nothing private.
    """
    for missing in [path for path in (folder, *folder.parents) if not path.exists()][::-1]:
        missing.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if os.name == "posix" and folder.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise PermissionError(errno.EACCES, f"everybody may replace files in {folder}")


def own_lock(path: Path) -> int:
    """A lock on this file, held until the descriptor is closed or the process ends. Raises BlockingIOError if taken.

    A file beside the database, never the database itself: closing any descriptor of that would drop SQLite's locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def refuse_shared(path: Path, error: type[OperatorError]) -> None:
    """Raises `error` when the file can be read or written by group or others."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise error(f"{path}: other users can read it", f"chmod 600 {path}")
