"""Locks one process down: which sockets it may not open, and who may not read its memory."""

from __future__ import annotations

import ctypes
import resource

from edgemed.errors import SetupError
from edgemed.privacy import seccomp

_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)


def close_to_others() -> None:
    """Keep this process's memory out of core dumps and unreadable to other processes of the same user.

    This must be the first line of every process that will hold patient text: `exec` resets the flag, so a new program
    is readable until it calls this.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_down(*, allow_unsealed: bool = False) -> str | None:
    """Refuse this process all sockets except local ones, and keep its memory out of core dumps and debuggers.

    Call it before anything else, since sockets that are already open stay open. A second call does nothing. Returns
    None, or a warning to show if the kernel cannot filter and `allow_unsealed` is set. Raises SetupError if the kernel
    cannot filter otherwise.
    """
    close_to_others()
    return _filtered(
        seccomp.assemble(
            refused=(*seccomp.IO_URING, seccomp.PIDFD_GETFD), local_only=(seccomp.SOCKET, seccomp.SOCKETPAIR)
        ),
        allow_unsealed=allow_unsealed,
    )


def seal(*, allow_unsealed: bool = False) -> str | None:
    """Forbid every thread of this process to open, connect or bind a socket of any family.

    Connected pairs (socketpair) remain possible: they only reach the process itself and its children. Returns and
    raises as `lock_down` does.
    """
    return _filtered(
        seccomp.assemble(refused=(seccomp.SOCKET, seccomp.CONNECT, seccomp.BIND), local_only=()),
        allow_unsealed=allow_unsealed,
    )


_installed: set[bytes] = set()


def _filtered(program: bytes, *, allow_unsealed: bool) -> str | None:
    if program in _installed:  # a fork has its parent's filters
        return None
    reason = seccomp.available()
    if reason is None:
        try:
            seccomp.install(program)
        except SetupError as error:
            if not allow_unsealed:
                raise
            return str(error)
        _installed.add(program)
        return None
    warning = f"Nothing stops this process from opening network sockets: {reason}."
    if not allow_unsealed:
        raise SetupError(f"{warning} Pass --allow-unsealed to continue without this protection.")
    return warning
