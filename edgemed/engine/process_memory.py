"""Resident memory of this process or another, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def peak_rss_bytes(pid: int | None = None) -> int:
    """The most memory the process ever had resident (VmHWM); 0 when it is gone.

    Not getrusage's ru_maxrss: after a vfork that starts with the parent's peak.
    """
    return _field("VmHWM:", pid)


def rss_bytes(pid: int | None = None) -> int:
    """Resident memory now (VmRSS); 0 when the process is gone."""
    return _field("VmRSS:", pid)


def _field(name: str, pid: int | None) -> int:
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name)), 0)
