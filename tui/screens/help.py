"""The help screen (F1): keys, what the screen shows, privacy, limits."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.strings import help_text
from edgemed.tui.widgets.drawn import Drawn


class HelpScreen(Screen[None]):
    """One scrolling page."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "dismiss", show=False)]

    def __init__(self, session: ChatSession, commands: str = "") -> None:
        """`commands`: the commands that are offered, in Markdown."""
        super().__init__()
        self._session = session
        self._commands = commands

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        with VerticalScroll():
            yield Drawn(help_text(self._session.language, self._commands))
        yield Static(self._session.words.close, classes="stage", markup=False)
