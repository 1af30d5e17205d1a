"""Sets, changes or removes the PIN of the hidden screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from edgemed.errors import VaultError
from edgemed.tui.kept import Kept
from edgemed.tui.screens.form import FormScreen
from edgemed.tui.strings.vault import VaultStrings


class SetPinScreen(FormScreen):
    """Asks for the new PIN once; a slip costs nothing, because the passphrase shows the hidden screen too."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", show=False)]

    def __init__(self, headers: Sequence[str], words: VaultStrings, kept: Kept) -> None:
        super().__init__(*headers)
        self._words = words
        self._kept = kept

    def on_mount(self) -> None:
        self.fill(*self._words.pin_asked, secret=True)
        self.show_keys(self._words.pin_keys)
        self.say("")

    async def answered(self, text: str) -> None:
        try:
            accepted = await self._kept.set_pin(text)
        except VaultError as error:
            self.say(str(error), failed=True)
            return
        if not accepted:
            self.say(self._words.not_a_pin, failed=True)
            return
        self.app.notify(self._words.pin_set if text else self._words.pin_removed, markup=False)
        self.dismiss()
