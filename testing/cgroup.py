"""Run a command inside a memory control group, whose limit also counts the page cache, as on a small machine.

    with MemoryGroup(limit_bytes) as group:
        process = group.popen(["python", "-m", "..."])
        process.wait()
        group.usage()

A writable memory controller (version 1 or 2) is used directly. Otherwise `systemd-run --user --scope` asks systemd for
a version 2 group. If neither is available, `how()` is None, and a benchmark that needs a limit says so and stops.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")
# The shell outlives the command, reads the counters of its own group and passes on the command's exit code.
_REPORT = """
out=$1; shift; "$@"; code=$?
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
cat "$group/memory.peak" "$group/memory.events" > "$out" 2>/dev/null
exit $code
"""


@dataclass(frozen=True)
class Usage:
    """What a group used. `refused`: how often the limit was hit (some kernels do not count this under version 1 and
    report 0). `kills`: how many processes the kernel killed for memory."""

    peak_bytes: int
    refused: int
    kills: int


def how() -> Literal["v1", "v2", "systemd"] | None:
    """The way to limit memory on this machine."""
    if (V1 / "memory.limit_in_bytes").exists() and os.access(V1, os.W_OK):
        return "v1"
    if "memory" in _words(V2 / "cgroup.subtree_control") and os.access(V2, os.W_OK):
        return "v2"
    if "memory" in _words(V2 / "cgroup.controllers") and shutil.which("systemd-run"):
        return "systemd"
    return None


class MemoryGroup:
    """A group with a limit, removed on exit. A context manager. Raises RuntimeError if no group can be made."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._how = how()
        if self._how is None:
            raise RuntimeError(
                "No memory control group can be made here (no writable v1 controller, no systemd-run for v2)."
            )
        self._folder = (V1 if self._how == "v1" else V2) / f"edgemed-bench-{os.getpid()}-{time.monotonic_ns()}"
        self._report = Path(tempfile.mkstemp(prefix="edgemed-cgroup-")[1])

    def __enter__(self) -> Self:
        if self._how != "systemd":
            self._folder.mkdir()
            v1 = self._how == "v1"
            (self._folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(self._limit))
            swap = self._folder / ("memory.memsw.limit_in_bytes" if v1 else "memory.swap.max")
            if swap.exists():
                swap.write_text(str(self._limit if v1 else 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._report.unlink(missing_ok=True)
        if self._how == "systemd":
            return
        for _ in range(100):  # a killed process stays in its group for a moment after it is reaped
            try:
                self._folder.rmdir()
                return
            except OSError:
                time.sleep(0.02)

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` inside the group."""
        if self._how != "systemd":
            return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._folder), *command]
        scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", f"MemoryMax={self._limit}"]
        return [*scope, "-p", "MemorySwapMax=0", "sh", "-c", _REPORT, "sh", str(self._report), *command]

    def popen(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start `command` inside the group, in text mode."""
        return subprocess.Popen(self.command(command), env=env, text=True, **options)

    def usage(self) -> Usage:
        """Return what the group has used so far. Under systemd this is known only after the command has ended."""
        if self._how == "v1":
            return Usage(
                peak_bytes=int((self._folder / "memory.max_usage_in_bytes").read_text()),
                refused=sum(int(file.read_text()) for file in self._folder.glob("memory.*failcnt")),
                kills=_counter((self._folder / "memory.oom_control").read_text(), "oom_kill"),
            )
        if self._how == "v2":
            text = "".join((self._folder / name).read_text() for name in ("memory.peak", "memory.events"))
        else:
            text = self._report.read_text()
        return Usage(int(text.split("\n", 1)[0] or 0), _counter(text, "max"), _counter(text, "oom_kill"))


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def _counter(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0)
