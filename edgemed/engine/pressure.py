"""Shrinks the expert cache while memory is under pressure, and grows it again afterwards.

The kernel reports for how much of the last ten seconds some task was stalled for lack of memory (PSI:
https://docs.kernel.org/accounting/psi.html). Cached experts can be read again, which is better than making other
programs swap or be killed.
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
"""Percent of time stalled: from HIGH on the cache shrinks, below LOW it grows."""
_SHRINK, _GROW = 0.8, 1.1


@dataclass(slots=True)
class Governor:
    """Decides the size of the cache, in bytes: at least `least` and at most `most`, depending on memory pressure."""

    least: int
    most: int
    now: int

    def decide(self, stalled_percent: float) -> int:
        """The size for the current pressure."""
        if stalled_percent >= HIGH:
            self.now = max(self.least, int(self.now * _SHRINK))
        elif stalled_percent < LOW:
            self.now = min(self.most, int(self.now * _GROW) + 1)
        return self.now

    def give_back(self, nbytes: int) -> int:
        """Reduce the size by `nbytes` for good: the cache does not grow beyond it later."""
        self.most = max(self.least, self.now - nbytes)
        self.now = self.most
        return self.now


class CacheSize:
    """The size of a running cache, changed by memory pressure and by requests for memory. Callable from any thread."""

    def __init__(self, governor: Governor, resize: Callable[[int], None]) -> None:
        self._governor = governor
        self._resize = resize
        self._deciding = threading.Lock()

    def follow(self, stalled_percent: float) -> None:
        """Resize the cache if the current pressure requires it."""
        with self._deciding:
            before = self._governor.now
            if self._governor.decide(stalled_percent) != before:
                self._resize(self._governor.now)

    def give_back(self, nbytes: int) -> None:
        """Shrink the cache by `nbytes`, or to its smallest size."""
        with self._deciding:
            self._resize(self._governor.give_back(nbytes))


def stalled_percent(source: Path = PRESSURE) -> float | None:
    """Percent of the last ten seconds in which some task waited for memory; None if the kernel does not report it."""
    try:
        some = source.read_text().split("\n", 1)[0]
        return float(some.split("avg10=", 1)[1].split(" ", 1)[0])
    except (OSError, IndexError, ValueError):
        return None


def watch(size: CacheSize) -> threading.Event:
    """Start a thread that adapts `size` to memory pressure until the returned event is set."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(POLL_SECONDS):
            stalled = stalled_percent()
            if stalled is None:
                return
            size.follow(stalled)

    start_thread(run, "memory pressure")
    return stop
