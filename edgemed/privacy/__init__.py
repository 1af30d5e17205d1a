"""Keeps patient text on this machine: no network sockets, no core dumps, no access to our memory.

    privacy.close_to_others()  the first line of every process that will hold text: no core dumps, no debuggers
    privacy.lock_down()        before the process reads text or a model, and before it starts a thread: no network
    privacy.fork_once()        then work in a new process, whose memory was never open to others
    privacy.seal()             once the process has started: no local sockets either

`python -m edgemed.privacy` takes these steps for a child process, and `edgemed.privacy.checks` tries every lock.
The kernel enforces the locks (seccomp). No library that is loaded later can lift them, and programs that the process
starts inherit them.
"""

from __future__ import annotations

from edgemed.privacy.fork import fork_once
from edgemed.privacy.process import close_to_others, lock_down, seal

__all__ = ["close_to_others", "fork_once", "lock_down", "seal"]
