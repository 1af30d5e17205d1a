"""The processor's cores: how many there are, and how much of them is in use by anybody."""

from __future__ import annotations

import os
import time
from pathlib import Path


def physical_cores() -> int:
    """Cores this process may use, each counted once: a second thread on a core computes nothing faster here."""
    allowed = os.sched_getaffinity(0)
    cores = set()
    for cpu in allowed:
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:
            return len(allowed)
        cores.add(siblings)
    return len(cores)


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
    return max(0.0, used) / max(1, later_total - total)
