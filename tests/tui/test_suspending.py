"""The chat as a job of a shell: after any sequence of stop and continue it runs once and restores the terminal."""

from __future__ import annotations

import os
import signal

import pytest

from testing.pseudo_terminal import SHELL, PseudoTerminal, chat_program

HEADER = "AI TEXT, NOT VALIDATED"
ALTERNATE_SCREEN, QUIT = "\x1b[?1049h", "\x11"

# On SIGUSR1 the chat prints how many of Textual's threads it has. It does so from its event loop, so never in the
# middle of a start.
CHAT = f"""
import asyncio, ctypes, os, signal, threading
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: do not outlive a failed test
def tell():
    names = [thread.name for thread in threading.enumerate()]
    os.write(2, b"[%d in, %d out]" % (names.count("textual-input"), names.count("textual-output")))
signal.signal(signal.SIGUSR1, lambda *_: asyncio.get_running_loop().call_soon_threadsafe(tell))
{chat_program("[]")}
"""


class Job:
    """The chat as a job of the shell on this terminal."""

    def __init__(self, terminal: PseudoTerminal) -> None:
        self._terminal = terminal
        terminal.wait_for(" is the job]")
        self._process = int(terminal.output.partition(" is the job]")[0].rpartition("[")[2])
        self._stops = 0

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process, number)

    def continues(self, *commands: str) -> None:
        """Type each command as soon as the job is stopped (again)."""
        for command in commands:
            self._stops += 1
            self._terminal.wait_for("[stopped]", self._stops)
            self._terminal.send(f"{command}\n")

    def stops_and_goes_on(self) -> None:
        """Stop and continue the job, as Ctrl+Z and `fg` do, and wait until it has repainted its screen."""
        self._terminal.settle()
        painted = self._terminal.output.count(HEADER)
        self.signal(signal.SIGTSTP)
        self.continues("fg")
        self._terminal.wait_for(HEADER, painted + 1)

    def ends_well(self) -> None:
        self.signal(signal.SIGUSR1)
        self._terminal.wait_for(" out]")
        assert "[1 in, 1 out]" in self._terminal.output
        self._terminal.send(QUIT)
        self._terminal.wait_for("[ended with 0, terminal as before]")


@pytest.mark.slow
@pytest.mark.parametrize("commands", [("fg",), ("bg", "fg"), ("bg", "bg", "fg")], ids=" ".join)
@pytest.mark.parametrize(("stop", "starts"), [(signal.SIGTSTP, 2), (signal.SIGSTOP, 1)], ids=["TSTP", "STOP"])
def test_a_chat_that_was_stopped_goes_on(stop: signal.Signals, starts: int, commands: tuple[str, ...]) -> None:
    with PseudoTerminal(SHELL.format(foreground=True, chat=CHAT)) as terminal:
        job = Job(terminal)
        terminal.wait_for("mini")
        job.signal(stop)
        job.continues(*commands)
        terminal.wait_for(ALTERNATE_SCREEN, starts)
        job.ends_well()


@pytest.mark.slow
@pytest.mark.parametrize("commands", [("fg",), ("bg", "fg")], ids=" ".join)
def test_a_chat_started_in_the_background_opens_in_the_foreground(commands: tuple[str, ...]) -> None:
    with PseudoTerminal(SHELL.format(foreground=False, chat=CHAT)) as terminal:
        job = Job(terminal)
        job.continues(*commands)
        terminal.wait_for("mini")
        job.ends_well()


def test_a_chat_that_goes_on_paints_its_screen_anew() -> None:
    with PseudoTerminal(SHELL.format(foreground=True, chat=CHAT)) as terminal:
        job = Job(terminal)
        terminal.wait_for("mini")
        for _ in range(2):
            job.stops_and_goes_on()
        job.ends_well()


# On SIGUSR1 the chat prints how often it checks its terminal in half a second, with a check every 20 ms.
LOOKS = CHAT.replace("def tell():", "def tell_threads():").replace(
    "signal.signal(signal.SIGUSR1",
    """
looks = 0
def tell():
    import edgemed.tui.terminal as terminal
    is_gone, loop = terminal.is_gone, asyncio.get_running_loop()
    def counted(number):
        global looks
        looks += 1
        return is_gone(number)
    def begin():
        global looks
        looks = 0
        loop.call_later(0.5, lambda: os.write(2, b"[%d looks]" % looks))
    terminal.is_gone, pause, terminal.LOOK_SECONDS = counted, terminal.LOOK_SECONDS, 0.02
    loop.call_later(pause + 0.1, begin)  # by then, pending checks have run
signal.signal(signal.SIGUSR1""",
)


def test_a_chat_that_went_on_several_times_looks_after_its_terminal_once() -> None:
    with PseudoTerminal(SHELL.format(foreground=True, chat=LOOKS)) as terminal:
        job = Job(terminal)
        terminal.wait_for("mini")
        for _ in range(3):
            job.stops_and_goes_on()
        job.signal(signal.SIGUSR1)
        terminal.wait_for(" looks]")
        looks = int(terminal.output.partition(" looks]")[0].rpartition("[")[2])
        assert 1 <= looks <= 26, "if each of the four starts had begun its own checks, there would be 4 times as many"
        terminal.send(QUIT)
        terminal.wait_for("[ended with 0, terminal as before]")
