"""How every child process of ours is started: one command line, one environment, and its first lines.

    process = launch("edgemed.engine.process.worker", descriptor, pass_fds=(descriptor,))

A child locks itself down and forks once before it reads or opens anything of the user's (`python -m edgemed.privacy`);
tests/privacy/test_lock_order.py watches the system calls of each one. So the process that `launch` returns only waits
for the one that works: it ends as that one ends, and if it is killed, the kernel kills that one too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from edgemed.engine.cores import measure_busy

# Variables of libraries inside the engine that could change its results or make it write files.
_SCRUBBED = ("TEXTUAL", "LLAMA_", "GGML_", "GOMP_", "OMP_", "KMP_")
_KEPT = ("GGML_VK_VISIBLE_DEVICES",)  # which GPUs to use; other drivers' variables have other prefixes
# How often a waiting OpenMP thread spins before it sleeps. On an idle machine 100,000 rounds (about 2 ms) cut a
# true-shape token from 34 to 30 ms. Beside a dozen busy processes, spinning takes cores from the threads it waits for:
# a model with 1 ms tokens falls from 70 tokens/s to 5 (docs/decisions.md#thread-spinning).
_SPINS_IDLE, _SPINS_BUSY = "100000", "1000"
_BUSY_SHARE, _BUSY_SECONDS = 0.25, 0.05
# libllama allocates dense weights with malloc: in huge pages they are read 2 to 6 % faster
# (docs/decisions.md#dense-weights-in-huge-pages).
_HUGE_PAGES = "glibc.malloc.hugetlb=1"
# On a failed check ggml would start a debugger on itself, which takes seconds and buries the check's own message.
_NO_DEBUGGER = {"GGML_NO_BACKTRACE": "1"}


def launch(
    module: str, *arguments: object, network: bool = False, env: Mapping[str, str] | None = None, **popen: Any
) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments...` with `env` (by default `environment()`); `popen` are subprocess.Popen's own
    options. Raises OSError.

    The calling thread must live as long as the child, because the kernel kills a child with the thread that started it.
    network: the module connects to an RPC server before it calls `privacy.lock_down` itself. -P keeps the current
    folder off the module path: a file there must not replace a module of ours.
    """
    first_lines = ["edgemed.privacy", str(os.getpid()), "network" if network else "offline"]
    command = [sys.executable, "-P", "-m", *first_lines, module, *map(str, arguments)]
    return subprocess.Popen(command, env=environment() if env is None else env, **popen)


def environment() -> dict[str, str]:
    """The environment of a child that computes: ours, without variables that change how its libraries compute, plus our
    choices for OpenMP and malloc. Takes 50 ms to see how busy the machine is."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SCRUBBED)}
    spins = _SPINS_BUSY if measure_busy(_BUSY_SECONDS) > _BUSY_SHARE else _SPINS_IDLE
    tunables = ":".join(filter(None, (kept.get("GLIBC_TUNABLES"), _HUGE_PAGES)))
    return kept | {"GOMP_SPINCOUNT": spins, "GLIBC_TUNABLES": tunables} | _NO_DEBUGGER
