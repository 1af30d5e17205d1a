"""Why the engine's process ended, in one sentence."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from edgemed import control_group

FORGET = "edgemed: waiting for a request"
"""The engine writes this line to its log whenever it is ready for a request. The lines before it, such as llama.cpp's
complaint about an answer that the user stopped, did not end the process and explain no later end."""

_MAX_QUOTED = 240
_OUT_OF_MEMORY = "this computer ran out of memory; close other programs, or choose a smaller --ram"
_GPU_OUT_OF_MEMORY = "the GPU ran out of memory; offload fewer layers with --gpu, or close other programs that use it"
# What the C++ runtime prints before it aborts for lack of memory.
_REFUSED_MEMORY = "std::bad_alloc"
# What llama.cpp's devices print before they abort.
_GPU_FAULT = re.compile(r"(CUDA|ROCm|MUSA) error: .")
_GPU_FULL = re.compile(r"(CUDA|ROCm|MUSA) error: out of memory|ErrorOutOfDeviceMemory")
_CAUSES = {
    signal.SIGSEGV: "of a fault in llama.cpp or in edgemed's native library",
    signal.SIGBUS: "its file became shorter or its disk failed; check the file with `edgemed verify`",
    signal.SIGILL: "this processor lacks an instruction that the installed llama.cpp uses; install it from source",
    signal.SIGABRT: "an internal check of llama.cpp failed",
    signal.SIGTERM: "another program ended it",
}


def oom_kills() -> int:
    """The number of processes that the kernel has killed for lack of memory, here and in our control groups."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        lines = []
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill ")) + control_group.oom_kills()


def describe_exit(status: int, log: Sequence[str], *, out_of_memory: bool, what: str = "The model") -> str:
    """The sentence for a process that ended with `status` (as subprocess reports it) and wrote `log`.

    `what` names what ran in it; `out_of_memory` says whether the kernel killed a process for lack of memory meanwhile.
    """
    cause = ""
    if status >= 0:
        ending = f"exit status {status}"
    else:
        try:
            ending = signal.Signals(-status).name
        except ValueError:
            ending = f"signal {-status}"
        cause = f" because {_CAUSES[-status]}" if -status in _CAUSES else ""  # type: ignore[index]
        if -status == signal.SIGKILL:
            cause = f" because {_OUT_OF_MEMORY}" if out_of_memory else f", most likely because {_OUT_OF_MEMORY}"
        elif -status == signal.SIGABRT and any(_GPU_FULL.search(line) for line in log):
            cause = f" because {_GPU_OUT_OF_MEMORY}"
        elif -status == signal.SIGABRT and any(_REFUSED_MEMORY in line for line in log):
            cause = f" because {_OUT_OF_MEMORY}"
    if line := _fault_line(log):
        ending += f'; last words: "{line}"'
    return f"{what} stopped{cause} ({ending})."


def _fault_line(log: Sequence[str]) -> str:
    """The last line that names a fault, or else the last line that is not empty. A GPU's fault comes first, because the
    lines after it only say where it happened."""
    lines = [" ".join(line.split()) for line in log if line.strip()]
    marks = ("assert", "error", "abort", "failed", "crashed")
    faults = [line for line in lines if any(mark in line.lower() for mark in marks)]
    of_gpu = [line for line in lines if _GPU_FAULT.match(line)]
    return (of_gpu or faults or lines or [""])[-1][:_MAX_QUOTED]
