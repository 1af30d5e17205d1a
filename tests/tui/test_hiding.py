"""The screen is blank within 100 ms of the hide key reaching us, whatever the program is doing."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pyte
import pytest

from edgemed.supervisor import LOCKED, SUSPENDED
from edgemed.tui.hiding.driver import BLANK
from testing.pseudo_terminal import PseudoTerminal, chat_program
from tests.tui.vaults import PASSPHRASE, make_vault

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


LOCKING = f"""
import sys
from pathlib import Path
from tests.tui.vaults import chat_on
from testing.fake_engine import Hold
app = chat_on(Path({{folder!r}}), ["{SECRET} takes 5 mg.", Hold()])
app.run()
sys.exit(app.return_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("keys", [F12 + F12, "\x1a", ""], ids=["F12 twice", "Ctrl+Z", "SIGTSTP"])
def test_after_locking_nothing_of_the_chat_is_on_the_terminal(keys: str, tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    with PseudoTerminal(LOCKING.format(folder=str(folder)), environment=environment) as terminal:
        terminal.wait_for("24 recovery words")
        terminal.send(f"{PASSPHRASE}\r")
        terminal.wait_for("ype a question")  # the cursor is on the T
        terminal.send(f"About {SECRET}\r")
        terminal.wait_for("takes 5 mg")
        terminal.send(f"a draft about {SECRET}")
        terminal.wait_for("a draft about")
        assert SECRET in shown(terminal.output)
        if keys:
            terminal.send(keys)
        else:
            terminal.signal(signal.SIGTSTP)
        assert terminal.status() == (LOCKED if keys.startswith(F12) else SUSPENDED)
        left = shown(terminal.output)  # of the alternate screen too, which a real terminal no longer shows
        assert not [word for word in (SECRET, "takes", "5 mg", "draft", "About") if word in left]
        assert BLANK in terminal.output
        assert not re.search(r"\x1b\](?:0|1|2|52);", terminal.output), "no window title, no clipboard"
