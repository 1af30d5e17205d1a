"""Copies text to the clipboard, always with its notices."""

from __future__ import annotations

from textual.screen import Screen

from edgemed.chat.conversation import Turn
from edgemed.chat.visible import visible
from edgemed.clinical import chart_copy
from edgemed.tui.screens.confirm_copy import ConfirmCopyScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.turn import AnswerView


class CopyingScreen(Screen[None]):
    """A screen whose answers can be copied."""

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._words = session.words

    @property
    def session(self) -> ChatSession:
        return self._session

    def copy_turn(self, turn: Turn, *, question: bool = False) -> None:
        """Copy an answer, with its question above it if `question`. Ask for confirmation if it is not whole."""
        self._copy_part(f"{visible(turn.question)}\n\n{turn.text}" if question else turn.text, [turn])

    def action_copy_text(self) -> None:
        """Copy the mouse selection. Ask for confirmation if any answer in it is not whole."""
        selected = self.get_selected_text()
        if selected:
            within = (node for widget in self.selections for node in widget.ancestors_with_self)
            self._copy_part(selected, [node.turn for node in within if isinstance(node, AnswerView)])

    def _copy_part(self, text: str, answers: list[Turn]) -> None:
        if all(turn.state == "whole" for turn in answers):
            self._copy(text, incomplete=False)
            return
        self.app.push_screen(
            ConfirmCopyScreen(self._session), lambda yes: self._copy(text, incomplete=True) if yes else None
        )

    def _copy(self, text: str, *, incomplete: bool) -> None:
        copy = chart_copy(
            text,
            intended_use=self._session.intended_use,
            incomplete=incomplete,
            language=self._session.language,
        )
        self.app.copy_to_clipboard(copy)
        self.notify(self._words.copied, markup=False)
