"""Seccomp filters, assembled here so that no further library has to be trusted or installed.

A filter is a program of classic BPF instructions over `struct seccomp_data` (linux/seccomp.h) that decides about each
system call; it can only jump forward. Filters accumulate and can never be removed, and the strictest verdict wins. The
numbers are from the x86-64 system call table and from linux/{filter,seccomp,audit,prctl}.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from edgemed.errors import SetupError

# struct seccomp_data: s32 nr; u32 arch; u64 instruction_pointer; u64 args[6]. Only the lower half of an argument is
# compared, because the kernel also reads an address family as a 32-bit int.
_NR_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM

AUDIT_ARCH_X86_64 = 0xC000003E
X32_CALLS_FROM = 0x40000000
SOCKET, CONNECT, BIND, SOCKETPAIR = 41, 42, 49, 53
IO_URING = (425, 426, 427)  # setup, enter, register: a ring can open sockets without a filtered system call
PIDFD_GETFD = 438  # can duplicate a socket of another process
SECCOMP = 317
AF_UNIX = 1

_PR_GET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 21, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter; `if_true` and `if_false` are how many instructions a comparison skips."""
    return struct.pack("=HBBI", code, if_true, if_false, operand)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def assemble(refused: tuple[int, ...], local_only: tuple[int, ...]) -> bytes:
    """A filter that refuses the system calls `refused`, and `local_only` unless their first argument is AF_UNIX.

    All calls of other architectures (i386 through `int 0x80`, x32) are refused, because their numbers differ.
    """
    refuse, allow = _instruction(_RETURN, _REFUSE), _instruction(_RETURN, _ALLOW)
    program = [
        _instruction(_LOAD, _ARCH_AT),
        _instruction(_IF_EQUAL, AUDIT_ARCH_X86_64, if_true=1),
        refuse,
        _instruction(_LOAD, _NR_AT),
        _instruction(_IF_AT_LEAST, X32_CALLS_FROM, if_false=1),
        refuse,
    ]
    for call in refused:
        program += [_instruction(_IF_EQUAL, call, if_false=1), refuse]
    for call in local_only:
        program += [
            _instruction(_IF_EQUAL, call, if_false=4),
            _instruction(_LOAD, _FIRST_ARGUMENT_AT),
            _instruction(_IF_EQUAL, AF_UNIX, if_true=1),
            refuse,
            allow,
        ]
    return b"".join((*program, allow))


def available() -> str | None:
    """None if filters can be installed, else the reason why not, as the end of a sentence."""
    system = os.uname()
    if system.sysname != "Linux":
        return f"{system.sysname} has no seccomp"
    if system.machine != "x86_64" or struct.calcsize("P") != 8:
        return f"the filter is written for x86-64 and this is {system.machine}"
    if _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return "this kernel was built without seccomp"
    return None


def install(program: bytes) -> None:
    """Bind all present and future threads of this process to `program`, irrevocably.

    The flag TSYNC includes threads that already exist (such as numpy's); prctl cannot do that. Raises SetupError if the
    kernel refuses.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(instructions))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _refused()
    call, mode, flags = map(ctypes.c_long, (SECCOMP, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC))
    if _libc.syscall(call, mode, flags, ctypes.byref(header)) != 0:
        raise _refused()


def _refused() -> SetupError:
    reason = os.strerror(ctypes.get_errno())
    return SetupError(f"The kernel did not accept the filter that keeps this process off the network: {reason}.")
