"""Owns the clipboard by a program that serves it: wl-copy on Wayland, xclip on X11.

Both stay in the foreground until another program takes the clipboard. So a program that still runs still owns it, and
ending it empties the clipboard. A clipboard manager may have kept a copy; nothing here can undo that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping

KEPT_SECONDS = 60
_STARTS_IN_SECONDS = 0.3
"""A clipboard program that cannot reach its display ends within this time."""
# coreutils' timeout empties the clipboard even if the chat has ended.
_FOR_A_WHILE = ["timeout", "--signal=KILL", str(KEPT_SECONDS)]


def command(environment: Mapping[str, str]) -> list[str] | None:
    """The clipboard program for this desktop, which reads the text on standard input; None if there is none."""
    if environment.get("WAYLAND_DISPLAY") and (program := shutil.which("wl-copy", path=environment.get("PATH"))):
        # Clipboard managers leave out what is marked as sensitive; wl-copy can mark it since version 2.3.
        sensitive = ["--sensitive"] if _offers(program, "--sensitive") else []
        return [*_FOR_A_WHILE, program, "--foreground", "--type", "text/plain;charset=utf-8", *sensitive]
    if environment.get("DISPLAY") and (program := shutil.which("xclip", path=environment.get("PATH"))):
        return [*_FOR_A_WHILE, program, "-quiet", "-selection", "clipboard", "-in"]
    return None


class Clipboard:
    """The clipboard of one desktop session."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._command = command(environment)
        self._owner: subprocess.Popen[bytes] | None = None

    def copy(self, pipe: int) -> bool:
        """Own the clipboard with the text in `pipe`, which is closed. False if no program could do so."""
        self.clear()
        try:
            if self._command is None:
                return False
            null = subprocess.DEVNULL
            self._owner = subprocess.Popen(self._command, stdin=pipe, stdout=null, stderr=null, start_new_session=True)
        except OSError:
            return False
        finally:
            os.close(pipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._owner.wait(_STARTS_IN_SECONDS)
            self._owner = None
            return False
        return True

    def clear(self) -> None:
        """Empty the clipboard, unless another program has taken it."""
        owner, self._owner = self._owner, None
        if owner is not None and owner.poll() is None:
            os.killpg(owner.pid, signal.SIGKILL)  # at once: the text is in its memory
            owner.wait()


def _offers(program: str, option: str) -> bool:
    try:
        shown = subprocess.run([program, "--help"], capture_output=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return option.encode() in shown.stdout + shown.stderr
