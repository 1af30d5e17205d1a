"""When the screen hides or locks by itself. Pure logic, with clocks that tests replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

LOCK_SECONDS = 30 * 60.0
"""How long the screen may stay hidden before it locks."""
SLEPT_SECONDS = 1.0
"""The clocks differ by less than this unless the computer was suspended."""


def seconds_asleep() -> float:
    """How long the computer has been suspended since it was started: CLOCK_MONOTONIC stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@dataclass(slots=True)
class Guard:
    """Tell it of every key and click (`touched`); ask it once a second what is `due`.

    On a shared computer a hidden screen locks as soon as no answer is being written.
    """

    hide_seconds: float = 180.0
    shared: bool = False
    now: Callable[[], float] = time.monotonic
    asleep: Callable[[], float] = seconds_asleep
    _last: float = field(init=False)
    _known_asleep: float = field(init=False)
    _hidden_at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._last = self.now()
        self._known_asleep = self.asleep()

    def touched(self) -> None:
        self._last = self.now()

    def hide(self) -> None:
        """The screen is hidden from now on."""
        self._hidden_at = self.now()

    def show(self) -> None:
        """The screen is shown again."""
        self._hidden_at = None
        self.touched()

    def slept(self) -> bool:
        """Whether the computer was suspended since the last call. One call costs two clock readings."""
        asleep = self.asleep()
        if asleep - self._known_asleep < SLEPT_SECONDS:
            return False
        self._known_asleep = asleep
        return True

    def due(self, *, answering: bool) -> Literal["", "hide", "lock"]:
        now = self.now()
        if self._hidden_at is None:
            return "hide" if now - self._last >= self.hide_seconds else ""
        if now - self._hidden_at >= LOCK_SECONDS or (self.shared and not answering):
            return "lock"
        return ""
