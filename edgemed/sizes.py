"""Sizes of memory and files, in bytes and as people write them: `8GiB`, `500MB`, `1073741824`."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from pathlib import Path

from edgemed.errors import UsageError

PAGE = 4096
"""Bytes. Direct reads begin and end on a multiple of it, and so do an expert's matrices in the edgemed layout."""

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}
_SIZE = re.compile(r"\s*([0-9]{1,19}(?:\.[0-9]{1,19})?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of `text`: a positive number, then B, kB, MB, GB, TB, KiB, MiB, GiB, TiB (any case) or nothing for bytes.

    Raises UsageError for anything else.
    """
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].upper()) if match else None
    size = math.floor(float(match[1]) * unit) if match and unit else 0
    if size < 1:
        raise UsageError(f"{text!r} is not a size; write for example 8GiB, 500MB or a number of bytes.")
    return size


def format_size(size: int) -> str:
    """`size` bytes in binary units with three significant digits: `7.45 GiB`."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.3g} {unit}"


def file_size(path: Path) -> int:
    """Bytes of a regular file. Raises OSError, also for any other kind: a pipe blocks its reader, a device may have no
    end."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return status.st_size
