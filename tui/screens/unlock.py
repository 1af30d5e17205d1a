"""Asks for the passphrase or the recovery words of a vault, and opens it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from edgemed.clinical import Language
from edgemed.errors import EdgemedError, VaultBusy, VaultDamaged, WrongPassphrase
from edgemed.tui.entrance import Entrance
from edgemed.tui.screens.form import FormScreen
from edgemed.tui.strings.vault import VaultStrings
from edgemed.vault.folder import unlock

if TYPE_CHECKING:
    from edgemed.settings import Settings
    from edgemed.vault.folder import Vault

Unlock = Callable[[Path, str], "Vault"]


class Unlocked(Message):
    """The vault is open. `secret` is what opened it; `pin` was chosen in the first run."""

    def __init__(self, vault: Vault, settings: Settings, secret: str, pin: str = "") -> None:
        super().__init__()
        self.vault = vault
        self.settings = settings
        self.secret = secret
        self.pin = pin


class UnsavedWanted(Message):
    """The user wants to chat without a vault."""


class UnlockScreen(FormScreen):
    """Posts `Unlocked`, or `UnsavedWanted`. Argon2id runs on another thread, so the screen stays alive."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+n", "unsaved", show=False, priority=True)]

    def __init__(self, entrance: Entrance, unlock: Unlock = unlock) -> None:
        super().__init__(entrance.header)
        self._entrance = entrance
        self._unlock = unlock
        self.asks = not entrance.passphrase

    def on_mount(self) -> None:
        heading, explanation, placeholder = self._entrance.words.unlock
        self.fill(heading, self._entrance.demonstration or explanation, placeholder, secret=True)
        self.show_keys(self._entrance.words.unlock_keys)
        self.say("")
        if self._entrance.passphrase:
            self._start(self._entrance.passphrase)

    async def answered(self, text: str) -> None:
        if text.strip():
            self._start(text)

    def _start(self, text: str) -> None:
        self.wait(self._entrance.words.opening)
        # In a worker, so that the screen handles keys and repaints in the meantime.
        self.run_worker(self._open(text), exit_on_error=True)

    async def _open(self, secret: str) -> None:
        try:
            vault = await asyncio.to_thread(self._unlock, self._entrance.folder, secret)
        except EdgemedError as error:
            self.say(explained(error, self._entrance.language, self._entrance.words), failed=True)
            if isinstance(error, WrongPassphrase):
                self.field.clear()
            self.go_on()
            return
        self.field.clear()
        self.post_message(Unlocked(vault, self._entrance.settings, secret))

    def action_unsaved(self) -> None:
        if not self.field.disabled:
            self.post_message(UnsavedWanted())


def explained(error: EdgemedError, language: Language, words: VaultStrings) -> str:
    """What went wrong, in the interface's language. The details of an error are in English."""
    if language == "en":
        return str(error)
    for kind, sentence in (
        (WrongPassphrase, words.wrong_passphrase),
        (VaultBusy, words.vault_busy),
        (VaultDamaged, words.vault_damaged),
    ):
        if isinstance(error, kind):
            return sentence if kind is WrongPassphrase else f"{sentence}\n{error}"
    return f"{words.vault_error}\n{error}"
