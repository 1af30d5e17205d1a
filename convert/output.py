"""A conversion's partial files, one for each part: all space is reserved first, all get final names at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from edgemed.arrays import Bytes
from edgemed.convert.journal import Journal
from edgemed.errors import SetupError
from edgemed.outputs import in_the_way, open_partial, partial_of, sync, sync_folder

JOURNAL_SUFFIX = ".journal"
NO_RESERVATION = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class Output:
    """The partial files beside `paths`, one for each part, all locked. `journal.done` tells which work units an
    interrupted run has already written. overwrite: whether finished files of these names may be replaced.

    Raises SetupError if a file exists, cannot be written, is being written by another process, or does not fit on the
    disk.
    """

    def __init__(self, paths: Sequence[Path], sizes: Sequence[int], binding: str, *, overwrite: bool = False) -> None:
        self.paths = paths
        self.synced = True
        self.journal_path = paths[0].with_name(paths[0].name + JOURNAL_SUFFIX)
        had_journal = self.journal_path.exists()
        self.files = [_open(paths[0], had_journal)]
        resume = had_journal and os.fstat(self.files[0]).st_size == sizes[0]
        try:
            self.journal = Journal(self.journal_path, binding, resume=resume)
        except OSError as error:
            if not resume:
                partial_of(paths[0]).unlink(missing_ok=True)
            os.close(self.files[0])
            raise SetupError(f"{self.journal_path} cannot be written: {error.strerror}.") from None
        try:
            if self.journal.placing:
                self._take_back()
            for path in paths:
                if path.exists() and not overwrite:
                    raise SetupError(f"{path} exists already; delete it, or choose another name.")
            for path in paths[1:]:
                self.files.append(_open(path, had_journal))
            if [os.fstat(file).st_size for file in self.files] != list(sizes):
                self.journal.done.clear()
            if not self.journal.done:
                self._reserve(sizes)
        except SetupError:
            if self.journal.done:
                self.close()
            else:
                self.abandon()
            raise

    def write(self, part: int, data: bytes | Bytes, offset: int) -> None:
        """Write all of `data` at `offset` of a part. Thread-safe. Raises OSError."""
        view = memoryview(data) if isinstance(data, bytes) else data.data.cast("B")
        while view:
            written = os.pwrite(self.files[part], view, offset)
            view, offset = view[written:], offset + written

    def sync(self) -> None:
        """Flush what was written to disk, and note it in the journal."""
        self.journal.sync(*self.files)

    def finish(self, headers: Sequence[bytes]) -> None:
        """Write the headers, flush everything to disk, and give the files their final names.

        The first part gets its name last, and a finished one that is replaced loses it first: a loader, which begins
        with the first part, sees all parts or none. `synced` is False afterwards if the disk did not confirm that it
        stores the files.
        """
        for part, header in enumerate(headers):
            self.write(part, header, 0)
            self.synced &= sync(self.files[part])
        first, *others = self.paths
        if others:
            self.sync()
            self.journal.begin_placing()
            first.unlink(missing_ok=True)
            for path in reversed(others):
                partial_of(path).replace(path)
            self.synced &= sync_folder(first.parent)
        partial_of(first).replace(first)
        self.synced &= sync_folder(first.parent)
        self.journal_path.unlink()  # before the locks are released: the next conversion writes its own journal
        self.close()

    def close(self) -> None:
        """Close the files and keep them, so that the conversion can be resumed."""
        self.journal.close()
        for file in self.files:
            os.close(file)

    def abandon(self) -> None:
        """Delete the partial files and the journal."""
        for path, _ in zip(self.paths, self.files, strict=False):  # not of parts that another process writes
            partial_of(path).unlink(missing_ok=True)
        self.journal_path.unlink(missing_ok=True)
        self.close()

    def _take_back(self) -> None:
        """Make parts partial again that an earlier run had renamed before it was interrupted. Raises SetupError."""
        for path in self.paths[1:]:
            if path.exists() and not partial_of(path).exists():
                try:
                    path.rename(partial_of(path))
                except OSError as error:
                    raise SetupError(f"{path} cannot be renamed: {error.strerror}.") from None

    def _reserve(self, sizes: Sequence[int]) -> None:
        """Empty the files, then allocate all their space, so that a full disk is noticed now and not hours later."""
        for file in self.files:
            os.ftruncate(file, 0)
        status = os.fstatvfs(self.files[0])
        free, size = status.f_bavail * status.f_frsize, sum(sizes)
        if free < size:
            raise SetupError(
                f"Writing {self.paths[0]} needs {size / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free there; make "
                "room or choose another folder."
            )
        for path, file, length in zip(self.paths, self.files, sizes, strict=True):
            try:
                os.posix_fallocate(file, 0, length)
            except OSError as error:
                if error.errno not in NO_RESERVATION:
                    raise SetupError(f"{path} cannot be made {length / 1e9:.2f} GB long: {error.strerror}.") from None
                os.ftruncate(file, length)


def _open(path: Path, had_journal: bool) -> int:
    """Open the partial file of `path`, locked. Raises SetupError."""
    if path.is_dir():
        raise SetupError(f"{path} is a folder; name the file to write, such as {path / 'model.gguf'}.")
    file = open_partial(path)
    # A partial file of ours is empty until it has a journal, so a file with bytes and no journal is not ours.
    if os.fstat(file).st_size and not had_journal:
        os.close(file)
        raise SetupError(in_the_way(path))
    return file
