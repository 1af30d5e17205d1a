"""The output file while it grows: under a temporary name, all its space reserved, put in place only when whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgemed.arrays import Bytes
from edgemed.convert.journal import Journal
from edgemed.errors import SetupError
from edgemed.outputs import in_the_way, open_partial, partial_of

JOURNAL_SUFFIX = ".journal"
NO_RESERVATION = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class Output:
    """The unfinished file beside `path`. `journal.done` says which units an interrupted run has already written.

    Raises SetupError where the file cannot be written, is being written by another process, or would not fit.
    """

    def __init__(self, path: Path, size: int, binding: str) -> None:
        self.path = path
        self.partial = partial_of(path)
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
        file = open_partial(self.path)
        if os.fstat(file).st_size and not self.journal_path.exists():  # ours is empty until its journal is there
            os.close(file)
            raise SetupError(in_the_way(self.path))
        return file

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
