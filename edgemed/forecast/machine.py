"""What this machine can do: its disk's rate for reads as the engine makes them, its memory's, its cores.

Measured with Python threads: `preadv` and numpy's reductions release the GIL, and both are limited by hardware.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemed.errors import SetupError
from edgemed.forecast.compute_rates import ComputeRates
from edgemed.native import xxh3_64
from edgemed.sizes import PAGE

HUGE_PAGE = 2 << 20
MEMORY_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes a second: `disk` with the engine's reads, `memory` with all cores reading. `direct`: past the page cache.

    `compute`: what the cores do. `busy`: the share of all cores that others used just before.
    """

    disk: float
    memory: float
    compute: ComputeRates
    direct: bool
    busy: float = 0.0


def measure_memory(threads: int, seconds: float = 0.5) -> float:
    """The rate in bytes a second at which `threads` threads together read memory."""
    with _huge(MEMORY_BYTES) as area:
        words = np.frombuffer(area, np.uint64)
        words[:] = 1  # touched, so that no page is the shared zero page
        parts = np.array_split(words, threads)
        rates = []
        with ThreadPoolExecutor(threads) as pool:
            for _ in _until(seconds):
                start = time.perf_counter()
                list(pool.map(np.sum, parts))
                rates.append(words.nbytes / (time.perf_counter() - start))
        del words, parts
    return float(np.median(rates))


class DiskProbe:
    """Direct reads of `size` bytes from all over a file, `depth` at a time, in several looks of `seconds` at most.

    A disk that others share is not the same from one second to the next, hence several looks with something else
    between them. No place is read twice. `checked`: with a checksum over each read, as the engine reads experts.
    Raises SetupError when the file is too small to tell or cannot be read.
    """

    def __init__(
        self, path: Path, size: int, depth: int, *, looks: int = 1, seconds: float = 1.0, checked: bool = False
    ) -> None:
        self._size, self._depth, self._seconds, self._checked = -(-size // PAGE) * PAGE, depth, seconds, checked
        self._path = path
        try:
            self._file, self.direct = _open(path)
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
        places = list(range(0, os.fstat(self._file).st_size - self._size + 1, self._size))
        if len(places) < 2 * depth * looks:
            self.close()
            raise SetupError(f"{path.name} is too small to measure the disk with reads of {self._size / 1e6:.1f} MB.")
        random.Random(0).shuffle(places)
        self._places = [places[look::looks] for look in range(looks)]
        self._bytes, self._time = 0, 0.0

    def __enter__(self) -> DiskProbe:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @property
    def rate(self) -> float:
        """Bytes a second, of all looks so far."""
        return self._bytes / self._time

    def look(self) -> None:
        """Read until this look's places are used up or its time is. Raises SetupError when a read fails."""
        places = self._places.pop()
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        with _huge(self._depth * self._size) as area:
            area[::PAGE] = bytes(len(range(0, len(area), PAGE)))  # touched before the clock starts
            view = memoryview(area)
            start = time.perf_counter()

            def reader(number: int) -> int:
                buffer = view[number * self._size : (number + 1) * self._size]
                done = 0
                try:
                    while time.perf_counter() < start + self._seconds and places:
                        done += os.preadv(self._file, [buffer], places.pop())
                        if self._checked:
                            xxh3_64(buffer)
                finally:
                    buffer.release()
                return done

            try:
                with ThreadPoolExecutor(self._depth) as pool:
                    self._bytes += sum(pool.map(reader, range(self._depth)))
            except OSError as error:
                raise SetupError(f"{self._path} cannot be read: {error.strerror}.") from None
            finally:
                view.release()
            self._time += time.perf_counter() - start


def _open(path: Path) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), True
    except OSError:  # a file system without direct reads
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False


@contextmanager
def _huge(size: int) -> Iterator[mmap.mmap]:
    """Anonymous memory in huge pages where the kernel has them: small pages halve the rate of direct reads."""
    area = mmap.mmap(-1, -(-size // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE)
    try:
        yield area
    finally:
        with contextlib.suppress(BufferError):  # interrupted, somebody still looks into it
            area.close()


def _until(seconds: float, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """At least three turns, then until the time is up."""
    start, turns = clock(), 0
    while turns < 3 or clock() - start < seconds:
        turns += 1
        yield
