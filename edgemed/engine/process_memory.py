"""Resident memory of this process or another, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

from edgemed.privacy.fork import WAITER


def peak_rss_bytes(pid: int | None = None) -> int:
    """The process's peak resident memory in bytes (VmHWM); 0 if it has ended.

    getrusage's ru_maxrss is no use: after a vfork it starts at the parent's peak.
    """
    return _field("VmHWM:", pid)


def rss_bytes(pid: int | None = None) -> int:
    """The process's current resident memory in bytes (VmRSS); 0 if it has ended."""
    return _field("VmRSS:", pid)


def interface_rss_bytes() -> int:
    """The current resident memory of the process that this one works for, and of the processes that only wait for
    either (`edgemed.privacy.fork`).

    A waiting process shares its program's pages with the process that it waits for, so only what it wrote counts.
    """
    total, process, seen = 0, os.getppid(), False
    while process:
        waits = _text(process, "comm").rstrip("\n") == WAITER
        if seen and not waits:
            break
        seen = seen or not waits
        total += _field("RssAnon:" if waits else "VmRSS:", process)
        process = _number("PPid:", process)
    return total


def _field(name: str, pid: int | None) -> int:
    """A size in bytes; the kernel writes it in KiB."""
    return _number(name, pid) << 10


def _number(name: str, pid: int | None) -> int:
    lines = _text(pid, "status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _text(pid: int | None, file: str) -> str:
    """Empty if the process has ended, or is in another process namespace."""
    try:
        return Path(f"/proc/{pid or 'self'}/{file}").read_text()
    except OSError:
        return ""
