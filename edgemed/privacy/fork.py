"""Forks once: work goes on in a new process, and the first one only waits for it.

A new program is readable to other programs of the same user until it closes itself (`close_to_others`), and a handle on
/proc/PID/mem that was opened before that stays valid as long as the process's address space exists. A forked process
has a new address space, which inherits the closed state, so no such handle can ever exist on it.

The first process holds what it held at the fork: no text, no key, and few modules. It passes signals on, stops and
continues with the other process, and ends as that one ended, so that its parent sees one ordinary process. If it is
killed, the kernel kills the other one too.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import NoReturn

WAITER = "edgemed-waits"
"""The name in /proc/PID/comm of a process that only waits."""

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_NAME = 1, 15, 16
_NAME_BYTES = 16
_SI_KERNEL = 0x80  # siginfo's code if the kernel sent the signal, not a process
# The terminal sends these to the whole process group, so the other process has had them already. A hang-up is not among
# them: it goes to the session's first process only.
_FROM_TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH}
_libc = ctypes.CDLL(None, use_errno=True)


class Waiter:
    """The first process. All its signals are blocked from here on, and `wait` takes them one by one."""

    def __init__(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the caller may have ignored it: then no status could be read
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._worker = 0
        self._name = ctypes.create_string_buffer(_NAME_BYTES)
        _libc.prctl(_PR_GET_NAME, self._name, 0, 0, 0)

    def fork(self) -> bool:
        """Fork; True in the new process. It gets the signals that were not blocked before and the first name, and dies
        with this one."""
        waiter = os.getpid()
        self._worker = os.fork()
        if self._worker:
            _libc.prctl(_PR_SET_NAME, WAITER.encode(), 0, 0, 0)
            return False
        die_with_parent(waiter)
        _libc.prctl(_PR_SET_NAME, self._name, 0, 0, 0)  # a waiter that forks again has its other name already
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return True

    def wait(self, *, stop_too: bool) -> int:
        """Wait until the new process has ended and return its status, negative for a signal (as in subprocess).

        stop_too: this process is a shell's job, so it stops when the new process has stopped.
        """
        while True:
            pid, status = os.waitpid(self._worker, os.WNOHANG | (os.WUNTRACED if stop_too else 0))
            if pid and os.WIFSTOPPED(status):
                self._stop_and_continue()
            elif pid:
                return os.waitstatus_to_exitcode(status)
            else:
                self._pass_on(signal.sigwaitinfo(signal.valid_signals()))

    def _pass_on(self, sent: signal.struct_siginfo) -> None:
        if sent.si_signo in (signal.SIGCHLD, signal.SIGCONT):
            return
        if sent.si_code != _SI_KERNEL or sent.si_signo not in _FROM_TERMINAL:
            os.kill(self._worker, sent.si_signo)

    def _stop_and_continue(self) -> None:
        """Stop, so that the shell notices. Afterwards continue the other process, unless the shell has done so."""
        while True:
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                news = os.waitid(os.P_PID, self._worker, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
            except ChildProcessError:  # it has gone on and ended, which `wait` will see
                return
            if news is None:
                os.kill(self._worker, signal.SIGCONT)
            if news is None or news.si_code != os.CLD_STOPPED:
                return
            # The shell continued both, and the other process has stopped once more before this one ran.

    def stop_job(self) -> None:
        """Stop this process and its process group until the shell continues them.

        Without a shell that could do so (the group is orphaned), the kernel ignores the signal and this returns at
        once.
        """
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})

    def end_like(self, status: int) -> NoReturn:
        """End with this status: by the same signal if it is negative. Nothing is flushed; that was the worker's."""
        if status < 0:
            if -status not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {-status})
        os._exit(status if status >= 0 else 128 - status)


def fork_once(*, stop_too: bool = True) -> None:
    """Return in a new process. The first one waits and ends as the new one ends (`Waiter.wait` explains `stop_too`).

    Call it after `close_to_others` and before anything is read or a thread is started. Objects of the caller exist in
    both processes; files that both have open close only when both have ended, so the first process closes all of its.
    """
    waiter = Waiter()
    if waiter.fork():
        return
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    waiter.end_like(waiter.wait(stop_too=stop_too))


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when the thread that started it ends. Ends it now if `parent` is dead."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
