"""Shows a copy by itself, to be selected with the terminal's own means where programs may not set the clipboard."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.drawn import Drawn


class SelectableScreen(Screen[None]):
    """One scrolling page without bars or margins at the left, so that selected lines hold the text alone."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f2,q", "dismiss", show=False)]

    def __init__(self, session: ChatSession, text: str) -> None:
        super().__init__()
        self._session = session
        self._text = text

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        with VerticalScroll():
            yield Drawn(self._text, markdown=False)
        yield Static(self._session.words.selectable, classes="stage", markup=False)
