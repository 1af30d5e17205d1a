"""SIGTERM and SIGHUP end a command as Ctrl+C does, so that its children end and its temporary files are removed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """SIGTERM, or SIGHUP when the terminal was closed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Both signals raise Terminated inside the block. A signal that was ignored at the start (nohup) stays ignored."""

    def end(number: int, _frame: object) -> None:
        for each in before:  # a closing terminal may send several, and clean-up must not be interrupted
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    before = {number: signal.getsignal(number) for number in ENDING if signal.getsignal(number) is signal.SIG_DFL}
    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
