"""A page of text, such as what the model was given for an answer."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from edgemed.chat.visible import visible
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession


class SeenScreen(Screen[None]):
    """`lines` stand above the text. For a prompt, they say how many tokens it has and whether it is the answer's."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f9,q", "dismiss", show=False)]

    def __init__(self, session: ChatSession, lines: list[str], text: str) -> None:
        super().__init__()
        self._session = session
        self._lines = lines
        self._text = text

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        yield Static("\n".join(self._lines), classes="stage", markup=False)
        with VerticalScroll(classes="page"):
            yield Static(visible(self._text), markup=False)
        yield Static(self._session.words.close, classes="stage", markup=False)
