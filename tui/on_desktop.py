"""The chat on a desktop: it locks with the desktop and before the computer sleeps, and copies to its clipboard."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from edgemed.desktop import messages
from edgemed.desktop.client import Desktop
from edgemed.tui.private_app import PrivateApp


class DesktopApp(PrivateApp):
    """An app with a connection to the desktop helper, if this machine has one."""

    def __init__(self, links_closed: str, desktop: Desktop | None) -> None:
        super().__init__(links_closed)
        self._desktop = desktop
        self._copied = ""  # until the helper says whether it could copy

    @abstractmethod
    def lock(self, reason: str) -> None:
        """Show nothing any more, and ask for the passphrase."""

    def on_mount(self) -> None:
        if self._desktop is not None:
            self._desktop.ready_to_sleep()  # the screen before this one is gone, with its text
            asyncio.get_running_loop().add_reader(self._desktop.fileno(), self._hear_desktop)

    def on_unmount(self) -> None:
        if self._desktop is not None:
            asyncio.get_running_loop().remove_reader(self._desktop.fileno())

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by the desktop's clipboard program, else by the terminal."""
        if self._desktop is not None and self._desktop.alive and self._desktop.copy(text):
            self._copied = text
        else:
            super().copy_to_clipboard(text)

    def clear_clipboard(self) -> None:
        """Empty the desktop's clipboard if it still holds our text."""
        if self._desktop is not None:
            self._desktop.clear()

    def _hear_desktop(self) -> None:
        assert self._desktop is not None
        for word in self._desktop.receive():
            if word == messages.LOCK:
                self.lock("desktop")
            elif word == messages.SLEEP:
                self.lock("suspend")
            elif word == messages.NOT_COPIED:
                super().copy_to_clipboard(self._copied)
            self._copied = "" if word in (messages.COPIED, messages.NOT_COPIED) else self._copied
        if not self._desktop.alive:
            asyncio.get_running_loop().remove_reader(self._desktop.fileno())
