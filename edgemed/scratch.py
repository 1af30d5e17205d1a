"""Temporary folders for intermediate results. These are computed from texts that may be private."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemed.errors import SetupError

PREFIX = "edgemed-scratch-"
_YOUNG_SECONDS = 60.0  # a folder is locked right after it is made


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is removed at the end of the block. Its owner must outlive every process that writes there.

    Folders that killed commands left behind are removed first: nobody holds their locks. Raises SetupError.
    """
    try:
        place = parent or Path(tempfile.gettempdir())
        _remove_abandoned(place)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    except OSError as error:
        raise SetupError(f"A temporary folder cannot be made in {parent or 'TMPDIR'}: {error.strerror}.") from None
    try:
        with _opened(folder) as lock:
            with contextlib.suppress(OSError):  # where folders cannot be locked, none is removed either
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _opened(folder) as lock:
            status = os.fstat(lock)
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _YOUNG_SECONDS:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
