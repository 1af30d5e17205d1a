"""The desktop helper's process, which `client.start` launches with the number of its end of the socket pair.

It may open local sockets only (`python -m edgemed.privacy`), and it ends with the supervisor. What it says while a
screen is being replaced waits in the socket pair.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys

from edgemed.desktop import messages
from edgemed.desktop.clipboard import Clipboard
from edgemed.desktop.logind import Logind


def main(descriptor: int) -> int:
    """Serve until the other end is closed."""
    with socket.socket(fileno=descriptor) as screen:
        Helper(screen, Clipboard(os.environ)).run()
    return 0


class Helper:
    """Waits for the screen and for logind."""

    def __init__(self, screen: socket.socket, clipboard: Clipboard) -> None:
        self._screen = screen
        self._clipboard = clipboard
        self._selector = selectors.DefaultSelector()
        self._selector.register(screen, selectors.EVENT_READ)
        self._logind: Logind | None = None
        self._sleep_waits = False  # for READY_TO_SLEEP

    def run(self) -> None:
        self._listen()
        try:
            while self._step():
                pass
        finally:
            if self._logind is not None:
                self._logind.close()

    def _step(self) -> bool:
        """Wait for one thing to happen; False once no screen can come any more."""
        for key, _ in self._selector.select():
            if key.fileobj is not self._screen:
                self._hear_logind()
            elif not self._hear_screen():
                return False
        return True

    def _listen(self) -> None:
        """Connect to logind, if this machine has it."""
        try:
            self._logind = Logind(os.environ)
        except OSError:
            return
        self._selector.register(self._logind, selectors.EVENT_READ)

    def _hear_logind(self) -> None:
        assert self._logind is not None
        try:
            for news in self._logind.receive():
                self._sleep_waits = news == "sleep"
                if news == "woke":
                    self._logind.delay_sleep_again()
                else:
                    self._clipboard.clear()
                    self._tell(messages.LOCK if news == "lock" else messages.SLEEP)
        except OSError:  # the bus was restarted; the chat still locks after a gap in the clocks
            self._selector.unregister(self._logind)
            self._logind.close()
            self._logind = None

    def _hear_screen(self) -> bool:
        try:
            word, pipes, _, _ = socket.recv_fds(self._screen, messages.LONGEST, 1)
        except OSError:
            return False
        if word == messages.COPY and pipes:
            copied = self._clipboard.copy(pipes.pop())
            self._tell(messages.COPIED if copied else messages.NOT_COPIED)
        elif word == messages.CLEAR:
            self._clipboard.clear()
        elif word == messages.READY_TO_SLEEP and self._sleep_waits and self._logind is not None:
            self._logind.let_sleep()
        for pipe in pipes:
            os.close(pipe)
        return bool(word)

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self._screen.send(word, socket.MSG_DONTWAIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
