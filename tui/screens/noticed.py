"""What every screen of the chat has in common: the header and the model's notice stand above it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.command import CommandPalette

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
