"""How much of the processor's cores is in use, by anybody."""

from __future__ import annotations

import time
from pathlib import Path


def idle_and_total() -> tuple[int, int]:
    """Ticks of all cores since boot: idle (waiting for the disk included), and all."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    return ticks[3] + ticks[4], sum(ticks)


def measure_busy(seconds: float = 0.3) -> float:
    """The share of all cores in use while this process sleeps."""
    idle, total = idle_and_total()
    time.sleep(seconds)
    later_idle, later_total = idle_and_total()
    return 1 - (later_idle - idle) / max(1, later_total - total)
