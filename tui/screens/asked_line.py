"""Asks for one line of text over the chat, such as the name behind "Reviewed by"."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from edgemed.tui.screens.form import FormScreen


class AskedLine(FormScreen):
    """`take` gets what was typed and returns why it is refused; empty, and the screen closes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", show=False)]

    def __init__(self, header: str, asked: tuple[str, str, str], keys: str, take: Callable[[str], str]) -> None:
        super().__init__(header)
        self._asked = asked
        self._keys = keys
        self._take = take

    def on_mount(self) -> None:
        self.fill(*self._asked)
        self.show_keys(self._keys)
        self.say("")

    async def answered(self, text: str) -> None:
        text = " ".join(text.split())
        if not text or not self.is_current:
            return
        if refused := self._take(text):
            self.say(refused, failed=True)
        else:
            self.dismiss()
