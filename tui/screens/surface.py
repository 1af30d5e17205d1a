"""The layout of the chat's screen: transcript, stage, queued question, composer, status line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Markdown, Static

from edgemed.chat.conversation import Queued, Turn
from edgemed.chat.visible import visible
from edgemed.tui.endings import ending
from edgemed.tui.screens.copying import CopyingScreen
from edgemed.tui.screens.noticed import notices
from edgemed.tui.stages import Down, Stage, described
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.slash_menu import SlashMenu
from edgemed.tui.widgets.status import StatusLine
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.turn import AnswerView


class ChatSurface(CopyingScreen):
    """The widgets and what they show. The subclasses add the behaviour (`AnsweringScreen`, `ChatScreen`)."""

    AUTO_FOCUS = "Composer"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
    ]

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        with Horizontal(classes="conversation"):
            yield Transcript(you=self._words.you, notice=self._session.notice, ending=self.ending_of)
        yield Static("", classes="stage", markup=False)
        yield Static("", classes="queued", markup=False)
        menu = SlashMenu(self._session.language)
        yield menu
        yield Static("", classes="box-line", markup=False)
        yield Composer(self._words.placeholder, menu)
        yield StatusLine(self._words)

    def show_welcome(self, facts: str = "") -> None:
        """Show the text above the first turn. `facts`: the model's description, once it is known."""
        lines = (self._session.introduction, facts, self._words.nothing_stored)
        self.query_one(Transcript).welcome("\n".join(filter(None, lines)))

    def show_stage(self, stage: Stage) -> None:
        """Show what the engine is doing."""
        line = self.query_one(".stage", Static)
        line.update(described(stage, self._words))
        line.set_class(isinstance(stage, Down), "-down")

    def show_queued(self, questions: Sequence[Queued]) -> None:
        """Show the queued questions, one a line; nothing if there are none."""
        line = self.query_one(".queued", Static)
        texts = (" ⏎ ".join(visible(question.text).split("\n")) for question in questions)
        line.update("\n".join(self._words.queued.format(text=text) for text in texts))
        line.display = bool(questions)

    def show_figures(self, **figures: Any) -> None:
        """Update the given fields of `Figures` on the status line."""
        line = self.query_one(StatusLine)
        line.show(replace(line.figures, **figures))

    def ending_of(self, turn: Turn) -> str:
        """The line below an answer that says how it ended."""
        return ending(turn, self._words, self._session.language)

    def focus_composer(self) -> None:
        """Give the composer the focus without scrolling."""
        self.set_focus(self.query_one(Composer), scroll_visible=False)

    def put_back(self, question: str) -> None:
        """Return a question to the composer, above any text in it."""
        composer = self.query_one(Composer)
        composer.text = f"{question}\n{composer.text}" if composer.text else question
        composer.move_cursor(composer.document.end)

    def action_page(self, direction: int) -> None:
        """Scroll the transcript by a page, wherever the focus is."""
        transcript = self.query_one(Transcript)
        transcript.scroll_relative(y=direction * max(1, transcript.size.height - 2), animate=False)

    @on(AnswerView.Chosen)
    async def _chosen(self, chosen: AnswerView.Chosen) -> None:
        await self.query_one(Transcript).choose(chosen.view)

    @on(Markdown.LinkClicked)
    def _link_clicked(self, clicked: Markdown.LinkClicked) -> None:
        clicked.stop()
        self.notify(self._words.links_closed, markup=False)
