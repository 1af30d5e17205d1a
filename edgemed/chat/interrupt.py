"""Makes Ctrl+C stop the current answer instead of the program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from edgemed.chat.conversation import Turn
from edgemed.chat.engine import ChatEngine


@contextmanager
def interrupt_stops(engine: ChatEngine, turn: Turn) -> Iterator[None]:
    """Within the block, SIGINT stops `turn`. Does nothing outside the main thread, where handlers cannot be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        # A handler can run at any point of the main thread, which may hold the lock that `stop` takes.
        threading.Thread(target=engine.stop, args=(turn.request,), daemon=True).start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
