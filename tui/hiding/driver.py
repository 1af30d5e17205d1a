"""The terminal driver of a chat that can be hidden: it blanks the terminal without waiting for the event loop."""

from __future__ import annotations

import functools
import threading
from typing import Protocol, TextIO, cast

from textual.drivers import linux_driver

from edgemed.tui.hiding.hide_key import HidingParser
from edgemed.tui.terminal import Lasting, LastingDriver

BLANK = "\x1b[?2026l\x1b[0m\x1b[?25l\x1b[H\x1b[2J"
"""End a synchronised update, reset the colours, hide the cursor, clear the screen."""


class Shutter(Lasting):
    """A terminal that can be blanked from any thread. Until it is reopened, it drops all output.

    `REOPEN` is written like output, so everything that was queued before it is dropped too.
    """

    REOPEN = "\0reopen"

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._lock = threading.Lock()
        self._shut = False

    def shut(self) -> None:
        """Blank the terminal now."""
        with self._lock:
            self._shut = True
            super().write(BLANK)
            super().flush()

    def write(self, text: str) -> None:
        with self._lock:
            if text == self.REOPEN:
                self._shut = False
            elif not self._shut:
                super().write(text)

    def flush(self) -> None:
        with self._lock:
            super().flush()


class Hideable(Protocol):
    """What the driver asks of the application, from any thread."""

    @property
    def text_shown(self) -> bool:
        """Whether there is something to hide."""

    def slept(self) -> bool:
        """Whether the computer has been suspended since the application last looked."""

    @property
    def lockable(self) -> bool:
        """Whether there is a vault to lock."""

    def lock(self, reason: str) -> None: ...

    def lock_and_stop(self) -> None: ...


class HidingDriver(LastingDriver):
    """Blanks the terminal as soon as a hide key is read, and before the first output after a suspend."""

    @property
    def _hideable(self) -> Hideable:
        return cast(Hideable, self._app)

    def wrap(self, file: TextIO) -> Shutter:
        self._shutter = Shutter(file)
        return self._shutter

    def blank(self) -> None:
        """Blank the terminal at once, from any thread, and drop all output until `reopen`."""
        if self._hideable.text_shown:
            self._shutter.shut()

    def reopen(self) -> None:
        """Let output through again. What was queued before this call stays unseen."""
        if self._writer_thread is not None:
            super().write(Shutter.REOPEN)

    def write(self, data: str) -> None:
        if self._hideable.slept():
            self.blank()
            self._app.call_later(self._hideable.lock, "suspend")
        super().write(data)

    def _sigtstp_application(self, *arguments: object) -> None:
        """A signal to stop locks as Ctrl+Z does: a stopped program keeps its text in memory and on the screen."""
        if self._hideable.lockable:
            self._loop.call_soon_threadsafe(self._hideable.lock_and_stop)
        else:
            super()._sigtstp_application(*arguments)

    def stop_application_mode(self) -> None:
        self.reopen()
        super().stop_application_mode()

    def _run_input_thread(self) -> None:
        linux_driver.XTermParser = functools.partial(HidingParser, self.blank)  # type: ignore[assignment,attr-defined]
        super()._run_input_thread()
