"""A Textual driver that survives the loss of its terminal and any sequence of stop and continue."""

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
    """Ends the program when its terminal is closed.

    Textual writes on a thread. A write error ends that thread; once its queue of 30 writes is full, the program blocks
    for ever. This driver drops output after the first error (`Lasting`), so that the program can end.

    It also checks once a second whether the terminal is gone and then raises SIGHUP. On a hang-up the kernel signals
    the session leader. If that is `make` or a shell that waits for the chat, the signal may not be passed on, and
    Textual's input thread would spin on reads that return nothing.
    """

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        # Set before super().__init__, which installs the SIGCONT handler that reads them.
        self._continued = self._looks = False
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast(Any, self.wrap(cast(TextIO, self._file)))

    def wrap(self, file: TextIO) -> Lasting:
        """The file to write to instead of the terminal's."""
        return Lasting(file)

    def start_application_mode(self) -> None:
        """Take over the terminal, at the start and after every SIGCONT.

        In the background, setting the terminal stops the process (SIGTTOU). A SIGCONT then arrives in the middle of
        this method and would run all of it a second time. So a nested SIGCONT only sets a flag, and the loop retries
        what was interrupted.
        """
        running, before = self._is_running(), None
        self._continued = True
        with self.no_automatic_restart():
            while self._continued:
                self._continued = False
                # Textual shows its screen before it sets the terminal. Until then the terminal takes Ctrl+Q as flow
                # control and the program never sees it, so set the terminal first.
                taken = self._take_keys()
                before = before or taken
                if not self._continued and not self._is_running():
                    super().start_application_mode()  # type: ignore[no-untyped-call]
        if before is not None and not running:
            self.attrs_before = before
        if self._looks:
            self._app.call_later(self._app.refresh, layout=True)  # the terminal no longer shows our screen
        else:
            self._looks = True
            self._look()

    def _sigcont_application(self, *arguments: object) -> None:
        self._continued = True
        super()._sigcont_application(*arguments)

    def _is_running(self) -> bool:
        return self._key_thread is not None and self._key_thread.is_alive()

    def _take_keys(self) -> list[Any] | None:
        """Deliver every key to this program. Returns the previous terminal settings, None if they cannot be changed."""
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
    """Whether the terminal behind this descriptor was closed."""
    watch = select.poll()
    watch.register(terminal, 0)  # poll reports a hang-up even if no event is asked for
    return bool(watch.poll(0))


class Lasting:
    """A file that ignores all output after its first write error."""

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
                pass  # another process has set the terminal to non-blocking; drop this write, try the next
            except OSError:
                self._gone = True
