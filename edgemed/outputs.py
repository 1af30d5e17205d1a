"""Output files: claimed before long work, written under a temporary name, placed when whole.

A command first checks its outputs (`check_outputs`), then claims them (`claimed`), writes the file at
`partial_of(path)`, and gives it its name with `place`. A lock on the partial file keeps two commands from writing the
same output.
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


def check_outputs(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """Raise UsageError for a place that is taken or cannot be written to, before any work is done; SetupError where
    another command is writing it.

    `inputs`: what the command reads. Told to overwrite, it replaces files, but neither these nor another output.
    """
    named = [path for path in inputs if path is not None]
    for path in filter(None, outputs):
        _check(path, overwrite)
        for taken in (path, partial_of(path)):
            if any(_same(taken, other) for other in named):
                raise UsageError(f"{path} is named to be read or written as something else too; choose another name.")
        named += [path, partial_of(path)]


@contextmanager
def claimed(*outputs: Path | None) -> Iterator[None]:
    """Within, nobody else writes these outputs; `partial_of` each is empty at first, and gone at the end if it was not
    placed. Claim before long work: another command is refused then, not when its result has nowhere to go.

    Raises SetupError.
    """
    with ExitStack() as stack:
        for path in filter(None, outputs):
            file = open_partial(path)
            stack.callback(_let_go, file, path)
            os.ftruncate(file, 0)
        yield


def place(path: Path) -> None:
    """Give a claimed file its name, now that it is whole. Raises SetupError."""
    try:
        partial_of(path).replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None


def write_text(path: Path, text: str) -> None:
    """Write a claimed file and place it; what UTF-8 cannot hold is spelt out. Raises SetupError."""
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
        raise UsageError(f"Nothing can be written to the folder {folder}; choose another place.")
    try:
        if not may_grow(partial_of(path).lstat()):
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
        raise UsageError(f"{path} is no ordinary file, and would be lost; choose another name.")
    refuse_if_growing(path)


def _let_go(file: int, path: Path) -> None:
    with suppress(OSError):
        if is_partial(file, path):  # once it is placed, another command's may have the name
            partial_of(path).unlink()
    os.close(file)


def _same(one: Path, other: Path) -> bool:
    """Whether both names are of one file, or will be."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return os.path.realpath(one) == os.path.realpath(other)
