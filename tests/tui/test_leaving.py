"""However the chat ends, it restores the terminal, and its exit status says what ended it."""

from __future__ import annotations

import errno
import io
import os
import signal
import threading
from typing import TextIO, cast

import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from edgemed.chat.engine import ChatEngine, Progress
from edgemed.errors import BudgetError
from edgemed.tui.app import ChatApp
from edgemed.tui.terminal import Lasting
from testing.fake_engine import FakeEngine, Hold
from testing.pseudo_terminal import PseudoTerminal, chat_program
from tests.tui.driving import session, shows, write

CHAT = chat_program('["Take 5 mg", Hold()]')
MOUSE_OFF, MAIN_SCREEN = "\x1b[?1003l", "\x1b[?1049l"


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_chat() -> None:
    with PseudoTerminal(CHAT) as terminal:
        terminal.wait_for("mini")
        terminal.hang_up()
        assert terminal.status() == 128 + signal.SIGHUP


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_chat_though_another_program_keeps_the_signal() -> None:
    """As in `make demo`: make owns the terminal, gets the signal, and waits for the chat."""
    waiting = f"""
import signal, subprocess, sys
signal.signal(signal.SIGHUP, lambda *_: None)
sys.exit(subprocess.run([sys.executable, "-c", {CHAT!r}]).returncode)
"""
    with PseudoTerminal(waiting) as terminal:
        terminal.wait_for("mini")
        terminal.hang_up()
        assert terminal.status() == 128 + signal.SIGHUP


def test_output_to_a_closed_terminal_does_not_block_the_program() -> None:
    output = WriterThread(cast(TextIO, Lasting(Gone())))
    output.start()

    def write() -> None:
        for _ in range(3 * MAX_QUEUED_WRITES):
            output.write("a line\n")
        output.stop()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(20)
    assert not writer.is_alive()


class Gone(io.StringIO):
    """A terminal that has been closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_a_chat_whose_engine_fails_to_start_stays_open_if_text_was_typed() -> None:
    hold = Hold()

    def start(progress: Progress) -> ChatEngine:
        hold.released.wait()
        raise BudgetError("10 MiB of memory is too little.")

    app = ChatApp(session(FakeEngine(), start=start))
    async with app.run_test() as pilot:
        await write(pilot, "a long case")
        hold.release()
        await shows(pilot, "a long case", "10 MiB of memory is too little.")
        assert isinstance(app.start_error, BudgetError)
