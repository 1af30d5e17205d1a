"""Threads that go with their process, and a sentence where the system refuses one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgemed.errors import SetupError


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """A running daemon thread. Raises SetupError where the limit of processes or memory allows no other."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise SetupError(
            "The system refuses another thread; close other programs, or raise the limit (`ulimit -u`)."
        ) from None
    return thread
