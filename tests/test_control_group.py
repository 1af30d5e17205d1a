"""The limits of control groups: version 1 in real groups, version 2 on recorded trees of /proc and /sys.

Version 2 has not been tried in a real group: the machine that these tests were written on has its memory and cpu
controllers in version 1. The trees have the files, and the spelling, of the kernel's documentation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgemed import control_group
from edgemed.engine import cores

MIB = 1 << 20
NO_LIMIT = "9223372036854771712"
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


def recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, mounts: tuple[str, ...], files: Mapping[str, str]
) -> None:
    """Make `root` the machine: its /proc/self/cgroup and mountinfo, and files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup + "\n")
    (root / "proc/self/mountinfo").write_text("\n".join(mounts) + "\n")
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    monkeypatch.setattr(control_group, "_ROOT", root)


def v2_memory(group: str, limit: str, used: int, inactive: int = 0) -> dict[str, str]:
    texts = {"memory.max": limit, "memory.current": str(used), "memory.stat": f"anon 4096\ninactive_file {inactive}"}
    return {f"{group}{name}": text for name, text in texts.items()}


def test_v2_the_smallest_room_of_all_ancestors_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (
        v2_memory("user.slice/user-7.slice/app.scope/", "max", 50 * MIB)
        | v2_memory("user.slice/user-7.slice/", str(900 * MIB), 500 * MIB, 100 * MIB)  # 500 MiB left
        | v2_memory("user.slice/", str(2000 * MIB), 1800 * MIB, 50 * MIB)  # 250 MiB left
        | v2_memory("system.slice/", str(MIB), 0)  # not an ancestor
    )
    recorded(tmp_path, monkeypatch, "0::/user.slice/user-7.slice/app.scope", (V2,), files)
    assert control_group.memory_left() == 250 * MIB
    (tmp_path / "sys/fs/cgroup/user.slice/memory.max").write_text("max\n")
    assert control_group.memory_left() == 500 * MIB
    (tmp_path / "sys/fs/cgroup/user.slice/user-7.slice/app.scope/memory.high").write_text(f"{60 * MIB}\n")
    assert control_group.memory_left() == 10 * MIB


def test_v2_a_full_group_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path, monkeypatch, "0::/a", (V2,), v2_memory("a/", str(100 * MIB), 101 * MIB))
    assert control_group.memory_left() == 0


@pytest.mark.parametrize("path", ["/", "/../../docker/1f0c", "/not/mounted/here"])
def test_v2_in_a_container_with_its_own_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The mount's root is the container's group, whatever the path says."""
    files = v2_memory("", str(300 * MIB), 100 * MIB) | {"cpu.max": "150000 100000"}
    recorded(tmp_path, monkeypatch, f"0::{path}", (V2,), files)
    assert control_group.memory_left() == 200 * MIB
    assert control_group.processor_quota() == 1.5


def test_v1_in_a_container_that_sees_the_hosts_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker mounts the container's group itself, and /proc/self/cgroup names it from the host's root."""
    mount = V1_MEMORY.replace(" / ", " /docker/1f0c ")
    files = {
        "memory/memory.limit_in_bytes": str(300 * MIB),
        "memory/memory.usage_in_bytes": str(250 * MIB),
        "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {20 * MIB}",
        "memory/job/memory.limit_in_bytes": NO_LIMIT,
    }
    recorded(tmp_path, monkeypatch, "4:memory:/docker/1f0c/job\n0::/", (mount,), files)
    assert control_group.memory_left() == 70 * MIB


def test_a_mixed_machine_uses_the_hierarchy_of_each_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unified = V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/my\\040unified ")
    files = {
        "my unified/b/memory.events": "low 0\noom 3\noom_kill 2",
        "memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5",
        "cpu,cpuacct/c/d/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/c/d/cpu.cfs_period_us": "100000",
        "cpu,cpuacct/c/cpu.cfs_quota_us": "250000",
        "cpu,cpuacct/c/cpu.cfs_period_us": "100000",
    }
    recorded(tmp_path, monkeypatch, "4:memory:/a\n2:cpu,cpuacct:/c/d\n0::/b", (V1_MEMORY, V1_CPU, unified), files)
    assert control_group.processor_quota() == 2.5
    assert control_group.oom_kills() == 7
    assert control_group.memory_left() is None


@pytest.mark.parametrize("text", ["", "max", "max 100000", "0 0", "nonsense", "-1 100000"])
def test_a_quota_that_limits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    recorded(tmp_path, monkeypatch, "0::/a", (V2,), {"a/cpu.max": text})
    assert control_group.processor_quota() is None


def test_without_proc_there_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_group, "_ROOT", tmp_path)
    assert (control_group.memory_left(), control_group.processor_quota(), control_group.oom_kills()) == (None, None, 0)


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.0, 1), (1.9, 1), (3.0, 3), (64.0, 4), (None, 4)])
def test_a_quota_bounds_the_threads(monkeypatch: pytest.MonkeyPatch, quota: float | None, threads: int) -> None:
    monkeypatch.setattr(cores, "processor_quota", lambda: quota)
    monkeypatch.setattr(cores, "_physical_cores", lambda: 4)
    assert cores.usable_cores() == threads
    monkeypatch.setattr(control_group, "processor_quota", lambda: quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    assert control_group.usable_processors() == threads


REPORT = """
import json
from edgemed.control_group import processor_quota
from edgemed.engine.budget import available_bytes
from edgemed.engine.cores import usable_cores
print(json.dumps([available_bytes(), processor_quota(), usable_cores()]))
"""


@contextmanager
def real_groups(controller: str, settings: Mapping[str, str]) -> Iterator[Path]:
    """A version 1 group with `settings` and an unlimited child group, which is yielded."""
    outer = Path(f"/sys/fs/cgroup/{controller}/edgemed-test-{os.getpid()}")
    inner = outer / "inner"
    try:
        inner.mkdir(parents=True)
    except OSError:
        pytest.skip(f"no writable version 1 {controller} controller")
    try:
        for name, text in settings.items():
            (outer / name).write_text(text)
        yield inner
    finally:
        for group in (inner, outer):
            for _ in range(100):  # an ended process stays in its group for a moment
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)


def report_inside(group: Path) -> tuple[int, float | None, int]:
    command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), sys.executable, "-c", REPORT]
    available, quota, threads = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return available, quota, threads


@pytest.mark.slow
def test_a_real_memory_limit_of_a_parent_group_is_seen() -> None:
    with real_groups("memory", {"memory.limit_in_bytes": str(600 * MIB)}) as group:
        assert 400 * MIB < report_inside(group)[0] < 600 * MIB


@pytest.mark.slow
def test_a_real_quota_of_a_parent_group_is_seen() -> None:
    with real_groups("cpu", {"cpu.cfs_period_us": "50000", "cpu.cfs_quota_us": "60000"}) as group:
        assert report_inside(group)[1:] == (1.2, 1)
