"""Daemon threads, with a readable error if the system refuses one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgemed.errors import SetupError


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread. Raises SetupError if the limit of processes or memory is reached."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise SetupError(
            "The system refuses another thread; close other programs, or raise the limit (`ulimit -u`)."
        ) from None
    return thread
