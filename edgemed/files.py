"""What every reader asks of a file before it opens it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def size_of_file(path: Path) -> int:
    """Its bytes. Raises OSError, also for what is no ordinary file: a pipe keeps its reader waiting, a device may have
    no end."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    return status.st_size
