"""Run a real program on a pseudo-terminal and observe its output, byte by byte, and its exit status."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

WAIT_SECONDS = 60.0
QUIET_SECONDS = 0.3


SHELL = """
import os, signal, sys, termios

def give_terminal(group):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    os.tcsetpgrp(0, group)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])

before = termios.tcgetattr(0)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    if {foreground}:
        give_terminal(os.getpid())
    os.execv(sys.executable, [sys.executable, "-c", {chat!r}])
print(f"[{{job}} is the job]", flush=True)
while True:
    status = os.waitpid(job, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(status):
        break
    give_terminal(os.getpid())
    print("[stopped]", flush=True)
    if sys.stdin.readline().strip() == "fg":
        give_terminal(job)
    os.killpg(job, signal.SIGCONT)
as_before = "as before" if termios.tcgetattr(0) == before else "changed"
print(f"[ended with {{os.waitstatus_to_exitcode(status)}}, terminal {{as_before}}]", flush=True)
"""
"""A minimal shell with one job, the code `chat`. The test types `bg` and `fg` to it while the job is stopped."""


class PseudoTerminal:
    """`python -c code` in a new session, with this terminal as its standard streams."""

    def __init__(self, code: str, *, columns: int = 80, lines: int = 24, environment: dict[str, str] | None = None):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a read may end within a character
        self.output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self.hang_up()

    def send(self, typed: str) -> None:
        """Send these characters in one write."""
        os.write(self._master, typed.encode())

    def send_all(self, typed: str) -> None:
        """Send any amount, and read what the program writes in the meantime."""
        left = memoryview(typed.encode())
        while left:
            if select.select([], [self._master], [], 0.01)[1]:
                left = left[os.write(self._master, left[:4096]) :]
            self._read(0)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read until `text` has appeared `times` times."""
        limit = time.monotonic() + WAIT_SECONDS
        while self.output.count(text) < times:
            assert time.monotonic() < limit, f"no {text!r} within the time limit; output:\n{self.output[-2000:]}"
            assert self._read(0.1), f"the program ended without {text!r}; output:\n{self.output[-2000:]}"

    def seconds_until(self, text: str, limit: float = WAIT_SECONDS) -> float | None:
        """Read until `text` appears after the output so far; return how long that took, None after `limit`."""
        self.output = self.output[-2000:]  # a longer one makes every read slower
        known, began = len(self.output), time.monotonic()
        while self.output.find(text, known) < 0:
            left = began + limit - time.monotonic()
            if left < 0:
                return None
            assert self._read(left), f"the program ended without {text!r}; output:\n{self.output[-2000:]}"
        return time.monotonic() - began

    def read_for(self, seconds: float) -> None:
        """Read what the program writes in that time."""
        self.output = self.output[-2000:]
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._read(left)

    def settle(self) -> None:
        """Read until nothing has been written for a while."""
        before = -1
        while before < len(self.output):
            before = len(self.output)
            self._read(QUIET_SECONDS)

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Signal the program, not its children."""
        self._process.send_signal(number)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def status(self) -> int:
        """Read until the program has ended; return its status as `subprocess` gives it."""
        limit = time.monotonic() + WAIT_SECONDS
        while self._master >= 0 and self._read(0.1):
            assert time.monotonic() < limit, f"the program did not end; output:\n{self.output[-2000:]}"
        return self._process.wait(max(1.0, limit - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        """Read what the program writes within that time; return False when nothing more can come."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # the program's end of the terminal is closed
                return False
            self.output += self._decode(data)
        return True


def chat_program(*scripts: str) -> str:
    """Return Python code that opens the chat on a scripted engine; `scripts` are the source of its scripts."""
    return f"""
import sys
from edgemed.tui.launch import open_chat
from edgemed.tui.session import ChatSession
from testing.fake_engine import DIGEST, FakeEngine, Hold, starting
start = starting(FakeEngine({", ".join(scripts)}))
sys.exit(open_chat(ChatSession(start, "mini", DIGEST, "demonstration")))
"""
