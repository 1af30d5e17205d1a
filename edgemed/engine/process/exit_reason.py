"""Why the engine's process ended, in one sentence."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from edgemed import control_group

_MAX_QUOTED = 240
_OUT_OF_MEMORY = "memory ran out; choose a smaller --ram or --ctx, or close other programs"
_GPU_OUT_OF_MEMORY = "the GPU's memory ran out; offload fewer layers with --gpu, or close other programs that use it"
# What the C++ runtime prints before it aborts for lack of memory.
_REFUSED_MEMORY = "std::bad_alloc"
# What llama.cpp's devices print before they abort.
_GPU_FAULT = re.compile(r"(CUDA|ROCm|MUSA) error: .")
_GPU_FULL = re.compile(r"(CUDA|ROCm|MUSA) error: out of memory|ErrorOutOfDeviceMemory")
_CAUSES = {
    signal.SIGSEGV: "a fault inside llama.cpp or edgemed's native library",
    signal.SIGBUS: "the model file became shorter or its disk failed; check it with `edgemed verify`",
    signal.SIGILL: "this processor lacks an instruction the installed llama.cpp was built for; install it from source",
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


def describe_exit(status: int, log: Sequence[str], *, out_of_memory: bool) -> str:
    """The sentence for a process that ended with `status` (as subprocess reports it) and wrote `log`."""
    if status >= 0:
        ending, cause = f"ended with exit status {status}", None
    else:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        ending, cause = f"was ended by {name}", _CAUSES.get(-status)  # type: ignore[call-overload]
        if -status == signal.SIGKILL:
            cause = _OUT_OF_MEMORY if out_of_memory else f"most likely {_OUT_OF_MEMORY}"
        elif -status == signal.SIGABRT and any(_GPU_FULL.search(line) for line in log):
            cause = _GPU_OUT_OF_MEMORY
        elif -status == signal.SIGABRT and any(_REFUSED_MEMORY in line for line in log):
            cause = _OUT_OF_MEMORY
    parts = [f"The engine's process {ending}"]
    if cause:
        parts.append(f": {cause}")
    if line := _fault_line(log):
        parts.append(f' (its last words: "{line}")')
    return "".join(parts) + ". It can be started again."


def _fault_line(log: Sequence[str]) -> str:
    """The last line that names a fault, or else the last line that is not empty. A GPU's fault comes first, because the
    lines after it only say where it happened."""
    lines = [" ".join(line.split()) for line in log if line.strip()]
    marks = ("assert", "error", "abort", "failed", "crashed")
    faults = [line for line in lines if any(mark in line.lower() for mark in marks)]
    of_gpu = [line for line in lines if _GPU_FAULT.match(line)]
    return (of_gpu or faults or lines or [""])[-1][:_MAX_QUOTED]
