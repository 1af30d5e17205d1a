"""Asks for confirmation before an incomplete answer is copied."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession


class ConfirmCopyScreen(ModalScreen[bool]):
    """Dismissed with True if the user confirms the copy."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", show=False),
        Binding("up,left", "app.focus_previous", show=False),
        Binding("down,right", "app.focus_next", show=False),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session

    def compose(self) -> ComposeResult:
        words = self._session.words
        yield notices(self._session)
        with Vertical(id="dialog"):
            yield Static(words.copy_cut, markup=False)
            yield Button(words.copy_cut_no, id="no")
            yield Button(words.copy_cut_yes, id="yes")

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
