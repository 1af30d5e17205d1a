"""Limits that control groups set for this process: memory and processor time.

A limit binds a group and everything below it, so the smallest of the own group and all its ancestors counts. A
controller belongs to version 2 (one hierarchy) or to version 1 (a hierarchy of its own); a machine may use both.
https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def memory_left() -> int | None:
    """Bytes that the groups of this process may still take, or None without a limit. Inactive file pages count as
    free: the kernel drops them first."""
    left = [
        limit - max(0, (_number(group / usage) or 0) - _field(group / "memory.stat", unused))
        for group, limits, usage, unused in _memory_groups()
        for name in limits
        if (limit := _number(group / name)) is not None
    ]
    return max(0, min(left)) if left else None


def processor_quota() -> float | None:
    """The number of processors whose time the groups of this process may use, or None without a limit."""
    quotas = []
    for version, group in _groups("cpu"):
        if version == 2:
            words = _text(group / "cpu.max").split()
            quota, period = (_whole(word) for word in words) if len(words) == 2 else (None, None)
        else:
            quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is not None and period and quota > 0:  # version 1 writes -1 for no limit
            quotas.append(quota / period)
    return min(quotas, default=None)


def usable_processors() -> int:
    """The number of hardware threads to work with: those that this process may run on, or fewer under a quota."""
    allowed, quota = len(os.sched_getaffinity(0)), processor_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def oom_kills() -> int:
    """The number of processes that the kernel has killed because the own group or an ancestor was full."""
    files = {1: "memory.oom_control", 2: "memory.events"}
    return sum(_field(group / files[version], "oom_kill") for version, group in _groups("memory"))


def _memory_groups() -> Iterator[tuple[Path, tuple[str, ...], str, str]]:
    """(folder, files of its limits, file of its use, field of unused file pages) of every group."""
    for version, group in _groups("memory"):
        if version == 2:  # above memory.high the kernel slows a process down until it hardly runs
            yield group, ("memory.max", "memory.high"), "memory.current", "inactive_file"
        else:
            yield group, ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"


def _groups(controller: str) -> Iterator[tuple[int, Path]]:
    """(version, folder) of the own group and its ancestors, as far up as they are mounted here."""
    for line in _text(_ROOT / "proc/self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        version = 2 if hierarchy == "0" and not names else 1
        if version == 1 and controller not in names.split(","):
            continue
        for mounted_group, folder in _mounts(version, controller):
            own = PurePosixPath(path)
            # In a container, the mount may begin at the container's own group, or the path may name one outside it.
            inside = own.relative_to(mounted_group) if own.is_relative_to(mounted_group) else PurePosixPath()
            if ".." in inside.parts or not (folder / inside).is_dir():
                inside = PurePosixPath()
            for part in (inside, *inside.parents) if inside.parts else (inside,):
                yield version, folder / part


def _mounts(version: int, controller: str) -> Iterator[tuple[PurePosixPath, Path]]:
    """(group that is mounted, where) for one controller."""
    for line in _text(_ROOT / "proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        words, kinds = fields.split(), kind.split()
        if len(words) < 5 or len(kinds) < 3:
            continue
        wanted = kinds[0] == "cgroup2" if version == 2 else kinds[0] == "cgroup" and controller in kinds[2].split(",")
        if wanted:
            yield PurePosixPath(words[3]), _ROOT / _unescaped(words[4]).lstrip("/")


def _unescaped(path: str) -> str:
    """A path of mountinfo, which writes white space and the backslash as three octal digits."""
    for character in " \t\n\\":
        path = path.replace(f"\\{ord(character):03o}", character)
    return path


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _whole(word: str) -> int | None:
    try:
        return int(word)
    except ValueError:  # "max"
        return None


def _number(file: Path) -> int | None:
    return _whole(_text(file))


def _field(file: Path, name: str) -> int:
    lines = (line.split() for line in _text(file).splitlines())
    return next((_whole(words[1]) or 0 for words in lines if len(words) == 2 and words[0] == name), 0)
