"""Owns the clipboard by a program that serves it: wl-copy on Wayland, xclip on X11.

Both stay in the foreground until another program takes the clipboard. So a program that still runs still owns it, and
ending it empties the clipboard. A clipboard manager may have kept a copy; nothing here can undo that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping

KEPT_SECONDS = 60.0
_STARTS_IN_SECONDS = 0.3
"""A clipboard program that cannot reach its display ends within this time."""


def command(environment: Mapping[str, str]) -> list[str] | None:
    """The clipboard program for this desktop, which reads the text on standard input; None if there is none."""
    if environment.get("WAYLAND_DISPLAY") and (program := shutil.which("wl-copy", path=environment.get("PATH"))):
        # Clipboard managers leave out what is marked as sensitive; wl-copy can mark it since version 2.3.
        sensitive = ["--sensitive"] if _offers(program, "--sensitive") else []
        return [program, "--foreground", "--type", "text/plain;charset=utf-8", *sensitive]
    if environment.get("DISPLAY") and (program := shutil.which("xclip", path=environment.get("PATH"))):
        return [program, "-quiet", "-selection", "clipboard", "-in"]
    return None


class Clipboard:
    """The clipboard of one desktop session."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._command = command(environment)
        self._owner: subprocess.Popen[bytes] | None = None
        self._until = 0.0

    def copy(self, pipe: int) -> bool:
        """Own the clipboard with the text in `pipe`, which is closed. False if no program could do so."""
        self.clear()
        try:
            if self._command is None:
                return False
            null = subprocess.DEVNULL
            self._owner = subprocess.Popen(self._command, stdin=pipe, stdout=null, stderr=null)
        except OSError:
            return False
        finally:
            os.close(pipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._owner.wait(_STARTS_IN_SECONDS)
            self._owner = None
            return False
        self._until = time.monotonic() + KEPT_SECONDS
        return True

    def clear(self) -> None:
        """Empty the clipboard, unless another program has taken it."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.kill()  # at once: the text is in its memory
            owner.wait()

    @property
    def seconds_left(self) -> float | None:
        """Until the text must go; None if the clipboard is not ours."""
        if self._owner is not None and self._owner.poll() is not None:
            self._owner = None
        return max(0.0, self._until - time.monotonic()) if self._owner else None

    def clear_if_due(self) -> None:
        """Empty the clipboard once the text was there for KEPT_SECONDS."""
        if self.seconds_left == 0.0:
            self.clear()


def _offers(program: str, option: str) -> bool:
    try:
        shown = subprocess.run([program, "--help"], capture_output=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return option.encode() in shown.stdout + shown.stderr
