"""What this machine can do: its disk's rate for reads as the engine makes them, its memory's, its cores.

Measured with Python threads: `preadv` and numpy's reductions release the GIL, and both are limited by hardware.
"""

from __future__ import annotations

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

from edgemed.engine.compute_rates import ComputeRates
from edgemed.errors import SetupError
from edgemed.native import xxh3_64

PAGE = 4096
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


def measure_disk(
    path: Path, size: int, depth: int = 4, seconds: float = 1.0, *, checked: bool = False
) -> tuple[float, bool]:
    """(bytes a second, whether directly) of reads of `size` bytes, `depth` at a time, all over the file.

    `checked`: with a checksum over each, as the engine reads experts. No place is read twice. Raises SetupError when
    the file is too small to tell or cannot be read.
    """
    size = -(-size // PAGE) * PAGE
    try:
        file, direct = _open(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        places = list(range(0, os.fstat(file).st_size - size + 1, size))
        if len(places) < 2 * depth:
            raise SetupError(f"{path.name} is too small to measure the disk with reads of {size / 1e6:.1f} MB.")
        random.Random(0).shuffle(places)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        return _read_rate(file, places, size, depth, seconds, checked), direct
    finally:
        os.close(file)


def _open(path: Path) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), True
    except OSError:  # a file system without direct reads
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False


def _read_rate(file: int, places: list[int], size: int, depth: int, seconds: float, checked: bool) -> float:
    """Threads take places from the list until it is empty or time is up."""
    with _huge(depth * size) as area:
        view = memoryview(area)

        def reader(number: int) -> int:
            buffer = view[number * size : (number + 1) * size]
            done = 0
            try:
                while time.perf_counter() < deadline and places:
                    done += os.preadv(file, [buffer], places.pop())
                    if checked:
                        xxh3_64(buffer)
            finally:
                buffer.release()
            return done

        area[::PAGE] = bytes(len(range(0, len(area), PAGE)))  # touched before the clock starts
        start = time.perf_counter()
        deadline = start + seconds
        with ThreadPoolExecutor(depth) as pool:
            total = sum(pool.map(reader, range(depth)))
        rate = total / (time.perf_counter() - start)
        view.release()
    return rate


@contextmanager
def _huge(size: int) -> Iterator[mmap.mmap]:
    """Anonymous memory in huge pages where the kernel has them: small pages halve the rate of direct reads."""
    area = mmap.mmap(-1, -(-size // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE)
    try:
        yield area
    finally:
        area.close()


def _until(seconds: float, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """At least three turns, then until the time is up."""
    start, turns = clock(), 0
    while turns < 3 or clock() - start < seconds:
        turns += 1
        yield
