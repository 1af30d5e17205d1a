"""Downloaded files compared with the digests that the hub gave for them.

The hub's cache is believed by huggingface_hub: a file of the right name is not read again, so a bit that flipped on the
disk would be converted, and our own checksums would vouch for it. The cache names a file's content by its digest:
`blobs/DIGEST`, to which the snapshot links. A download to a folder keeps it in `.cache/huggingface/download`. It is a
SHA-256 for large files (Git LFS) and git's SHA-1 for small ones.
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgemed.control_group import usable_processors
from edgemed.errors import CheckpointError

READ_BYTES = 8 << 20
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_THREADS = 4
_CLOCK_SECONDS = 1.0
"""A download notes its time after it has written the file; later changes are the user's own."""


def check_downloads(files: Iterable[Path], on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Read every file whose digest is known: on_progress(bytes done, bytes). Raises CheckpointError for a wrong one."""
    known = [(file, digest) for file in files if (digest := known_digest(file))]
    total, done = sum(file.stat().st_size for file, _ in known), 0

    def read(entry: tuple[Path, str]) -> tuple[Path, str, str]:
        file, wanted = entry
        return file, wanted, _digest(file, wanted, advance)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, total)

    with ThreadPoolExecutor(min(_THREADS, usable_processors()), thread_name_prefix="digest") as pool:
        for file, wanted, found in pool.map(read, known):
            if found != wanted:
                raise CheckpointError(
                    f"{file.name} is damaged on this disk: its digest is not the one that the hub gave for it; delete "
                    f"{file.resolve()} and download it again."
                )


def known_digest(file: Path) -> str | None:
    """The hub's digest of a file's content, in hexadecimal, if a download left it here."""
    target = file.resolve()
    if file.is_symlink() and target.parent.name == "blobs" and _DIGEST.fullmatch(target.name):
        return target.name
    note = file.parent / ".cache/huggingface/download" / f"{file.name}.metadata"
    try:
        _commit, digest, noted = note.read_text("utf-8").splitlines()[:3]
        unchanged = file.stat().st_mtime <= float(noted) + _CLOCK_SECONDS
    except (OSError, ValueError):
        return None
    return digest if unchanged and _DIGEST.fullmatch(digest) else None


def _digest(file: Path, like: str, advance: Callable[[int], None]) -> str:
    """The file's digest of the kind of `like`. Raises CheckpointError if it cannot be read."""
    try:
        state = hashlib.sha256() if len(like) == 64 else hashlib.sha1(usedforsecurity=False)
        with file.open("rb") as content:
            if len(like) == 40:  # git hashes a file's kind and size, too
                state.update(b"blob %d\0" % file.stat().st_size)
            while data := content.read(READ_BYTES):
                state.update(data)
                advance(len(data))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}; download it again.") from None
    return state.hexdigest()
