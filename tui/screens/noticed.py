"""What all screens of the chat share: the header and the model's notice at the top."""

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
    """The lines at the top of a screen."""
    return Notices(session.headers, session.notice)


class NoticedPalette(CommandPalette):
    """The command palette, below the notices."""

    def __init__(self, session: ChatSession) -> None:
        super().__init__(placeholder=session.words.palette_placeholder)
        self._session = session

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        yield from super().compose()

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Dismiss at most once; a second click in the message queue would close the screen below too."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _take_until_closed(self, event: Input.Changed | Input.Submitted | OptionList.OptionSelected) -> None:
        """Ignore input after a command was chosen: Enter may be pressed again before the palette has closed."""
        if not self.is_current:
            event.stop()
            event.prevent_default()

    def _action_command_list(self, action: str) -> None:
        with contextlib.suppress(KeyError):  # PageDown in a list that has no layout yet
            super()._action_command_list(action)
