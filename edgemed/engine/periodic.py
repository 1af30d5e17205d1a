"""Calls a function periodically on another thread, for the progress of a long call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgemed.engine.threads import start_thread

TICK_SECONDS = 0.25


@contextmanager
def periodically(tick: Callable[[], None], seconds: float = TICK_SECONDS) -> Iterator[None]:
    """Call `tick` every `seconds` while the block runs, and never after it has ended."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            tick()

    thread = start_thread(run, "periodically")
    try:
        yield
    finally:
        over.set()
        thread.join()
