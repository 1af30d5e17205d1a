"""Reads typed questions from a terminal, without the kernel's limit on line length.

In canonical mode the kernel delivers at most 4,095 bytes of a line and silently drops the rest. readline reads key by
key. The lines of a paste are recognised by their speed: they arrive faster than anyone types. Bracketed paste would
tell them apart, but the terminal must be asked for it with escape codes, which line mode never writes.
"""

from __future__ import annotations

import contextlib
import select
import signal
import sys
from collections.abc import Iterator

with contextlib.suppress(ImportError):  # without readline, input() reads lines in canonical mode
    import readline

    readline.set_auto_history(False)
    readline.parse_and_bind("set enable-bracketed-paste off")  # it writes escape codes around every prompt

PASTE_SECONDS = 0.2
"""A line that follows the previous one sooner than this belongs to the same paste."""
SIGNAL_SECONDS = 0.5


def read_typed(prompt: str) -> str | None:
    """The line that was typed, or all lines of a paste; None at the end of the input."""
    lines: list[str] = []
    with _signals_noticed(), contextlib.suppress(EOFError):
        lines.append(input(prompt))
        while select.select([sys.stdin], [], [], PASTE_SECONDS)[0]:
            lines.append(input())
    return "\n".join(lines) if lines else None


@contextlib.contextmanager
def _signals_noticed() -> Iterator[None]:
    """Interrupt readline's wait regularly within the block.

    Python runs a signal's handler only once readline's wait is interrupted. A signal that arrives just before the wait
    begins would otherwise be handled only at the next key.
    """
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, SIGNAL_SECONDS, SIGNAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
