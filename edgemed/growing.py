"""A file while it grows: under a name beside its own, and locked, so that two commands never write one output."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from edgemed.errors import SetupError

NO_FILE_OF_OURS = (errno.ELOOP, errno.EISDIR)  # a link, a folder
_LOCKED_BYTE = 1 << 62


def partial_of(path: Path) -> Path:
    """The name under which the file grows."""
    return path.with_name(path.name + ".partial")


def in_the_way(path: Path) -> str:
    """What to say where something else has that name."""
    return f"{partial_of(path)} is in the way of {path.name}; remove it, or choose another name."


def may_grow(status: os.stat_result) -> bool:
    """Whether what has the growing file's name may be written: no device, and not the same bytes as another name's."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


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


def refuse_if_growing(path: Path) -> None:
    """Raise SetupError if another command writes `path` at this moment; nothing is made."""
    try:
        file = os.open(partial_of(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # there is none, or none that can be written, as `open_partial` says
        return
    try:
        hold(file, path)
    finally:
        os.close(file)


def hold(file: int, path: Path) -> None:
    """Lock the growing file of `path` until it is closed. Raises SetupError where somebody else does.

    One byte that no file reaches is locked, of this open file and not of the process: flock locks a whole file, and on
    SMB nobody else can then read or write it by name, not even those this command has it filled by.
    """
    flock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, flock)
    except (BlockingIOError, PermissionError):
        raise SetupError(f"Another command is writing {path} at this moment; wait for it to end.") from None
    except OSError:
        pass  # a file system without locks keeps no two commands apart, but one may write there


def is_partial(file: int, path: Path) -> bool:
    """Whether the open file is the one that grows beside `path`: put in place, it is no longer."""
    try:
        return os.path.samestat(os.fstat(file), partial_of(path).lstat())
    except FileNotFoundError:
        return False


def _lock(file: int, path: Path) -> None:
    if not may_grow(os.fstat(file)):
        raise SetupError(in_the_way(path))
    hold(file, path)
    if not is_partial(file, path):  # whoever held the lock has put it in place: it is a finished file now
        raise SetupError(f"Another command that wrote {path} ended at this moment; look at it, then try again.")
