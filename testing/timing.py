"""Time limits on a machine that may be busy for a moment."""

import threading
import time
from collections.abc import Callable


class Later(threading.Timer):
    """A timer that calls `stop` after some seconds and knows how long ago that was."""

    def __init__(self, seconds: float, stop: Callable[[], None]) -> None:
        super().__init__(seconds, self._call)
        self._then = stop

    def _call(self) -> None:
        self._called = time.monotonic()
        self._then()

    def ago(self) -> float:
        return time.monotonic() - self._called


def within(seconds: float, measure: Callable[[], float]) -> bool:
    """Return whether one of three measurements takes no longer than that."""
    return any(measure() < seconds for _ in range(3))


def soon(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until the condition holds, however busy the machine is; return whether it does."""
    limit = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


MOST_SECONDS = 5.0
"""Of processor time for rules on a hostile text of 500 kB. Under 1 s on an idle Zen 4; a slower or busy core takes
several times as long, and quadratic work takes minutes."""
