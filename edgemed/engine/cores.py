"""The processor's cores: how many this process should use, and how busy they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edgemed.control_group import processor_quota

_SYSTEM = Path("/sys/devices")
_STAT = Path("/proc/stat")


def usable_cores() -> int:
    """The number of threads to compute with: the physical cores that this process may use, or fewer if a control group
    allows less processor time.

    A second thread per core does not make matmuls faster. On a hybrid processor only performance cores count, because
    all threads wait for the slowest one after every matrix. With more threads than a quota pays for, the kernel stops
    one of them in the middle of a matmul and the others spin while they wait, which uses up the rest of the quota.
    """
    cores, quota = _physical_cores(), processor_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def _physical_cores() -> int:
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
    """The performance cores of a hybrid Intel processor; empty for any other processor."""
    try:
        text = (_SYSTEM / "cpu_core/cpus").read_text()
    except OSError:
        return set()
    ranges = [[int(end) for end in part.split("-")] for part in text.split(",") if part.strip()]
    return {cpu for ends in ranges for cpu in range(ends[0], ends[-1] + 1)}


def idle_and_total() -> tuple[int, int]:
    """(idle, total) ticks of all cores since boot; idle includes waiting for the disk. Zeros where the kernel does not
    tell."""
    try:
        words = _STAT.read_text().split("\n", 1)[0].split()[1:9]
    except OSError:  # a sandbox
        words = []
    ticks = [int(word) for word in words] + [0] * (5 - len(words))
    return ticks[3] + ticks[4], sum(ticks)


class Others:
    """How busy other processes keep the cores, from the moment when this is made. Children of this process that have
    been waited for do not count as others."""

    def __init__(self) -> None:
        self._ticks, self._own = idle_and_total(), _own_seconds()

    def share(self) -> float:
        """The share of all cores that other processes have used, 0 to 1."""
        (idle, total), (later_idle, later_total) = self._ticks, idle_and_total()
        own = (_own_seconds() - self._own) * os.sysconf("SC_CLK_TCK")
        # The kernel's iowait counter can decrease (proc_stat(5)), and with it the idle ticks, so the share is clamped.
        used = later_total - total - (later_idle - idle) - own
        return min(1.0, max(0.0, used) / max(1, later_total - total))


def measure_busy(seconds: float = 0.3) -> float:
    """The share of all cores that other processes use, measured for `seconds`."""
    others = Others()
    time.sleep(seconds)
    return others.share()


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
