"""Ties a child process to its parent: it dies with it."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PARENTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the terminal sends to the whole process group. The parent handles them and ends its children."""


def die_with_parent(parent: int) -> bool:
    """Make the kernel kill this process when its parent dies, and ignore the signals that the parent handles.

    Returns False if `parent` has already died.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return False
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    return True
