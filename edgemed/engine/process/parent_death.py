"""What a process of the engine does first: it belongs to the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PARENTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""They reach the whole group; the parent says what they mean, and ends us."""


def die_with_parent(parent: int) -> bool:
    """From now on the kernel kills this process with its parent, and the signals that end one are left to that.

    False where `parent` died before it could be asked for.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return False
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    return True
