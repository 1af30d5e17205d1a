"""A real program in a real terminal (tmux), with real keys."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

WAIT_SECONDS, SOON_SECONDS = 90.0, 5.0


class Terminal:
    """A terminal of tmux that runs one program, with its files in `folder`: cache, settings and vault."""

    def __init__(
        self,
        folder: Path,
        command: str,
        *,
        columns: int = 80,
        lines: int = 24,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._socket = folder / "tmux"
        homes = {f"XDG_{name}_HOME": str(folder) for name in ("CACHE", "CONFIG", "DATA")}
        environment = {**homes, "LC_ALL": "C.UTF-8", "SSH_CONNECTION": "", "SSH_TTY": "", **(environment or {})}
        self.tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines)),
            *(word for name, value in environment.items() for word in ("-e", f"{name}={value}")),
            f"{command}; echo EXIT $?; exec sleep 1000",
        )

    def tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-u", "-S", self._socket, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def paste(self, text: str) -> None:
        """Paste as a terminal does that brackets pastes."""
        self.tmux("set-buffer", "--", text)
        self.tmux("paste-buffer", "-p")

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def shows(self, *texts: str) -> bool:
        """Whether a screen with all of `texts` appears within SOON_SECONDS."""
        limit = time.monotonic() + SOON_SECONDS
        while time.monotonic() < limit:
            screen = self.screen()
            if all(text in screen for text in texts):
                return True
        return False

    def wait_for(self, *texts: str, gone: str | None = None) -> str:
        """Wait for a screen that shows all of `texts` and does not show `gone`; return it."""
        limit = time.monotonic() + WAIT_SECONDS
        while not all(text in (screen := self.screen()) for text in texts) or (gone is not None and gone in screen):
            assert time.monotonic() < limit, f"waited in vain for {texts}, {gone} gone; the screen was:\n{screen}"
            time.sleep(0.02)
        return screen

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)
