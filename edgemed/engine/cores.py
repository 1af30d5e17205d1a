"""The processor's cores: how many there are, and how much of them is in use by anybody."""

from __future__ import annotations

import os
import time
from pathlib import Path

_SYSTEM = Path("/sys/devices")


def physical_cores() -> int:
    """Cores this process may use, each counted once: a second thread on a core computes nothing faster here. Of a
    processor with two kinds of cores, the fast ones: all threads wait for the slowest after every matrix."""
    allowed = os.sched_getaffinity(0)
    allowed = allowed & _fast() or allowed
    cores = set()
    for cpu in allowed:
        try:
            siblings = (_SYSTEM / f"system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:
            return len(allowed)
        cores.add(siblings)
    return len(cores)


def _fast() -> set[int]:
    """The performance cores of an Intel processor that has others beside them; else nothing."""
    try:
        text = (_SYSTEM / "cpu_core/cpus").read_text()
    except OSError:
        return set()
    ranges = [[int(end) for end in part.split("-")] for part in text.split(",") if part.strip()]
    return {cpu for ends in ranges for cpu in range(ends[0], ends[-1] + 1)}


def idle_and_total() -> tuple[int, int]:
    """Ticks of all cores since boot: idle (waiting for the disk included), and all."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    return ticks[3] + ticks[4], sum(ticks)


def measure_busy(seconds: float = 0.3) -> float:
    """The share of all cores that others use meanwhile; what this process uses in other threads does not count."""
    (idle, total), own = idle_and_total(), time.process_time()
    time.sleep(seconds)
    later_idle, later_total = idle_and_total()
    used = later_total - total - (later_idle - idle) - (time.process_time() - own) * os.sysconf("SC_CLK_TCK")
    # The kernel's count of time spent waiting for the disk may fall, and what is idle with it (proc_stat(5)).
    return min(1.0, max(0.0, used) / max(1, later_total - total))
