"""The ways out of the chat: quit to the shell, lock, and lock for the shell as Ctrl+Z does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgemed import supervisor
from edgemed.tui.commanding import CommandingApp
from edgemed.tui.hiding.driver import HidingDriver
from edgemed.tui.on_desktop import DesktopApp
from edgemed.tui.screens.choice import LeaveScreen
from edgemed.tui.screens.kept import KeptScreen

AUDITED = {supervisor.LOCKED: "locked", supervisor.SUSPENDED: "suspended"}
"""Exit code -> the audit's event. Every other code is "closed"."""


class LeavingApp(CommandingApp, DesktopApp):
    """The supervisor starts a new process after a lock, which asks for the passphrase. Quitting ends both."""

    _chat: KeptScreen | None
    _leaving = False

    @property
    def hidden(self) -> bool:
        """Whether the screen is hidden."""
        raise NotImplementedError

    def lock(self, reason: str) -> None:
        """Blank the terminal, save what is typed, end the engine and this process. May be called from any thread.

        `reason`: "key", "tries", "idle", "suspend", "desktop", "command".
        """
        self._blank()
        self.call_later(self.leave, supervisor.LOCKED)

    def lock_and_stop(self) -> None:
        """Lock, then let the shell have the terminal."""
        self._blank()
        self.call_later(self.leave, supervisor.SUSPENDED)

    def _blank(self) -> None:
        if isinstance(self._driver, HidingDriver):
            self._driver.blank()

    def action_lock(self) -> None:
        """Lock now."""
        self.lock("command")

    async def action_suspend(self) -> None:
        """Lock for the shell, but ask first if an unsaved chat would be lost."""
        await self._ask_to_leave(self.lock_and_stop, lock=True)

    async def action_quit(self) -> None:
        """End the chat and return to the shell, but ask first if text would be lost."""
        await self._ask_to_leave(lambda: self.call_later(self.leave, 0), lock=False)

    async def _ask_to_leave(self, leave: Callable[[], Any], *, lock: bool) -> None:
        """Call `leave`: at once if the screen is hidden or the question is already shown."""
        if self._chat is None or self.hidden or isinstance(self.screen, LeaveScreen):
            leave()
        else:
            await self._chat.ask_to_leave(leave, lock=lock)

    async def leave(self, code: int) -> None:
        """Save what is to be kept, end the engine, close the vault, and exit with `code`."""
        if self._leaving:
            return
        self._leaving = True
        if not self.hidden:
            await self.catch_up()
        if code in (supervisor.LOCKED, supervisor.SUSPENDED):
            self.clear_clipboard()
        if self._chat is not None:
            await self._chat.leave(AUDITED.get(code, "closed"))
        self.exit(return_code=code)
