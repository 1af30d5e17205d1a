"""Output files: claimed before long work, written under a temporary name, placed when whole.

A command first checks its outputs (`check_outputs`), then claims them (`claimed`), writes the file at
`partial_of(path)`, and gives it its name with `place`. A lock on the partial file keeps two commands from writing the
same output.

Why: docs/decisions.md#output-claims.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgemed.errors import SetupError, UsageError

PRIVATE, PUBLIC = 0o600, 0o666
"""Modes of new files; PUBLIC is subject to the user's umask."""

_NOT_OURS = (errno.ELOOP, errno.EISDIR)  # a symbolic link, a folder
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_LOCKED_BYTE = 1 << 62  # beyond the end of any file


def partial_of(path: Path) -> Path:
    """The temporary name of an output while it is written."""
    return path.with_name(path.name + ".partial")


def in_the_way(path: Path) -> str:
    """The message for a temporary name that is taken by something else."""
    return f"{partial_of(path)} is in the way of {path.name}; remove it, or choose another name."


def may_write(status: os.stat_result) -> bool:
    """Whether a file found under the temporary name may be overwritten: a regular file with no other hard link."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def open_partial(path: Path, mode: int = PUBLIC) -> int:
    """Open the partial file of `path` for reading and writing, creating it if needed, locked until it is closed.

    Any content was left by a command that was killed. Raises SetupError, also while another command writes the file.
    """
    try:
        file = os.open(partial_of(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise SetupError(in_the_way(path)) from None
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        _lock(file, path)
    except SetupError:
        os.close(file)
        raise
    return file


def refuse_if_claimed(path: Path) -> None:
    """Raise SetupError if another command is writing `path`. Creates nothing."""
    try:
        file = os.open(partial_of(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # there is none, or `open_partial` will report why it cannot be written
        return
    try:
        hold(file, path)
    finally:
        os.close(file)


def hold(file: int, path: Path) -> None:
    """Lock the partial file of `path` until it is closed. Raises SetupError if another command holds the lock.

    The lock is on one byte beyond any file's end and belongs to the open file, not to the process. flock would lock the
    whole file; on SMB, where locks are mandatory, our own child processes could then not write it by name.
    """
    flock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, flock)
    except (BlockingIOError, PermissionError):
        raise SetupError(f"Another command is writing {path} at this moment; wait for it to end.") from None
    except OSError:
        pass  # a file system without locks: two commands are not kept apart, but one can write


def is_partial(file: int, path: Path) -> bool:
    """Whether the open file is still the partial file of `path`. Once placed, it is not."""
    try:
        return os.path.samestat(os.fstat(file), partial_of(path).lstat())
    except FileNotFoundError:
        return False


def _lock(file: int, path: Path) -> None:
    if not may_write(os.fstat(file)):
        raise SetupError(in_the_way(path))
    hold(file, path)
    if not is_partial(file, path):  # the previous holder of the lock has placed it: it is a finished file
        raise SetupError(f"Another command has just finished writing {path}; look at it, then try again.")


def check_outputs(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """Raise UsageError for an output that exists or cannot be written, before any work is done; SetupError if another
    command is writing it.

    `inputs` are the files that the command reads. `overwrite` allows replacing files, but never an input or another
    output.
    """
    named = [path for path in inputs if path is not None]
    for path in filter(None, outputs):
        _check(path, overwrite)
        for taken in (path, partial_of(path)):
            if any(_same(taken, other) for other in named):
                raise UsageError(f"{path} is also named as an input or as another output; choose another name.")
        named += [path, partial_of(path)]


@contextmanager
def claimed(*outputs: Path | None, mode: int = PRIVATE) -> Iterator[None]:
    """Hold the locks of these outputs. `partial_of` each is empty at the start and, unless placed, removed at the end.

    mode: what comes of private texts (statistics, cards, pages) is for its owner only, from the first byte on.
    Claim before long work, so that a second command is refused at its start and not when its result has nowhere to go.
    Raises SetupError.
    """
    with ExitStack() as stack:
        for path in filter(None, outputs):
            file = open_partial(path, mode)
            stack.callback(_release, file, path)
            try:
                os.ftruncate(file, 0)
            except OSError as error:
                raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
            if mode == PRIVATE:
                with suppress(OSError):  # a file system without rights (FAT)
                    os.fchmod(file, mode)  # a killed command may have left the file
        yield


def place(path: Path) -> None:
    """Give a claimed, complete file its final name. Raises SetupError."""
    try:
        partial_of(path).replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None


def sync(file: int) -> bool:
    """Whether the disk confirmed that it stores the file or folder. Raises OSError for a failing disk; CIFS, VirtualBox
    and FUSE may only refuse the request."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        return False
    return True


def sync_folder(folder: Path) -> bool:
    """Whether the disk confirmed that it stores the names in `folder`. Files that have their names are complete, so
    nothing is raised."""
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return sync(file)
        finally:
            os.close(file)
    except OSError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write and place a claimed text file; characters that UTF-8 cannot hold are escaped. Raises SetupError."""
    try:
        partial_of(path).write_text(text, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    place(path)


def _check(path: Path, overwrite: bool) -> None:
    if not path.name:
        raise UsageError(f"{path} is a folder; name a file in it.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} for {path.name}; make it first.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written to; choose another one.")
    try:
        if not may_write(partial_of(path).lstat()):
            raise UsageError(in_the_way(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(
            f"{path.name:.40} cannot be the name of a file ({error.strerror}); choose another one."
        ) from None
    if path.is_dir() or (os.path.lexists(path) and not overwrite):
        raise UsageError(f"{path} exists already; choose another name, or pass --overwrite.")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file and would be lost; choose another name.")
    refuse_if_claimed(path)


def _release(file: int, path: Path) -> None:
    with suppress(OSError):
        if is_partial(file, path):  # once placed, the name may belong to another command
            partial_of(path).unlink()
    os.close(file)


def _same(one: Path, other: Path) -> bool:
    """Whether both names mean one file, now or once written."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return os.path.realpath(one) == os.path.realpath(other)
