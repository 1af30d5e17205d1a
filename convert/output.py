"""A conversion's partial file: all its space is reserved first, and it gets its final name when it is complete."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgemed.arrays import Bytes
from edgemed.convert.journal import Journal
from edgemed.errors import SetupError
from edgemed.outputs import in_the_way, open_partial, partial_of, sync, sync_folder

JOURNAL_SUFFIX = ".journal"
NO_RESERVATION = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class Output:
    """The partial file beside `path`. `journal.done` tells which work units an interrupted run has already written.

    Raises SetupError if the file cannot be written, is being written by another process, or does not fit on the disk.
    """

    def __init__(self, path: Path, size: int, binding: str) -> None:
        self.path = path
        self.synced = True
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
        """Write all of `data` at `offset`. Thread-safe. Raises OSError."""
        view = memoryview(data) if isinstance(data, bytes) else data.data.cast("B")
        while view:
            written = os.pwrite(self.file, view, offset)
            view, offset = view[written:], offset + written

    def finish(self, header: bytes) -> None:
        """Write the header, flush everything to disk, and give the file its final name.

        `synced` is False afterwards if the disk did not confirm that it stores the file.
        """
        self.write(header, 0)
        self.synced = sync(self.file)
        self.partial.replace(self.path)
        self.synced &= sync_folder(self.path.parent)
        self.journal_path.unlink()  # before the lock is released: the next conversion writes its own journal
        self.close()

    def close(self) -> None:
        """Close the files and keep them, so that the conversion can be resumed."""
        self.journal.close()
        os.close(self.file)

    def abandon(self) -> None:
        """Delete the partial file and the journal."""
        self.partial.unlink(missing_ok=True)
        self.journal_path.unlink(missing_ok=True)
        self.close()

    def _open(self) -> int:
        if self.path.is_dir():
            raise SetupError(f"{self.path} is a folder; name the file to write, such as {self.path / 'model.gguf'}.")
        file = open_partial(self.path)
        # A partial file of ours is empty until it has a journal, so a file with bytes and no journal is not ours.
        if os.fstat(file).st_size and not self.journal_path.exists():
            os.close(file)
            raise SetupError(in_the_way(self.path))
        return file

    def _reserve(self, size: int) -> None:
        """Empty the file, then allocate all its space, so that a full disk is noticed now and not hours later."""
        os.ftruncate(self.file, 0)
        status = os.fstatvfs(self.file)
        free = status.f_bavail * status.f_frsize
        if free < size:
            raise SetupError(
                f"Writing {self.path} needs {size / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free there; make "
                "room or choose another folder."
            )
        try:
            os.posix_fallocate(self.file, 0, size)
        except OSError as error:
            if error.errno not in NO_RESERVATION:
                raise SetupError(f"{self.path} cannot be made {size / 1e9:.2f} GB long: {error.strerror}.") from None
            os.ftruncate(self.file, size)
