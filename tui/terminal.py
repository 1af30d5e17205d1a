"""Textual's way to the terminal, where that may go away at any moment."""

from __future__ import annotations

import select
import signal
import termios
import tty
from collections.abc import Callable
from typing import Any, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

LOOK_SECONDS = 1.0


class LastingDriver(LinuxDriver):
    """Textual writes on a thread, which an error ends; the next thirty writes then wait for it, and the program with
    them, for ever. Here what no terminal takes any more falls on the floor, and the program can end.

    And it does, with the terminal: SIGHUP is for the program that the terminal belongs to, and `make` or a shell before
    the chat may wait for it without passing that on, while Textual's input thread reads nothing as fast as it can.
    """

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        self._continued = self._looks = False  # first: from then on SIGCONT starts us
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast(Any, Lasting(cast(TextIO, self._file)))

    def start_application_mode(self) -> None:
        """Also what SIGCONT does, whatever stopped us. In the background this stops us too, and SIGCONT amid it would
        do all of it twice: here it is only noted then, and what was interrupted is tried again.
        """
        running, before = self._is_running(), None
        self._continued = True
        with self.no_automatic_restart():
            while self._continued:
                self._continued = False
                # Before anything is seen: Textual shows its screen first, and to a terminal as it was Ctrl+Q is no key.
                taken = self._take_keys()
                before = before or taken
                if not self._continued and not self._is_running():
                    super().start_application_mode()  # type: ignore[no-untyped-call]
        if before is not None and not running:
            self.attrs_before = before
        if self._looks:
            self._app.call_later(self._app.refresh, layout=True)  # the terminal has forgotten what it showed
        else:
            self._looks = True
            self._look()

    def _sigcont_application(self, *arguments: object) -> None:
        self._continued = True
        super()._sigcont_application(*arguments)

    def _is_running(self) -> bool:
        return self._key_thread is not None and self._key_thread.is_alive()

    def _take_keys(self) -> list[Any] | None:
        """Let every key come to us from now on; how the terminal was set, if that could be done."""
        try:
            before, ours = termios.tcgetattr(self.fileno), termios.tcgetattr(self.fileno)
            ours[tty.IFLAG], ours[tty.LFLAG] = self._patch_iflag(ours[tty.IFLAG]), self._patch_lflag(ours[tty.LFLAG])
            termios.tcsetattr(self.fileno, termios.TCSANOW, ours)
        except termios.error:
            return None
        return before

    def _look(self) -> None:
        if is_gone(self.fileno):
            signal.raise_signal(signal.SIGHUP)
        else:
            self._loop.call_later(LOOK_SECONDS, self._look)


def is_gone(terminal: int) -> bool:
    """Whether the terminal of this descriptor was closed."""
    watch = select.poll()
    watch.register(terminal, 0)  # it tells that unasked
    return bool(watch.poll(0))


class Lasting:
    """A file that takes everything, for as long as it can really."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._gone = False
        self.fileno = file.fileno

    def write(self, text: str) -> None:
        self._try(lambda: self._file.write(text))

    def flush(self) -> None:
        self._try(self._file.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if not self._gone:
            try:
                action()
            except BlockingIOError:
                pass  # somebody else's setting of the terminal, for a moment
            except OSError:
                self._gone = True
