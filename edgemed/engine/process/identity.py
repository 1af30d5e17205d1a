"""Whether a model file is still the one that was opened: an engine that restarts must not answer with other weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgemed.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What differs when a file is replaced or changed."""

    device: int
    inode: int
    size_bytes: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """None if there is no such file; opening it will say so."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that answer: the file, and the digest that it claims (None for a file without one)."""

    file: FileIdentity | None
    digest: str | None


def refuse_other_weights(path: Path, same: bool) -> None:
    """Raise ModelFileError unless the file at `path` is the `same`."""
    if not same:
        raise ModelFileError(
            f"{path.name} was replaced or changed after it was opened, so other weights would answer under its name; "
            "put the file back, or quit and start again with the new one."
        )
