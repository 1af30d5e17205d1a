"""A small menu over the chat: a sentence and the things that can be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession


class ChoiceScreen(ModalScreen[str | None]):
    """Dismissed with the name of what was chosen; None for Esc. The first choice is highlighted."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", show=False)]

    def __init__(self, session: ChatSession, sentence: str, choices: Sequence[tuple[str, str]]) -> None:
        """`choices`: names and titles."""
        super().__init__()
        self._session = session
        self._sentence = sentence
        self._choices = choices

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        with Vertical(id="dialog"):
            if self._sentence:
                yield Static(self._sentence, markup=False)
            yield OptionList(*(Option(title, id=name) for name, title in self._choices), markup=False)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        if self.is_current:  # Enter may be pressed twice before the menu has closed
            self.dismiss(event.option.id)


class LeaveScreen(ChoiceScreen):
    """Asks whether to leave although text would be lost. While it is open, the key that leaves asks no more."""
