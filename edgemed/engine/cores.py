"""How much of the processor's cores is in use, by anybody."""

from __future__ import annotations

import os
import time
from pathlib import Path


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
