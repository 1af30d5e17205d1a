"""The screen is blank within 100 ms of the hide key reaching us, whatever the program is doing."""

from __future__ import annotations

import time

import pyte
import pytest

from edgemed.tui.hiding_driver import BLANK
from testing.pseudo_terminal import PseudoTerminal, chat_program

F12, CTRL_L = "\x1b[24~", "\x0c"
SECRET = "Mrs Miller"
MOST_SECONDS = 0.1
PATIENCE = 5
"""How many times longer it may take beside other tests."""

STREAM = f"""(
    __import__("time").sleep(0.01) or f"{SECRET} takes **{{i}} mg** of drug {{i}}.\\n\\n" for i in range(100_000)
)"""


def shown(output: str) -> str:
    """The text on a terminal of 80 x 24 that received this output."""
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(output.replace("\x1b[<u", "").replace("\x1b[>25u", ""))
    return "\n".join(line.rstrip() for line in screen.display)


def seconds_until_blank(terminal: PseudoTerminal, typed: str) -> float:
    """The time from sending `typed` until the terminal has been told to clear its screen."""
    seen, began = len(terminal.output), time.monotonic()
    terminal.send(typed)
    sent = time.monotonic()
    limit = sent + 60
    while BLANK not in terminal.output[seen:]:
        assert time.monotonic() < limit
        terminal._read(0.005)
    print(f"sent in {sent - began:.3f} s, blank {time.monotonic() - sent:.3f} s later")
    return time.monotonic() - sent


@pytest.mark.slow
@pytest.mark.parametrize("key", [F12, CTRL_L], ids=["F12", "Ctrl+L"])
def test_a_streaming_answer_is_hidden_at_once(key: str) -> None:
    with PseudoTerminal(chat_program(STREAM)) as terminal:
        terminal.wait_for("mini")
        terminal.send("How much?\r")
        terminal.wait_for(SECRET, 20)
        assert SECRET in shown(terminal.output)
        assert seconds_until_blank(terminal, key) < MOST_SECONDS * PATIENCE
        terminal.wait_for("Hidden")
        terminal.settle()
        assert SECRET not in shown(terminal.output)
        assert "How much" not in shown(terminal.output)


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", f" {SECRET}" * 20_000], ids=["after", "inside"])
def test_a_long_paste_does_not_delay_hiding(rest: str) -> None:
    """The key comes after 500 kB of a paste, whose end comes before the key or after it."""
    paste = f"{SECRET} " * 50_000
    with PseudoTerminal(chat_program("[]")) as terminal:
        terminal.wait_for("mini")
        terminal.send_all("\x1b[200~" + paste + ("" if rest else "\x1b[201~"))
        assert seconds_until_blank(terminal, F12) < MOST_SECONDS * PATIENCE
        if rest:
            terminal.send_all(rest + "\x1b[201~")
        terminal.wait_for("Hidden")
        terminal.settle()
        assert SECRET not in shown(terminal.output)
        terminal.send("\r")  # an unsaved chat has no PIN
        terminal.wait_for(SECRET)
