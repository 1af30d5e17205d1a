"""The output file while it grows: under a temporary name, all its space reserved, put in place only when whole."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from edgemed.convert.floats import Bytes
from edgemed.convert.journal import Journal
from edgemed.errors import SetupError

PARTIAL_SUFFIX = ".partial"
JOURNAL_SUFFIX = ".journal"
NO_FILE_OF_OURS = (errno.ELOOP, errno.EISDIR)  # a link, a folder
NO_RESERVATION = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class Output:
    """The unfinished file beside `path`. `journal.done` says which units an interrupted run has already written.

    Raises SetupError where the file cannot be written, is being written by another process, or would not fit.
    """

    def __init__(self, path: Path, size: int, binding: str) -> None:
        self.path = path
        self.partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self.journal_path = path.with_name(path.name + JOURNAL_SUFFIX)
        self.file = self._open()
        resume = False
        try:
            resume = os.fstat(self.file).st_size == size and self.journal_path.exists()
            self.journal = Journal(self.journal_path, binding, resume=resume)
            if not self.journal.done:
                self._reserve(size)
        except OSError as error:
            if not resume:
                self.partial.unlink(missing_ok=True)
            os.close(self.file)
            raise SetupError(f"{self.journal_path} cannot be written: {error.strerror}.") from None
        except SetupError:
            self.abandon()
            raise

    def write(self, data: bytes | Bytes, offset: int) -> None:
        view = memoryview(data) if isinstance(data, bytes) else data.data.cast("B")
        while view:
            written = os.pwrite(self.file, view, offset)
            view, offset = view[written:], offset + written

    def finish(self, header: bytes) -> None:
        """Write the header, make everything durable, and give the file its name."""
        self.write(header, 0)
        os.fsync(self.file)
        self.partial.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
        self.journal_path.unlink()  # while the lock keeps the next conversion from writing its own
        self.close()

    def close(self) -> None:
        """Let go, keeping what an interrupted run needs to go on."""
        self.journal.close()
        os.close(self.file)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self.partial.unlink(missing_ok=True)
        self.journal_path.unlink(missing_ok=True)
        self.close()

    def _open(self) -> int:
        if self.path.is_dir():
            raise SetupError(f"{self.path} is a folder; name the file to write, such as {self.path / 'model.gguf'}.")
        try:
            file = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno in NO_FILE_OF_OURS:
                raise self._in_the_way() from None
            raise SetupError(f"{self.path} cannot be written: {error.strerror}.") from None
        try:
            self._claim(file)
        except SetupError:
            os.close(file)
            raise
        return file

    def _claim(self, file: int) -> None:
        """Lock the file just opened, which must still be the one of that name. Raises SetupError."""
        opened = os.fstat(file)
        if not stat.S_ISREG(opened.st_mode):
            raise self._in_the_way()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(f"Another conversion is writing {self.path} at this moment; wait for it to end.") from None
        try:
            same = os.path.samestat(opened, self.partial.lstat())
        except FileNotFoundError:
            same = False
        if not same:  # whoever held the lock has put it in place: it is a finished model now
            raise SetupError(f"Another conversion of {self.path} ended at this moment; look at it, then try again.")
        if opened.st_size and not self.journal_path.exists():  # ours is empty until its journal is there
            raise self._in_the_way()

    def _in_the_way(self) -> SetupError:
        return SetupError(f"{self.partial} is in the way of {self.path.name}; remove it, or choose another name.")

    def _reserve(self, size: int) -> None:
        """Empty the file, then claim all its space at once, so that a full disk is met now and not hours later."""
        os.ftruncate(self.file, 0)
        status = os.fstatvfs(self.file)
        free = status.f_bavail * status.f_frsize
        if free < size:
            raise SetupError(
                f"Writing {self.path} needs {size / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free there: make "
                "room or choose another place."
            )
        try:
            os.posix_fallocate(self.file, 0, size)
        except OSError as error:
            if error.errno not in NO_RESERVATION:
                raise SetupError(f"{self.path} cannot take {size / 1e9:.2f} GB: {error.strerror}.") from None
            os.ftruncate(self.file, size)
