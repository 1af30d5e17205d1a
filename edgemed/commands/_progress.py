"""Progress lines for long commands: redrawn in a terminal, printed line by line into a log."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from edgemed.sizes import format_size

REDRAW_SECONDS = 0.2
LOG_SECONDS = 30.0
WINDOW_SECONDS = 120.0
"""The rate is averaged over this window: dense matrices, which come first, can be much faster than experts."""


class ProgressLine:
    """Shows the amount done (bytes, or as `amount` formats it), rate and time left on standard error.

    A context manager; leaving it finishes the line."""

    def __init__(self, stream: TextIO | None = None, amount: Callable[[int], str] = format_size) -> None:
        self._amount = amount
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._pause = REDRAW_SECONDS if self._terminal else LOG_SECONDS
        self._shown = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque()  # (time shown, bytes done)
        self._stage = ""
        self._drawn = False

    def update(self, stage: str, done: int, total: int, *, before: int = 0, detail: str = "") -> None:
        """Show `done` of `total` bytes if the line is due; an earlier run did `before` of them."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage = stage
            self._recent = deque([(now, before)])
        if now - self._shown < self._pause:
            return
        self._shown = now
        while len(self._recent) > 1 and now - self._recent[1][0] > WINDOW_SECONDS:
            self._recent.popleft()
        began, had = self._recent[0]
        rate = (done - had) / max(now - began, 1e-3)
        self._recent.append((now, done))
        left = f"{format_duration((total - done) / rate)} left" if rate > 0 else "time left unknown"
        parts = (stage, detail, f"{self._amount(done)} of {self._amount(total)}", f"{self._amount(int(rate))}/s", left)
        self._write(", ".join(part for part in parts if part))

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._print("\r\033[K")

    def _write(self, text: str) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._print(f"\r\033[K{text[:width]}")
            self._drawn = True
        else:
            self._print(text + "\n")

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not end hours of work
            self._stream.write(text)
            self._stream.flush()


class StageLine:
    """Says on standard error what a command is doing: redrawn in a terminal, a line per stage into a log.

    A context manager; leaving it finishes the line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._stage = ""

    def show(self, stage: str) -> None:
        """Say that `stage` begins."""
        if stage != self._stage:
            self._stage = stage
            self._print(f"\r\033[K{stage} ..." if self._terminal else f"{stage} ...\n")

    def __enter__(self) -> StageLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._print("\r\033[K")

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def format_duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
