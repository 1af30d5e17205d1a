"""Privacy locks. They are irreversible, so every test locks a new process."""

import errno
import json
import os
import subprocess
import sys
import textwrap

import pytest

from edgemed.errors import SetupError
from edgemed.privacy import process, seccomp

PRELUDE = """
import ctypes, errno, json, os, resource, socket, subprocess, sys, threading
from edgemed import privacy
from edgemed.privacy import checks
def attempt(*arguments):
    try:
        socket.socket(*arguments).close()
    except OSError as error:
        return error.errno
    return 0
"""


def locked(body: str) -> dict[str, object]:
    """Run `body` in a new interpreter and return the dict `seen` that it fills."""
    code = PRELUDE + "seen = {}\n" + textwrap.dedent(body) + "\nprint(json.dumps(seen))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def test_every_socket_family_except_unix_is_refused() -> None:
    seen = locked("""
        privacy.lock_down()
        for family in range(46):
            seen[str(family)] = attempt(family, socket.SOCK_STREAM)
        seen["local pair"] = len(socket.socketpair())
    """)
    assert seen.pop("local pair") == 2
    assert seen.pop("1") == 0
    assert set(seen.values()) == {errno.EPERM}


def test_old_and_new_threads_and_child_programs_are_locked() -> None:
    seen = locked("""
        locked, old = threading.Event(), []
        thread = threading.Thread(target=lambda: (locked.wait(), old.append(attempt(socket.AF_INET))))
        thread.start()
        privacy.lock_down()
        locked.set(); thread.join()
        seen["old thread"] = old[0]
        new = threading.Thread(target=lambda: seen.update({"new thread": attempt(socket.AF_INET)}))
        new.start(); new.join()
        seen["program"] = int(subprocess.run([sys.executable, "-c", (
            "import socket\\ntry: socket.socket()\\nexcept OSError as e: print(e.errno)\\nelse: print(0)"
        )], capture_output=True, text=True).stdout)
    """)
    assert seen == {"old thread": errno.EPERM, "new thread": errno.EPERM, "program": errno.EPERM}


def test_raw_socket_and_io_uring_calls_are_refused() -> None:
    """A Python audit hook would miss these calls, which go to the kernel through ctypes."""
    seen = locked("""
        libc = ctypes.CDLL(None, use_errno=True)
        privacy.lock_down()
        calls = {"socket": (41, 2), "x32 socket": (0x40000000 | 41, 2), "io_uring": (425, 1), "pidfd_getfd": (438, -1)}
        for name, (call, first) in calls.items():
            libc.syscall(ctypes.c_long(call), ctypes.c_long(first), ctypes.c_long(1), ctypes.c_long(0))
            seen[name] = ctypes.get_errno()
        # The kernel reads the lower 32 bits of a family. Garbage above them must not make it look like another one.
        socket_call = (ctypes.c_long(41), ctypes.c_long(2 | 1 << 32), ctypes.c_long(1), ctypes.c_long(0))
        seen["high bits"] = libc.syscall(*socket_call)
    """)
    assert seen.pop("high bits") == -1
    assert seen == dict.fromkeys(("socket", "x32 socket", "io_uring", "pidfd_getfd"), errno.EPERM)


def test_32_bit_system_calls_are_refused() -> None:
    """i386's socket call (359) through `int 0x80`, by machine code in an executable page."""
    seen = locked("""
        import mmap
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        # push rbx; mov eax,359; mov ebx,2; mov ecx,1; xor edx,edx; int 0x80; pop rbx; ret
        page.write(bytes.fromhex("53 b867010000 bb02000000 b901000000 31d2 cd80 5b c3"))
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        before = call()
        privacy.lock_down()
        seen["before"], seen["after"] = before, call()
    """)
    if seen["before"] == -errno.ENOSYS:
        pytest.skip("this kernel has no 32-bit system calls")
    assert isinstance(seen["before"], int)
    assert seen["before"] >= 0
    assert seen["after"] == -errno.EPERM


def test_seal_refuses_unix_sockets_but_keeps_open_ones() -> None:
    seen = locked("""
        ours, theirs = socket.socketpair()
        listener = socket.socket(socket.AF_UNIX)
        privacy.lock_down()
        privacy.seal()
        ours.sendall(b"still there")
        seen["open pair"] = theirs.recv(20).decode()
        seen["new"] = attempt(socket.AF_UNIX)
        for name in ("connect", "bind"):
            try:
                getattr(listener, name)("/nowhere")
            except OSError as error:
                seen[name] = error.errno
    """)
    assert seen == {"open pair": "still there", "new": errno.EPERM, "connect": errno.EPERM, "bind": errno.EPERM}


def test_proof_passes_only_when_locked() -> None:
    body = """
        for name, passed, detail in ((c.name, c.passed, c.detail) for c in checks.proof()):
            seen[name] = [passed, detail]
    """
    unlocked, closed = locked(body), locked("privacy.lock_down()\n" + textwrap.dedent(body))
    assert closed.keys() == unlocked.keys()
    assert all(passed for passed, _ in closed.values()), closed  # type: ignore[misc, attr-defined]
    for name in ("system call filter", "netlink socket", "memory closed to debuggers"):
        assert not unlocked[name][0]  # type: ignore[index]


def test_core_dumps_and_debuggers_are_refused() -> None:
    seen = locked("""
        privacy.lock_down()
        seen["core"] = resource.getrlimit(resource.RLIMIT_CORE)
        seen["dumpable"] = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
        seen["status"] = [line.split() for line in open("/proc/self/status") if line.startswith("Seccomp:")]
    """)
    assert seen["core"] == [0, 0]
    assert seen["dumpable"] == 0
    assert seen["status"] == [["Seccomp:", "2"]]


def test_machine_without_seccomp_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = os.uname()
    monkeypatch.setattr(seccomp.os, "uname", lambda: os.uname_result((*ours[:4], "riscv64")))
    with pytest.raises(SetupError, match="riscv64"):
        process.seal()
    assert "riscv64" in str(process.seal(allow_unsealed=True))
