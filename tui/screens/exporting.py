"""The chat with its text export: what to export, the review, the file."""

from __future__ import annotations

from typing import cast

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.redaction import Review
from edgemed.tui.exporting import Export, Part, Remembered, choices, exported_turns
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.export_form import ExportForm
from edgemed.tui.screens.marked import MarkedScreen
from edgemed.tui.screens.review import ReviewScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.export import export_strings


class ExportingScreen(MarkedScreen):
    """`MarkedScreen` with the command that exports text."""

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._remembered = Remembered(session)

    def action_export(self, part: str = "") -> None:
        """Export the note on the chosen answer or on the last one, the answer, it with its question, or the chat."""
        words = export_strings(self._session.language)
        answered = [turn for turn in self._conversation.turns if turn.raw]
        turn = self.chosen or (answered[-1] if answered else None)
        if turn is None or not turn.raw:
            self.say(words.nothing)
        elif part in words.part_words:
            self._export(turn, words.part_words[part])
        else:
            screen = ChoiceScreen(self._session, words.what, choices(turn, self._session))
            self.app.push_screen(screen, lambda name: self._export(turn, name))

    def _export(self, turn: Turn, part: str | None) -> None:
        if part == "note" and not turn.note:
            self.say(export_strings(self._session.language).no_note)
        elif part is not None:
            turns = exported_turns(self._conversation, turn, cast(Part, part))
            export = Export(self._session, self._conversation, turns, cast(Part, part), self._remembered)
            self.run_worker(self._review(export))

    async def _review(self, export: Export) -> None:
        review = await export.review()

        def go_on(reviewed: Review | None) -> None:
            if reviewed is not None:
                self.app.push_screen(ExportForm(export, reviewed))

        self.app.push_screen(ReviewScreen(self._session, review), go_on)
