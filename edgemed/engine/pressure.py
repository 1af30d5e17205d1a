"""Gives cached experts back while other programs fight for memory, and takes the room again when they have stopped.

The kernel says how much of the last ten seconds somebody stood still for lack of memory (PSI:
https://docs.kernel.org/accounting/psi.html). Cached experts can be read again; what swaps or is killed cannot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemed.engine.threads import start_thread

PRESSURE = Path("/proc/pressure/memory")
POLL_SECONDS = 2.0
HIGH, LOW = 10.0, 1.0
"""Percent of time stalled: from HIGH on memory is given back, below LOW it is taken again."""
_SHRINK, _GROW = 0.8, 1.1


@dataclass(slots=True)
class Governor:
    """Decides the cache's size: never below `least`, never above `most` bytes, between them by pressure."""

    least: int
    most: int
    now: int

    def decide(self, stalled_percent: float) -> int:
        """The size that fits the pressure of this moment."""
        if stalled_percent >= HIGH:
            self.now = max(self.least, int(self.now * _SHRINK))
        elif stalled_percent < LOW:
            self.now = min(self.most, int(self.now * _GROW) + 1)
        return self.now

    def give_back(self, nbytes: int) -> int:
        """The size without `nbytes` of it, which later calm does not take again."""
        self.most = max(self.least, self.now - nbytes)
        self.now = self.most
        return self.now


class CacheSize:
    """The cache's size while it runs: pressure moves it, and so does whoever asks for memory. From any thread."""

    def __init__(self, governor: Governor, resize: Callable[[int], None]) -> None:
        self._governor = governor
        self._resize = resize
        self._deciding = threading.Lock()

    def follow(self, stalled_percent: float) -> None:
        """Resize where the pressure of this moment asks for it."""
        with self._deciding:
            before = self._governor.now
            if self._governor.decide(stalled_percent) != before:
                self._resize(self._governor.now)

    def give_back(self, nbytes: int) -> None:
        """Make the cache smaller by `nbytes`, or as small as it may be."""
        with self._deciding:
            self._resize(self._governor.give_back(nbytes))


def stalled_percent(source: Path = PRESSURE) -> float | None:
    """Percent of the last ten seconds in which some task waited for memory; None where the kernel does not say."""
    try:
        some = source.read_text().split("\n", 1)[0]
        return float(some.split("avg10=", 1)[1].split(" ", 1)[0])
    except (OSError, IndexError, ValueError):
        return None


def watch(size: CacheSize) -> threading.Event:
    """Let `size` follow the machine's pressure, on a thread of its own, until the returned event is set."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(POLL_SECONDS):
            stalled = stalled_percent()
            if stalled is None:
                return
            size.follow(stalled)

    start_thread(run, "memory pressure")
    return stop
