"""The layout of the chat's screen: transcript, stage, queued question, composer, status line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual._context import NoActiveAppError
from textual.app import ComposeResult, ScreenStackError
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from edgemed.chat.conversation import Queued, Turn
from edgemed.chat.visible import visible
from edgemed.tui.heads import Heads, Version
from edgemed.tui.screens.copying import CopyingScreen
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Down, Stage, described
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.slash_menu import SlashMenu
from edgemed.tui.widgets.status import StatusLine
from edgemed.tui.widgets.transcript import Transcript


class ChatSurface(CopyingScreen):
    """The widgets and what they show. The subclasses add the behaviour (`AnsweringScreen`, `ChatScreen`)."""

    AUTO_FOCUS = "Composer"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__(session)
        self.heads = Heads(
            session.words,
            session.language,
            weights_digest=session.weights_digest,
            intended_use=session.intended_use,
            version=self.version_of,
        )

    def version_of(self, turn: Turn) -> Version:
        """The place of `turn` among its siblings, and their number."""
        return 1, 1

    @property
    def is_current(self) -> bool:
        """Whether this screen is in front.

        For Textual, one that is covered by another is current as well. It then paints the one in front anew 60 times a
        second, for as long as that one is open.
        """
        try:
            return self.app.screen is self
        except (NoActiveAppError, ScreenStackError):
            return False

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        with Horizontal(classes="conversation"):
            yield Transcript(self.heads)
        yield Static("", classes="stage", markup=False)
        yield Static("", classes="queued", markup=False)
        menu = SlashMenu(self._session.language)
        yield menu
        yield Static("", classes="box-line", markup=False)
        yield Composer(self._words.placeholder, menu)
        yield StatusLine(self._words)

    def show_welcome(self, facts: str = "") -> None:
        """Show the text above the first turn. `facts`: the model's description, once it is known."""
        words = self._words
        lines = filter(None, (self._session.introduction, facts, self.where_kept))
        examples = (words.examples_title, *(f"  {question}" for question in words.examples), "", words.first_keys)
        self.query_one(Transcript).welcome("\n".join(lines), "\n".join(examples))

    @property
    def where_kept(self) -> str:
        """What happens to the text of this chat."""
        return self._words.nothing_stored

    def show_stage(self, stage: Stage) -> None:
        """Show what the engine is doing."""
        line, text = self.query_one(".stage", Static), described(stage, self._words)
        if text != line.content:  # an update costs a layout, and each piece of an answer enters a stage
            line.update(text)
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
        return self.heads.ending(turn)

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
