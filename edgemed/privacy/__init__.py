"""What keeps patient text inside this machine: no network sockets, no core dumps, no readers of our memory.

    privacy.close_to_others()  first line of every process that will hold text: memory closed, no core dumps
    privacy.lock_down()        before it reads text or a model, and before it starts a thread: no network sockets
    privacy.seal()             once it has started: not even local sockets any more
    privacy.proof()            what holds in this process right now, tried and not just assumed

The kernel does the refusing (seccomp), so no library loaded later can change its mind, and neither can a program that
the process starts.
"""

from __future__ import annotations

from edgemed.privacy.checks import Check, proof
from edgemed.privacy.process import close_to_others, lock_down, seal

__all__ = ["Check", "close_to_others", "lock_down", "proof", "seal"]
