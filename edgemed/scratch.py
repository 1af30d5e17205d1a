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
_NEW = "edgemed-new-"  # a folder that is not locked yet, and empty
_YOUNG_SECONDS = 60.0


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is removed at the end of the block. Its owner must outlive every process that writes there.

    Folders that killed commands left behind are removed first: nobody holds their locks. Raises SetupError.
    """
    try:
        place = parent or Path(tempfile.gettempdir())
        _remove_abandoned(place)
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=place))
    except OSError as error:
        raise SetupError(f"A temporary folder cannot be made in {parent or 'TMPDIR'}: {error.strerror}.") from None
    folder = place / new.name.replace(_NEW, PREFIX)
    try:
        with _opened(new) as lock:
            with contextlib.suppress(OSError):  # where folders cannot be locked, none is removed either
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(folder)  # only now, so that a folder of this name is locked for as long as its command lives
            yield folder
    finally:
        for path in (new, folder):
            shutil.rmtree(path, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _opened(folder) as lock:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
    for folder in place.glob(f"{_NEW}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                folder.rmdir()


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
