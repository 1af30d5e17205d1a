"""How the chat ends: whatever ends it, the terminal is as it was and the exit status says how."""

from __future__ import annotations

import signal

import pytest

from tests.tui.pseudo_terminal import PseudoTerminal, chat_program

CHAT = chat_program('["Take 5 mg", Hold()]')
MOUSE_OFF, MAIN_SCREEN = "\x1b[?1003l", "\x1b[?1049l"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_chat_and_restores_the_terminal(number: signal.Signals) -> None:
    with PseudoTerminal(CHAT) as terminal:
        terminal.wait_for("mini")
        terminal.send("How much?\r")
        terminal.wait_for("Take 5 mg")
        terminal.signal(number)
        assert terminal.status() == 128 + number
        assert MOUSE_OFF in terminal.output
        assert terminal.output.rindex(MAIN_SCREEN) > terminal.output.rindex("Take 5 mg")


def test_a_terminal_that_is_closed_ends_the_chat() -> None:
    with PseudoTerminal(CHAT) as terminal:
        terminal.wait_for("mini")
        terminal.hang_up()
        assert terminal.status() == 128 + signal.SIGHUP
