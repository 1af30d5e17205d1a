"""The first lines of every child process: `python -P -m edgemed.privacy PARENT NETWORK MODULE ARGUMENT...`.

Locks the process down, forks once, and runs MODULE in the new process, as `python -m MODULE ARGUMENT...` would. Both
processes are killed when the thread of PARENT that started them ends, even if they hang. NETWORK is "offline", or
"network" for an engine that has yet to connect to an RPC server; it locks itself down once it has connected.
"""

from __future__ import annotations

import runpy
import signal
import sys

from edgemed import privacy
from edgemed.privacy.fork import die_with_parent

# The terminal sends these to the whole process group. The parent handles them and ends its children.
_LEFT_TO_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(parent: str, network: str, module: str, *arguments: str) -> None:
    privacy.close_to_others()
    if network == "offline":
        privacy.lock_down(allow_unsealed=True)  # the parent has decided whether to go on without a filter
    die_with_parent(int(parent))
    privacy.fork_once(stop_too=False)
    for number in _LEFT_TO_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
