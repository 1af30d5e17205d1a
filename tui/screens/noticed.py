"""What every screen of the chat has in common: the header and the model's notice stand above it."""

from __future__ import annotations

import contextlib

from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.widgets import Input, OptionList

from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.notices import Notices


def notices(session: ChatSession) -> Notices:
    """The lines above a screen."""
    return Notices(session.header, session.notice)


class NoticedPalette(CommandPalette):
    """The command palette, under the notices."""

    def __init__(self, session: ChatSession) -> None:
        super().__init__(placeholder=session.words.palette_placeholder)
        self._session = session

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        yield from super().compose()

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Once: a second click that was on its way would close the screen below, too."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _take_until_closed(self, event: Input.Changed | Input.Submitted | OptionList.OptionSelected) -> None:
        """One command is chosen, however many times Enter was pressed until the palette had closed."""
        if not self.is_current:
            event.stop()
            event.prevent_default()

    def _action_command_list(self, action: str) -> None:
        with contextlib.suppress(KeyError):  # a page of a list that is yet to be laid out
            super()._action_command_list(action)
