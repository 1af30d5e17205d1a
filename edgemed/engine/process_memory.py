"""Resident memory of this process or another, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def peak_rss_bytes(pid: int | None = None) -> int:
    """The process's peak resident memory in bytes (VmHWM); 0 if it has ended.

    getrusage's ru_maxrss is no use: after a vfork it starts at the parent's peak.
    """
    return _field("VmHWM:", pid)


def rss_bytes(pid: int | None = None) -> int:
    """The process's current resident memory in bytes (VmRSS); 0 if it has ended."""
    return _field("VmRSS:", pid)


def _field(name: str, pid: int | None) -> int:
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name)), 0)
