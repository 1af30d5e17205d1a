"""SIGTERM and SIGHUP end a command as Ctrl+C does: what it began is ended and what it left for a while is removed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """Somebody asked for the end of the process, or closed its terminal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def ending_orderly() -> Iterator[None]:
    """Within, both signals raise Terminated. One that whoever started us had ignored (nohup) stays ignored."""

    def end(number: int, _frame: object) -> None:
        for each in before:  # a terminal that closes may send several, and cleaning up must come to its end
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
