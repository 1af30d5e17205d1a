"""Copies text to the clipboard, always with its notices and as plain text."""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual.screen import Screen

from edgemed.chat.conversation import Turn
from edgemed.chat.reasoning import parts
from edgemed.chat.visible import visible
from edgemed.clinical import chart_copy
from edgemed.tui.markdown import plain_text
from edgemed.tui.screens.confirm_copy import ConfirmCopyScreen
from edgemed.tui.screens.selectable import SelectableScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.turn import AnswerView

AGAIN_SECONDS = 20.0
"""Within this time, copying the same text again shows it for selection instead."""


class CopyingScreen(Screen[None]):
    """A screen whose answers can be copied."""

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._words = session.words
        self._copied = ("", 0.0)  # the last copy, and when it was made

    @property
    def session(self) -> ChatSession:
        return self._session

    def copy_turn(self, turn: Turn, *, question: bool = False) -> None:
        """Copy an answer, with its question above it if `question`. Ask for confirmation if it is not whole."""
        view = next((view for view in self.query(AnswerView) if view.turn is turn), None)
        text = plain_text(parts(turn.text).answer, view.columns if view else 80)
        if question:
            text = f"{plain_text(visible(turn.question), markdown=False)}\n\n{text}"
        self._copy_part(text, [turn], question=question)

    def action_copy_text(self) -> None:
        """Copy the mouse selection. Ask for confirmation if any answer in it is not whole."""
        selected = self.get_selected_text()
        if selected:
            within = (node for widget in self.selections for node in widget.ancestors_with_self)
            self._copy_part(selected, [node.turn for node in within if isinstance(node, AnswerView)])

    def _copy_part(self, text: str, answers: list[Turn], *, question: bool = False) -> None:
        if all(turn.state == "whole" for turn in answers):
            self._copy(text, answers, question=question, incomplete=False)
            return
        self.app.push_screen(
            ConfirmCopyScreen(self._session),
            lambda yes: self._copy(text, answers, question=question, incomplete=True) if yes else None,
        )

    def _copy(self, text: str, answers: list[Turn], *, question: bool, incomplete: bool) -> None:
        only = answers[0] if len({turn.id for turn in answers}) == 1 else None
        copy = chart_copy(
            text,
            intended_use=self._session.intended_use,
            incomplete=incomplete,
            weights_digest=(only and only.weights_digest) or self._session.weights_digest,
            written=only.asked if only else None,
            language=self._session.language,
        )
        self.copied(answers, question=question, incomplete=incomplete)
        self.put_on_clipboard(copy)

    def put_on_clipboard(self, copy: str) -> None:
        """Copy a text that has its notices. Copied again at once, it is shown for selection instead."""
        before, at = self._copied
        self._copied = (copy, time.monotonic())
        if copy == before and time.monotonic() - at < AGAIN_SECONDS:
            self.app.clear_notifications()
            self.app.push_screen(SelectableScreen(self._session, copy))
            return
        self.app.copy_to_clipboard(copy)
        self.notify(self._words.copied, markup=False)

    def copied(self, answers: Sequence[Turn], *, question: bool, incomplete: bool) -> None:
        """Text of these answers is on its way out of the chat."""
