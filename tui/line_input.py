"""Reads a person's questions from a terminal, without the terminal's own limits.

A terminal by itself hands over lines of at most 4,095 bytes and drops the rest without a word. readline takes keys one
by one, and keeps the lines of a bracketed paste together; of other pastes, the lines come faster than anybody types.
"""

from __future__ import annotations

import contextlib
import select
import signal
import sys
from collections.abc import Iterator

with contextlib.suppress(ImportError):  # a Python without it reads lines as the terminal hands them over
    import readline

    readline.set_auto_history(False)

PASTE_SECONDS = 0.1
"""A line that comes sooner after the one before belongs to the same paste."""
SIGNAL_SECONDS = 0.5


def read_typed(prompt: str) -> str | None:
    """What was typed before Enter, or a paste's lines together; None at the end of the input."""
    lines: list[str] = []
    with _signals_noticed(), contextlib.suppress(EOFError):
        lines.append(input(prompt))
        while select.select([sys.stdin], [], [], PASTE_SECONDS)[0]:
            lines.append(input())
    return "\n".join(lines) if lines else None


@contextlib.contextmanager
def _signals_noticed() -> Iterator[None]:
    """A signal that comes just before readline begins to wait for a key would wait for that key, too: another one soon
    wakes it."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, SIGNAL_SECONDS, SIGNAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
