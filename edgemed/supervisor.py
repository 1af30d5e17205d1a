"""A chat's first process, the supervisor: it starts the screen and waits for it, and holds neither text nor a key.

The screen is a fork of the supervisor, so its memory was never open to other programs (`edgemed.privacy.fork`). It ends
with one of the usual exit codes, or with LOCKED or SUSPENDED if its text and keys must be gone: then a new screen is
forked, which knows nothing of the one before and asks for the passphrase.

    why = supervise(full_screen=True, language="en")  # returns in each screen; in the supervisor it never returns
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from typing import Any, Literal, NoReturn

from edgemed.privacy.fork import Waiter

LOCKED, SUSPENDED = 75, 76
"""Exit codes of a screen: start a new one now, or once the shell continues this job (`fg`)."""

Why = Literal["started", "locked", "suspended"]

_ENDED = {
    "en": "The chat was ended by {signal}, and text that was not saved is lost; start it again.",
    "zh-CN": "聊天程序被信号 {signal} 终止，未保存的文字已丢失；请重新启动。",
}
# What the full screen has switched on: keyboard protocol, mouse, focus events, bracketed paste, hidden cursor, colours,
# and the alternate screen, which is left last because the keyboard protocol belongs to it.
_MODES_OFF = (
    "\x1b[<u\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?1004l\x1b[?2004l\x1b[?2048l"
)
_SCREEN_OFF = "\x1b[0m\x1b[?25h\x1b[?1049l"


def supervise(*, full_screen: bool, language: str) -> Why:
    """Fork the screen and return in it. Returns why it was started: "started" for the first one.

    The process must have closed itself, and have one thread. It ends as its last screen ends. A screen that is killed
    cannot restore its terminal, so the supervisor does, and says what happened in one sentence.
    """
    terminal = Terminal(full_screen=full_screen)
    waiter = Waiter()
    why: Why = "started"
    while not waiter.fork():
        status = waiter.wait(stop_too=True)
        if status == LOCKED:
            why = "locked"
        elif status == SUSPENDED:
            why = "suspended"
            waiter.stop_job()
        else:
            _end(status, terminal, language)
    return why


def _end(status: int, terminal: Terminal, language: str) -> NoReturn:
    if status >= 0:
        os._exit(status)
    terminal.restore()
    sentence = _ENDED[language].format(signal=signal.Signals(-status).name)
    with contextlib.suppress(OSError):
        print(f"edgemed: {sentence}", file=sys.stderr, flush=True)
    os._exit(128 - status)


class Terminal:
    """The settings of the terminal on standard input, if there is one, as they are now."""

    def __init__(self, *, full_screen: bool) -> None:
        self._full_screen = full_screen
        self._settings: list[Any] | None = None
        with contextlib.suppress(termios.error):  # not a terminal
            self._settings = termios.tcgetattr(0)

    def restore(self) -> None:
        """Set the terminal as it was, unless the shell or another program owns it now. Unread keys are dropped, because
        the shell would take a patient's words as a command."""
        with contextlib.suppress(OSError, termios.error):
            if self._settings is None or os.tcgetpgrp(0) != os.getpgrp():
                return
            termios.tcflush(0, termios.TCIFLUSH)
            termios.tcsetattr(0, termios.TCSANOW, self._settings)
            if self._full_screen:
                os.write(1, (_MODES_OFF + _SCREEN_OFF).encode())
