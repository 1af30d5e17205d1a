"""What commands write: files, whole or not at all, never over another without being told to; and lines for people."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgemed.errors import SetupError, UsageError, spelt_out
from edgemed.growing import in_the_way, is_partial, may_grow, open_partial, partial_of, refuse_if_growing


def check_outputs(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """Raise UsageError for a place that is taken or cannot be written to, before any work is done; SetupError where
    another command is writing it.

    `inputs`: what the command reads. Told to overwrite, it replaces files, but neither these nor another output.
    """
    named = [path for path in inputs if path is not None]
    for path in filter(None, outputs):
        _check(path, overwrite)
        for taken in (path, partial_of(path)):
            if any(_same(taken, other) for other in named):
                raise UsageError(f"{path} is named to be read or written as something else too; choose another name.")
        named += [path, partial_of(path)]


@contextmanager
def claimed(*outputs: Path | None) -> Iterator[None]:
    """Within, nobody else writes these outputs; `partial_of` each is empty at first, and gone at the end if it was not
    placed. Claim before long work: another command is refused then, not when its result has nowhere to go.

    Raises SetupError.
    """
    with ExitStack() as stack:
        for path in filter(None, outputs):
            file = open_partial(path)
            stack.callback(_let_go, file, path)
            os.ftruncate(file, 0)
        yield


def place(path: Path) -> None:
    """Give a claimed file its name, now that it is whole. Raises SetupError."""
    try:
        partial_of(path).replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None


def write_text(path: Path, text: str) -> None:
    """Write a claimed file and place it; what UTF-8 cannot hold is spelt out. Raises SetupError."""
    try:
        partial_of(path).write_text(text, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    place(path)


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
        if not may_grow(partial_of(path).lstat()):
            raise UsageError(in_the_way(path))
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
    refuse_if_growing(path)


def _let_go(file: int, path: Path) -> None:
    with suppress(OSError):
        if is_partial(file, path):  # once it is placed, another command's may have the name
            partial_of(path).unlink()
    os.close(file)


def _same(one: Path, other: Path) -> bool:
    """Whether both names are of one file, or will be."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return os.path.realpath(one) == os.path.realpath(other)
