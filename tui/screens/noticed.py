"""What every screen of the chat has in common: the header and the model's notice stand above it."""

from __future__ import annotations

import contextlib

from textual import on
from textual.app import ComposeResult
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

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _choose_once(self, event: Input.Submitted | OptionList.OptionSelected) -> None:
        """Another Enter that was on its way when the palette closed would close the screen below, too."""
        if not self.is_current:
            event.stop()
            event.prevent_default()

    def _action_command_list(self, action: str) -> None:
        with contextlib.suppress(KeyError):  # a page of a list that is yet to be laid out
            super()._action_command_list(action)
