"""What a question about a dose lacks, and what an answer has that is not from the case: dim lines, computed apart."""

from __future__ import annotations

from functools import partial

from textual import on
from textual.timer import Timer
from textual.widgets import Static, TextArea

from edgemed.chat.conversation import Conversation
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.watch import NotGiven
from edgemed.tui.clinical_lines import allergy_lines, not_given_line, numbers_line
from edgemed.tui.commands import is_command
from edgemed.tui.screens.flagged import FlaggedScreen
from edgemed.tui.screens.keeping import show
from edgemed.tui.session import ChatSession
from edgemed.tui.watching import questions_of
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.turn import AnswerView

LOOK_SECONDS = 0.4
"""What a typed question lacks is looked for this long after the last key."""


class MarkedScreen(FlaggedScreen):
    """`FlaggedScreen` with the line "not given" above the box, and the lines below an answer."""

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._not_given = NotGiven()
        self._looking: Timer | None = None

    async def on_mount(self) -> None:
        line = Static("", classes="not-given", markup=False)
        line.display = False
        await self.mount(line, before=self.query_one(".box-line"))

    # --- what is not given ---

    @on(TextArea.Changed)
    def _look_soon(self) -> None:
        if self._looking is not None:
            self._looking.stop()
        self._looking = self.set_timer(LOOK_SECONDS, self._look_for_missing)

    def _look_for_missing(self) -> None:
        self.in_background(self._show_missing, group="missing")

    async def _show_missing(self) -> None:
        """Say what the question in the box lacks, or the one that was sent last if the box is empty."""
        draft, asked = self.query_one(Composer).text.strip(), questions_of(self._conversation)
        line = self.query_one(".not-given", Static)
        about = draft if draft and draft != "/" and not is_command(draft) else asked[-1] if asked else ""
        found = await self.watching.not_given(self._conversation, about) if about else NotGiven()
        self._not_given = found
        told = not_given_line(found, self._session.language)
        line.set_class(bool(found.failed), "-failed")
        line.display = bool(told)
        show(line, told)

    @property
    def first_field(self) -> str:
        """The first field that is missing, if any is."""
        fields = self._not_given.fields
        return fields[0] if fields else super().first_field

    async def _keep_header(self, conversation: Conversation, header: CaseHeader) -> None:
        await super()._keep_header(conversation, header)
        self.look_again()

    def look_again(self) -> None:
        self._look_for_missing()
        for view in self.query_one(Transcript).views:
            self.in_background(partial(self._mark, view.answer))

    async def _show_conversation(self) -> None:
        await super()._show_conversation()
        self._look_for_missing()

    # --- answers ---

    @on(AnswerView.Ended)
    def _ended_view(self, ended: AnswerView.Ended) -> None:
        self.in_background(partial(self._mark, ended.view))

    async def _mark(self, view: AnswerView) -> None:
        """Show the marks of an answer that has ended."""
        if view.turn.state == "open" or not view.turn.raw:
            return
        marks, words = await self.watching.marks(self._conversation, view.turn), self._clinical_words
        if view.is_attached:
            view.show_marks(allergy_lines(marks, words), numbers_line(marks, words))
