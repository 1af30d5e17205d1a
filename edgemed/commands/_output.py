"""Files that commands write: whole or not at all, and never over another without being told to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgemed.errors import SetupError, UsageError


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise UsageError where `path` is taken or its folder is missing, before any work is done."""
    if path.is_dir() or (path.exists() and not overwrite):
        raise UsageError(f"{path} exists already; choose another name, or pass --overwrite.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent} for {path.name}; make it first.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"Nothing can be written to the folder {path.absolute().parent}; choose another place.")


def write_text(path: Path, text: str) -> None:
    """Write the file. Raises SetupError."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
