"""When a growing answer is painted again. Pure logic."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.06
"""The most processor time that the interface spends while an answer grows, as a share of a core."""
LEAST_SECONDS, MOST_SECONDS = 0.1, 0.5
"""Between two paints. The reader sees steps above the second."""


class Pace:
    """Spaces paints so that they cost at most SHARE of a core, on a slow machine and in a large window as well.

    `used` is the processor time of the interface's thread, in seconds. A paint costs most of it after the call that
    asks for the paint, so the cost of one is known when the next one is wanted.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._used = used
        self._last: tuple[float, float] | None = None  # the time and the processor time of the last paint

    def restart(self) -> None:
        """Let the first text of an answer be painted at once."""
        self._last = None

    def painted(self) -> None:
        """A paint begins now."""
        self._last = self._clock(), self._used()

    def wait(self) -> float:
        """Seconds until the next paint; 0 if it is due."""
        if self._last is None:
            return 0.0
        at, used = self._last
        apart = min(max((self._used() - used) / SHARE, LEAST_SECONDS), MOST_SECONDS)
        return max(0.0, at + apart - self._clock())
