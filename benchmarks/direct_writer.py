"""Write a file from front to back at the disk's speed: with direct I/O, from two buffers in turn.

On a virtual machine, fresh page-cache pages cost more than the disk itself. A benchmark's model file also must not be
in the page cache when the benchmark starts.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUFFER_BYTES = 32 << 20
SECTOR = 4096


class DirectWriter:
    """Append arrays, then close. A separate thread writes. A context manager.

    `digest` is called on that thread with every appended array, in order; padding is left out.
    """

    def __init__(self, path: Path, digest: Callable[[Any], None] = lambda data: None) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags | os.O_DIRECT, 0o644)
        except OSError:  # a file system without direct writes
            self._file = os.open(path, flags, 0o644)
        self._path = path
        self._digest = digest
        self._maps = [mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2)]
        for area in self._maps:
            area.madvise(mmap.MADV_HUGEPAGE)
        self._buffers = [np.frombuffer(area, np.uint8) for area in self._maps]
        self._thread = ThreadPoolExecutor(1)
        self._writing: list[Future[None] | None] = [None, None]
        self._turn = 0
        self._fill = 0
        self._spans: list[tuple[int, int]] = []
        self.position = 0

    def append(self, data: NDArray[np.uint8], *, digested: bool = True) -> None:
        """Copy `data` (contiguous bytes) to the end of the file."""
        flat = data.reshape(-1)
        while len(flat):
            part = flat[: BUFFER_BYTES - self._fill]
            self._buffers[self._turn][self._fill : self._fill + len(part)] = part
            if digested:
                self._spans.append((self._fill, self._fill + len(part)))
            self._fill += len(part)
            self.position += len(part)
            flat = flat[len(part) :]
            if self._fill == BUFFER_BYTES:
                self._flush(BUFFER_BYTES)

    def pad(self, alignment: int) -> int:
        """Append zeros up to a multiple of `alignment`; return how many."""
        count = -self.position % alignment
        self.append(np.zeros(count, np.uint8), digested=False)
        return count

    def settle(self) -> None:
        """Write the rest, so that `digest` has seen it. Nothing may be appended afterwards."""
        if self._fill:
            self._flush(-(-self._fill // SECTOR) * SECTOR)
        self._thread.shutdown()
        for writing in self._writing:
            if writing is not None:
                writing.result()

    def close(self, first_bytes: bytes = b"") -> None:
        """Settle, truncate the file to what was appended, and overwrite its start with `first_bytes`."""
        size = self.position
        self.settle()
        os.ftruncate(self._file, size)
        os.close(self._file)
        file = os.open(self._path, os.O_RDWR)
        os.pwrite(file, first_bytes, 0)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    def __enter__(self) -> DirectWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._thread.shutdown()
            os.close(self._file)
            self._path.unlink(missing_ok=True)

    def _flush(self, count: int) -> None:
        start = self.position - self._fill
        self._writing[self._turn] = self._thread.submit(self._write, self._turn, count, start, self._spans)
        self._turn, self._fill, self._spans = 1 - self._turn, 0, []
        pending = self._writing[self._turn]
        if pending is not None:
            pending.result()

    def _write(self, turn: int, count: int, offset: int, spans: list[tuple[int, int]]) -> None:
        buffer = self._buffers[turn]
        for first, last in spans:
            self._digest(buffer[first:last])
        done = 0
        while done < count:
            done += os.pwrite(self._file, buffer[done:count].data, offset + done)
