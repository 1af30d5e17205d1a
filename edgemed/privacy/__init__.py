"""Keeps patient text on this machine: no network sockets, no core dumps, no access to our memory.

    privacy.close_to_others()  the first line of every process that will hold text: no core dumps, no debuggers
    privacy.lock_down()        before the process reads text or a model, and before it starts a thread: no network
    privacy.seal()             once the process has started: no local sockets either
    privacy.proof()            tries every lock of this process and reports the results

The kernel enforces the locks (seccomp). No library that is loaded later can lift them, and programs that the process
starts inherit them.
"""

from __future__ import annotations

from edgemed.privacy.checks import Check, proof
from edgemed.privacy.process import close_to_others, lock_down, seal

__all__ = ["Check", "close_to_others", "lock_down", "proof", "seal"]
