"""This machine's rates: disk reads as the engine makes them, memory, and compute.

Measured with Python threads: `preadv` and numpy's reductions release the GIL and are limited by the hardware.
"""

from __future__ import annotations

import contextlib
import errno
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

from edgemed.engine.budget import available_bytes
from edgemed.errors import SetupError
from edgemed.forecast.compute_rates import ComputeRates
from edgemed.native import xxh3_64
from edgemed.sizes import PAGE

HUGE_PAGE = 2 << 20
MEMORY_BYTES = 256 << 20
_NO_DIRECT_READS = (errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Machine:
    """Rates in bytes per second: `disk` with reads like the engine's, `memory` with all cores reading.

    direct: whether disk reads bypass the page cache; compute: the engine's own rates; busy: the share of all cores that
    other processes used while all this was measured.
    """

    disk: float
    memory: float
    compute: ComputeRates
    direct: bool
    busy: float = 0.0


def measure_memory(threads: int, seconds: float = 0.5) -> float:
    """The rate in bytes per second at which `threads` threads together read memory."""
    # A quarter of what is free, because the kernel ends a process that takes more than its control group may.
    with _huge(max(HUGE_PAGE, min(MEMORY_BYTES, available_bytes() // 4))) as area:
        words = np.frombuffer(area, np.uint64)
        words[:] = 1  # write every page, or the reads would hit the shared zero page
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
    """Direct reads of `size` bytes at random offsets of a file, `depth` at a time, in several samples of at most
    `seconds`.

    The rate of a shared disk changes from second to second, so samples are taken between other measurements. No offset
    is read twice. `checked` adds a checksum over each read, as the engine does for experts; `direct` tells whether they
    bypass the page cache. Raises SetupError if the file is too small or cannot be read.
    """

    def __init__(
        self, path: Path, size: int, depth: int, *, samples: int = 1, seconds: float = 1.0, checked: bool = False
    ) -> None:
        self._size, self._depth, self._seconds, self._checked = -(-size // PAGE) * PAGE, depth, seconds, checked
        self._path = path
        try:
            self._buffered = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
        try:
            self._unbuffered = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
            self.direct = True
        except OSError:  # a file system without direct reads
            self._unbuffered, self.direct = self._buffered, False
        places = list(range(0, os.fstat(self._buffered).st_size - self._size + 1, self._size))
        if len(places) < 2 * depth * samples:
            self.close()
            raise SetupError(f"{path.name} is too small to measure the disk with reads of {self._size / 1e6:.1f} MB.")
        random.Random(0).shuffle(places)
        self._places = [places[number::samples] for number in range(samples)]
        self._bytes, self._time = 0, 0.0

    def __enter__(self) -> DiskProbe:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        for file in {self._buffered, self._unbuffered}:
            os.close(file)

    @property
    def rate(self) -> float:
        """Bytes per second over all samples so far."""
        return self._bytes / self._time

    def sample(self) -> None:
        """Read until this sample's offsets or its time are used up. Raises SetupError if a read fails."""
        places = self._places.pop()
        os.posix_fadvise(self._buffered, 0, 0, os.POSIX_FADV_DONTNEED)
        with _huge(self._depth * self._size) as area:
            area[::PAGE] = bytes(len(range(0, len(area), PAGE)))  # fault the pages in before the clock starts
            view = memoryview(area)
            start = time.perf_counter()

            def reader(number: int) -> int:
                buffer = view[number * self._size : (number + 1) * self._size]
                done = 0
                try:
                    while time.perf_counter() < start + self._seconds and places:
                        done += self._read(buffer, places.pop())
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

    def _read(self, buffer: memoryview, offset: int) -> int:
        """Read directly. Some file systems refuse that only now: then read buffered, as the engine does."""
        if self.direct:
            try:
                return os.preadv(self._unbuffered, [buffer], offset)
            except OSError as error:
                if error.errno not in _NO_DIRECT_READS:
                    raise
                self.direct = False
        return os.preadv(self._buffered, [buffer], offset)


@contextmanager
def _huge(size: int) -> Iterator[mmap.mmap]:
    """Anonymous memory in huge pages if the kernel has any: small pages halve the rate of direct reads."""
    area = mmap.mmap(-1, -(-size // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE)
    try:
        yield area
    finally:
        with contextlib.suppress(BufferError):  # after an interrupt, a view may still exist
            area.close()


def _until(seconds: float, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """At least three rounds, then until the time is up."""
    start, turns = clock(), 0
    while turns < 3 or clock() - start < seconds:
        turns += 1
        yield
