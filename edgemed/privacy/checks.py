"""Tests of this process's locks from the inside: every check attempts what is forbidden and reports the result."""

from __future__ import annotations

import ctypes
import errno
import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from edgemed.privacy import seccomp

_PR_GET_DUMPABLE = 3
_DISCARD_PORT = 9
# Addresses reserved for documentation (RFC 5737, RFC 3849): even if a lock fails, no real machine is contacted.
_CANARIES = (
    ("IPv4", socket.AF_INET, ("192.0.2.1", _DISCARD_PORT)),
    ("IPv6", socket.AF_INET6, ("2001:db8::1", _DISCARD_PORT)),
)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One lock and whether it held; `detail` is what was observed."""

    name: str
    passed: bool
    detail: str


def proof() -> list[Check]:
    """Try every lock of this process. Never raises, and never reaches another machine, even if a lock fails."""
    return [
        _seccomp_mode(),
        *(_canary(*canary) for canary in _CANARIES),
        _refused("netlink socket", socket.AF_NETLINK, socket.SOCK_RAW),
        _refused("raw packet socket", socket.AF_PACKET, socket.SOCK_RAW),
        _io_uring(),
        _core_dumps(),
        _dumpable(),
    ]


def _seccomp_mode() -> Check:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError as error:
        return Check("system call filter", False, f"/proc/self/status cannot be read: {error.strerror}")
    line = next((line for line in status.splitlines() if line.startswith("Seccomp:")), "Seccomp: none")
    return Check("system call filter", line.split()[1] == "2", " ".join(line.split()))


def _canary(name: str, family: socket.AddressFamily, address: tuple[str, int]) -> Check:
    """Connect a datagram socket, which looks up a route but sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as canary:
            canary.settimeout(1)
            canary.connect(address)
    except PermissionError:
        return Check(f"{name} connection", True, "refused by the filter")
    except OSError as error:
        return Check(f"{name} connection", False, f"not refused by the filter; it failed with: {error.strerror}")
    return Check(f"{name} connection", False, "a socket could be connected")


def _refused(name: str, family: socket.AddressFamily, kind: socket.SocketKind) -> Check:
    try:
        socket.socket(family, kind).close()
    except PermissionError:
        return Check(name, True, "refused by the filter")
    except OSError as error:
        return Check(name, False, f"not refused by the filter; it failed with: {error.strerror}")
    return Check(name, False, "it could be opened")


def _io_uring() -> Check:
    """Call io_uring_setup with null parameters. EFAULT would mean that the filter let the call through."""
    _libc.syscall(ctypes.c_long(seccomp.IO_URING[0]), ctypes.c_long(1), None)
    code = ctypes.get_errno()
    return Check("io_uring", code in (errno.EPERM, errno.ENOSYS), f"io_uring_setup: {errno.errorcode.get(code, code)}")


def _core_dumps() -> Check:
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    return Check("no core dumps", limit == (0, 0), f"limit {limit[0]}, hard limit {limit[1]}")


def _dumpable() -> Check:
    dumpable = _libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    return Check("memory closed to debuggers", dumpable == 0, f"dumpable {dumpable}")
