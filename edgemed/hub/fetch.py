"""Downloading one file of the hub: resumable, compared with the hub's SHA-256, and named only when it is whole.

Bytes go to `NAME.partial` in order. What an interrupted download left there is hashed and continued; if the whole then
has another digest, what was left belonged to another file, and the download begins again, once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgemed.errors import HubError, SetupError
from edgemed.hub.connection import reach
from edgemed.hub.repository import HubFile, Repository
from edgemed.outputs import is_partial, open_partial, partial_of, place, sync

READ_BYTES = 8 << 20
HEAD_BYTES = 1 << 16
_TIMEOUT_SECONDS = 30.0
_ARCHITECTURE = b"general.architecture" + (8).to_bytes(4, "little")  # the key and the type of its value, a string


def fetch(repository: Repository, file: HubFile, target: Path, on_progress: Callable[[int], None]) -> None:
    """Download `file` to `target`: on_progress(bytes of it that are there).

    Raises HubError, or SetupError if it cannot be written; what has arrived is kept for the next call.
    """
    output = open_partial(target)
    try:
        download = _Download(repository, file, target, output, on_progress)
        left = download.resume()
        if not download.finish() and left:
            download.begin_again()
            left = 0
            download.finish()
        if not download.right:
            partial_of(target).unlink()
            raise HubError(
                f"{file.name} arrived with another SHA-256 than the hub gives for it; give the same command again, and "
                "if that does not help, tell the repository's owner."
            )
        sync(output)
        place(target)
    finally:
        if is_partial(output, target) and os.fstat(output).st_size == 0:
            partial_of(target).unlink()
        os.close(output)


def has_digest(path: Path, file: HubFile, on_progress: Callable[[int], None]) -> bool:
    """Whether the file at `path` is `file`. Raises SetupError if it cannot be read."""
    try:
        if path.stat().st_size != file.size:
            return False
        state, done = hashlib.sha256(), 0
        with path.open("rb") as content:
            while data := content.read(READ_BYTES):
                state.update(data)
                done += len(data)
                on_progress(done)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    return state.hexdigest() == file.sha256


def architecture_of(repository: Repository, file: HubFile) -> str | None:
    """The architecture that a GGUF on the hub names in its first bytes, as all tools write it. Raises HubError."""
    start = reach(repository.name, None, lambda address: _first_bytes(repository, file, address))
    at = start.find(_ARCHITECTURE)
    if not start.startswith(b"GGUF") or at < 0 or len(start) < at + len(_ARCHITECTURE) + 8:
        return None
    at += len(_ARCHITECTURE)
    length = int.from_bytes(start[at : at + 8], "little")
    return start[at + 8 : at + 8 + min(length, 64)].decode(errors="replace")


def _first_bytes(repository: Repository, file: HubFile, address: str) -> bytes:
    pieces: list[bytes] = []
    with _open(repository, file, address, f"bytes=0-{HEAD_BYTES - 1}") as response:
        for piece in response.iter_bytes():
            pieces.append(piece)
            if sum(map(len, pieces)) >= HEAD_BYTES:  # a server may send the whole file
                break
    return b"".join(pieces)


@contextmanager
def _open(repository: Repository, file: HubFile, address: str, wanted: str | None) -> Iterator[Any]:
    """The hub's response to a request for a file, or for the bytes of it that are `wanted`."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    url = hf_hub_url(repository.name, file.path, revision=repository.commit, endpoint=address)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": wanted} if wanted else {})
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_SECONDS) as response:
        hf_raise_for_status(response)
        yield response


class _Download:
    """The state of one file's download: `at` bytes are in the output, and hashed."""

    def __init__(
        self, repository: Repository, file: HubFile, target: Path, output: int, on_progress: Callable[[int], None]
    ) -> None:
        self._repository, self._file, self._target, self._output = repository, file, target, output
        self._on_progress = on_progress
        self.at, self._state = 0, hashlib.sha256()

    @property
    def right(self) -> bool:
        return self.at == self._file.size and self._state.hexdigest() == self._file.sha256

    def resume(self) -> int:
        """Hash what an earlier call left; return its bytes."""
        if os.fstat(self._output).st_size > self._file.size:
            self.begin_again()
        while data := os.pread(self._output, READ_BYTES, self.at):
            self._took(data)
        return self.at

    def begin_again(self) -> None:
        os.ftruncate(self._output, 0)
        self.at, self._state = 0, hashlib.sha256()

    def finish(self) -> bool:
        """Transfer the rest; whether the file is right. A lost connection is no reason to end while bytes arrive."""
        while self.at < self._file.size:
            before = self.at
            try:
                reach(self._repository.name, None, self._transfer)
            except HubError:
                if self.at <= before:
                    raise
        return self.right

    def _transfer(self, address: str) -> None:
        """One request for the rest of the file. Raises what huggingface_hub and its HTTP library do."""
        wanted = f"bytes={self.at}-" if self.at else None
        with _open(self._repository, self._file, address, wanted) as response:
            if self.at and response.status_code != 206:  # the server begins at the first byte again
                self.begin_again()
            for piece in response.iter_bytes():
                self._write(piece)
        if self.at < self._file.size:
            raise ConnectionResetError("the hub sent less than the file's size")

    def _write(self, piece: bytes) -> None:
        if self.at + len(piece) > self._file.size:
            raise HubError(f"The hub sends more of {self._file.name} than its size; give the same command again.")
        view, offset = memoryview(piece), self.at
        try:
            while view:
                written = os.pwrite(self._output, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise SetupError(
                f"{self._target} cannot be written: {error.strerror}; free some space, then give the same command "
                "again."
            ) from None
        self._took(piece)

    def _took(self, data: bytes) -> None:
        self._state.update(data)
        self.at += len(data)
        self._on_progress(self.at)
