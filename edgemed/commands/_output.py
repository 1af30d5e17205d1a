"""What commands write: files, whole or not at all, never over another without being told to; and lines for people."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemed.errors import SetupError, UsageError, spelt_out


def check_outputs(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """Raise UsageError for a place that is taken or cannot be written to, before any work is done.

    `inputs`: what the command reads. Told to overwrite, it replaces files, but neither these nor another output.
    """
    named = [path for path in inputs if path is not None]
    for path in filter(None, outputs):
        _check(path, overwrite)
        for taken in (path, partial_of(path)):
            if any(_same(taken, other) for other in named):
                raise UsageError(f"{path} is named to be read or written as something else too; choose another name.")
        named += [path, partial_of(path)]


def partial_of(path: Path) -> Path:
    """The name under which the file grows."""
    return path.with_name(path.name + ".partial")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """An empty file to fill, which gets the name `path` when the block ends, and is gone where that fails.

    Raises SetupError.
    """
    partial = partial_of(path)
    try:
        if partial.is_file() and not partial.is_symlink():
            partial.unlink()  # of a command that was killed
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        raise SetupError(_in_the_way(path)) from None
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        yield partial
        try:
            partial.replace(path)
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write the file; what UTF-8 cannot hold is spelt out. Raises SetupError."""
    with new_file(path) as partial:
        try:
            partial.write_text(text, "utf-8", errors="backslashreplace")
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}.") from None


def show(lines: Iterable[str]) -> None:
    """Print lines for people. They may quote a file or its name, and terminals obey what they print."""
    print("\n".join(map(spelt_out, lines)))


def _check(path: Path, overwrite: bool) -> None:
    if not path.name:
        raise UsageError(f"{path} is a folder; name a file in it.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} for {path.name}; make it first.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"Nothing can be written to the folder {folder}; choose another place.")
    try:
        if not stat.S_ISREG(partial_of(path).lstat().st_mode):
            raise UsageError(_in_the_way(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(
            f"{path.name:.40} cannot be the name of a file ({error.strerror}); choose another one."
        ) from None
    if path.is_dir() or (os.path.lexists(path) and not overwrite):
        raise UsageError(f"{path} exists already; choose another name, or pass --overwrite.")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no ordinary file, and would be lost; choose another name.")


def _in_the_way(path: Path) -> str:
    return f"{partial_of(path)} is in the way of {path.name}; remove it, or choose another name."


def _same(one: Path, other: Path) -> bool:
    """Whether both names are of one file, or will be."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return os.path.realpath(one) == os.path.realpath(other)
