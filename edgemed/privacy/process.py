"""Locking one process down: what it may not open, and who may not look into it."""

from __future__ import annotations

import ctypes
import resource

from edgemed.errors import SetupError
from edgemed.privacy import seccomp

_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)


def close_to_others() -> None:
    """Keep this process's memory out of core dumps and away from other processes of the same user.

    The first line of every process that will hold patient text. A new program is readable until then: `exec` resets
    the flag.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_down(*, allow_unsealed: bool = False) -> str | None:
    """Refuse this process every socket but local ones, and keep its memory out of core dumps and debuggers.

    To be called before anything else: a socket opened earlier stays open. Returns None, or, where the kernel cannot
    filter and `allow_unsealed` says to go on, the warning to show.
    Raises SetupError where it cannot filter and that was not allowed.
    """
    close_to_others()
    return _filtered(
        seccomp.assemble(
            refused=(*seccomp.IO_URING, seccomp.PIDFD_GETFD), local_only=(seccomp.SOCKET, seccomp.SOCKETPAIR)
        ),
        allow_unsealed=allow_unsealed,
    )


def seal(*, allow_unsealed: bool = False) -> str | None:
    """From now on no thread of this process may open, connect or bind a socket of any family.

    Connected pairs (socketpair) can still be made: they lead nowhere but to the process itself and its children.
    Returns and raises as `lock_down` does.
    """
    return _filtered(
        seccomp.assemble(refused=(seccomp.SOCKET, seccomp.CONNECT, seccomp.BIND), local_only=()),
        allow_unsealed=allow_unsealed,
    )


def _filtered(program: bytes, *, allow_unsealed: bool) -> str | None:
    reason = seccomp.available()
    if reason is None:
        try:
            seccomp.install(program)
        except SetupError as error:
            if not allow_unsealed:
                raise
            return str(error)
        return None
    warning = f"Nothing stops this process from opening network sockets: {reason}."
    if not allow_unsealed:
        raise SetupError(f"{warning} Pass --allow-unsealed to go on all the same.")
    return warning
