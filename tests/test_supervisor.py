"""A chat's supervisor as a job of a shell: its screens come and go, and the terminal is as it was at the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edgemed.supervisor import LOCKED, SUSPENDED
from testing.pseudo_terminal import SHELL, PseudoTerminal
from testing.timing import soon

# Each screen says its number, why it was started and who its supervisor is, then does what is typed.
CHAT = """
import os, select, signal, sys, termios, time
from edgemed import privacy
from edgemed.supervisor import supervise
privacy.close_to_others()
def hear(number, frame):
    try:
        os.write(1, b"[heard %d]" % number)
    except OSError:
        pass  # the terminal is gone
    if number != signal.SIGINT:
        os._exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, hear)
why = supervise(full_screen=True, language={language!r})
settings = termios.tcgetattr(0)
settings[3] &= ~(termios.ECHO | termios.ICANON)
termios.tcsetattr(0, termios.TCSANOW, settings)
print(f"[screen {{os.getpid()}} of {{os.getppid()}}, {{why}}]", flush=True)
while True:
    # Python runs a handler between two calls only, so no call may block for long: a signal may have come just before.
    if not select.select([0], [], [], 0.05)[0]:
        continue
    try:
        typed = os.read(0, 1)
    except OSError:
        typed = b""
    if not typed:
        time.sleep(0.05)  # the terminal is gone, and a signal will say so
    elif typed == b"s":
        os.kill(os.getpid(), signal.SIGSTOP)
        print("[went on]", flush=True)
    elif typed in b"lzq":
        settings[3] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(0, termios.TCSANOW, settings)
        os._exit({{b"l": 75, b"z": 76, b"q": 3}}[typed])
"""


class Chat:
    """The chat as a job of a shell (in `testing.pseudo_terminal`)."""

    def __init__(self, language: str = "en") -> None:
        self.terminal = PseudoTerminal(SHELL.format(foreground=True, chat=CHAT.format(language=language)))
        self._screens = 0

    def __enter__(self) -> Chat:
        self.terminal.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminal.__exit__(None, None, None)

    def screen(self, why: str) -> tuple[int, int]:
        """Wait for the next screen; return its process and its supervisor's."""
        self._screens += 1
        self.terminal.wait_for(", " + why + "]", self.terminal.output.count(", " + why + "]") or 1)
        self.terminal.wait_for("[screen ", self._screens)
        line = self.terminal.output.rpartition("[screen ")[2]
        screen, _, rest = line.partition(" of ")
        return int(screen), int(rest.partition(",")[0])


def test_the_constants_are_those_that_the_screens_here_use() -> None:
    assert (LOCKED, SUSPENDED) == (75, 76)


@pytest.mark.slow
def test_a_locked_screen_is_followed_by_a_new_one() -> None:
    with Chat() as chat:
        first, supervisor = chat.screen("started")
        chat.terminal.send("l")
        second, same = chat.screen("locked")
        assert same == supervisor
        assert second != first
        assert not Path(f"/proc/{first}").exists()
        chat.terminal.send("q")
        chat.terminal.wait_for("[ended with 3, terminal as before]")


@pytest.mark.slow
def test_a_suspended_screen_ends_and_fg_starts_a_new_one() -> None:
    with Chat() as chat:
        first, supervisor = chat.screen("started")
        for stops in (1, 2):
            chat.terminal.send("z")
            chat.terminal.wait_for("[stopped]", stops)
            assert not Path(f"/proc/{first}").exists(), "no process with text is left"
            chat.terminal.send("fg\n")
            first, same = chat.screen("suspended")
            assert same == supervisor
        chat.terminal.send("q")
        chat.terminal.wait_for("[ended with 3, terminal as before]")


@pytest.mark.slow
def test_a_stopped_screen_stops_the_job_and_goes_on_with_it() -> None:
    with Chat() as chat:
        chat.screen("started")
        for stops in (1, 2):
            chat.terminal.send("s")
            chat.terminal.wait_for("[stopped]", stops)
            chat.terminal.send("fg\n")
            chat.terminal.wait_for("[went on]", stops)
        chat.terminal.send("q")
        chat.terminal.wait_for("[ended with 3, terminal as before]")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_reach_the_screen_once(number: signal.Signals) -> None:
    with Chat() as chat:
        screen, supervisor = chat.screen("started")
        if number == signal.SIGINT:
            chat.terminal.send("\x03")  # from the terminal, which sends it to both processes
        else:
            os.kill(supervisor, number)
        chat.terminal.wait_for(f"[heard {int(number)}]")
        if number == signal.SIGINT:
            chat.terminal.settle()  # a second signal is lost while the first is pending
            os.kill(supervisor, number)
            chat.terminal.wait_for("[heard 2]", 2)
            chat.terminal.send("q")
        chat.terminal.wait_for("[ended with ")
        chat.terminal.settle()
        assert chat.terminal.output.count("[heard ") == (2 if number == signal.SIGINT else 1)
        assert f"[ended with {3 if number == signal.SIGINT else 128 + number}" in chat.terminal.output
        assert not Path(f"/proc/{screen}").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("language", "words"), [("en", "The chat was ended by SIGKILL"), ("zh-CN", "SIGKILL 终止")])
def test_a_killed_screen_leaves_the_terminal_as_it_was_and_one_sentence(language: str, words: str) -> None:
    with Chat(language) as chat:
        screen, _ = chat.screen("started")
        os.kill(screen, signal.SIGKILL)
        chat.terminal.wait_for("[ended with 137, terminal as before]")
        said = chat.terminal.output.partition("\x1b[?1049l")[2]
        assert words in said
        assert said.count("edgemed: ") == 1


@pytest.mark.slow
def test_a_killed_supervisor_takes_its_screen_with_it() -> None:
    with Chat() as chat:
        screen, supervisor = chat.screen("started")
        os.kill(supervisor, signal.SIGKILL)
        assert soon(lambda: not Path(f"/proc/{screen}").exists())


@pytest.mark.slow
def test_a_closed_terminal_ends_supervisor_and_screen() -> None:
    """The supervisor is the session's first process, which alone is told by the kernel."""
    with PseudoTerminal(CHAT.format(language="en")) as terminal:
        terminal.wait_for(", started]")
        terminal.hang_up()
        assert terminal.status() == 128 + signal.SIGHUP


@pytest.mark.slow
def test_without_a_shell_a_suspended_screen_is_followed_at_once() -> None:
    """Nobody could continue it: a terminal emulator that runs the chat without a shell."""
    with PseudoTerminal(CHAT.format(language="en")) as terminal:
        terminal.wait_for(", started]")
        terminal.send("z")
        terminal.wait_for(", suspended]")
        terminal.send("q")
        assert terminal.status() == 3
