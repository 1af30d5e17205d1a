"""`edgemed demo`, the real program, in a real terminal (tmux) with real keys."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.tmux import Terminal

QUESTIONS = 5
NOTICE = "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, f"{sys.executable} -m edgemed.cli demo --threads 2")
    yield opened
    opened.close()


def test_the_demonstration_in_a_terminal(terminal: Terminal) -> None:
    screen = terminal.wait_for(
        "FICTITIOUS PATIENTS | OFFLINE | AI TEXT, NOT VALIDATED | CHECK |",
        NOTICE,
        "Model: edgemed demonstration",
        "F1 help",
    )
    assert screen.splitlines()[1].strip() == NOTICE
    assert "expert" not in screen, "a clinician's first screen has no engineer's words"

    terminal.type("one")
    terminal.press("M-Enter")  # Alt+Enter and Ctrl+J start a new line and send nothing
    terminal.type("two")
    terminal.press("C-j")
    terminal.type("three")
    terminal.wait_for("▌one\n▌two\n▌three")
    terminal.press("C-u", "BSpace", "C-u", "BSpace", "C-u")
    # Textual inserts a character at once but runs a bound key a little later, so wait until the composer is empty.
    # Otherwise the pending keys could clear what is typed next.
    terminal.wait_for("▌Type a question")

    # The demonstration model usually writes pages about this question, but some answers end before they can be seen.
    # Look for the question before sending it: a long answer pushes it off a screen of 24 lines within a second.
    for _ in range(QUESTIONS):
        terminal.press("C-n")  # a finished answer may have left no room in the context for another
        terminal.wait_for("▌Type a question")
        terminal.type("What are the stages of adult acute lymphoblastic leukemia?")
        terminal.wait_for("What are the stages of adult acute lymphoblastic leukemia?")
        terminal.press("Enter")
        if terminal.shows("Answering.", "room left"):
            terminal.press("Escape")
            if terminal.shows("stopped by you"):
                break
    terminal.wait_for("CUT OFF: a dose or a list may be incomplete · stopped by you", NOTICE)

    terminal.press("F3")
    terminal.wait_for("5 MoE layers", "5 layers of 16 experts", "in memory", "used: missed", "ms/token")
    terminal.press("F3")
    terminal.wait_for("CUT OFF", gone="used: missed")

    terminal.press("F1")
    terminal.wait_for("Esc closes this page", NOTICE)
    terminal.press("Escape")
    terminal.wait_for("CUT OFF")

    terminal.press("C-p")
    terminal.wait_for("Find a command", "New chat", NOTICE)
    terminal.press("Escape")
    terminal.wait_for("CUT OFF")

    terminal.press("C-q")
    screen = terminal.wait_for("EXIT 0")
    assert "Traceback" not in screen


def test_the_chat_has_no_network(terminal: Terminal) -> None:
    """In every process, the kernel refuses network sockets, and all sockets once the chat has started."""
    terminal.wait_for("Model: edgemed demonstration", "F1 help")
    pane = int(terminal.tmux("display-message", "-p", "#{pane_pid}"))
    filtered = {}
    for process in _descendants(pane):
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if "edgemed" in command and "python" in command and not command.startswith(("sh", "bash")):
            status = Path(f"/proc/{process}/status").read_text()
            filtered[command] = "Seccomp:\t2" in status and "Seccomp_filters:\t1" not in status
    assert len(filtered) >= 2, "the chat and its engine"
    assert all(filtered.values()), filtered
    terminal.press("C-q")
    terminal.wait_for("EXIT 0")


def _descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return [process for process in found if process != os.getpid()]
