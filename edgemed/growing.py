"""A file while it grows: under a name beside its own, and locked, so that two commands never write one output."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from edgemed.errors import SetupError

NO_FILE_OF_OURS = (errno.ELOOP, errno.EISDIR)  # a link, a folder


def partial_of(path: Path) -> Path:
    """The name under which the file grows."""
    return path.with_name(path.name + ".partial")


def in_the_way(path: Path) -> str:
    """What to say where something else has that name."""
    return f"{partial_of(path)} is in the way of {path.name}; remove it, or choose another name."


def open_partial(path: Path) -> int:
    """The growing file of `path`, made if need be, open for reading and writing, and locked until it is closed.

    What stands in it was left by a command that was killed. Raises SetupError, also while another command writes it.
    """
    try:
        file = os.open(partial_of(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in NO_FILE_OF_OURS:
            raise SetupError(in_the_way(path)) from None
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        _lock(file, path)
    except SetupError:
        os.close(file)
        raise
    return file


def is_partial(file: int, path: Path) -> bool:
    """Whether the open file is the one that grows beside `path`: put in place, it is no longer."""
    try:
        return os.path.samestat(os.fstat(file), partial_of(path).lstat())
    except FileNotFoundError:
        return False


def _lock(file: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise SetupError(in_the_way(path))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError(f"Another command is writing {path} at this moment; wait for it to end.") from None
    except OSError:
        pass  # a file system without locks keeps no two commands apart, but one may write there
    if not is_partial(file, path):  # whoever held the lock has put it in place: it is a finished file now
        raise SetupError(f"Another command that wrote {path} ended at this moment; look at it, then try again.")
