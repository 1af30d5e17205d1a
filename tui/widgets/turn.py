"""One turn on the screen: the question, the model's folded reasoning, and the answer."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.selection import Selection
from textual.widgets import Static

from edgemed.chat.conversation import Turn
from edgemed.chat.reasoning import parts
from edgemed.chat.visible import visible
from edgemed.tui.heads import Heads
from edgemed.tui.widgets.drawn import Drawn


class AnswerView(Vertical, can_focus=True):
    """An answer. While it is open it takes more text."""

    class Ended(Message):
        """The whole answer is shown: it has ended, or it had ended before it was shown."""

        def __init__(self, view: AnswerView) -> None:
            super().__init__()
            self.view = view

    def __init__(self, turn: Turn, heads: Heads) -> None:
        super().__init__()
        self.turn = turn
        self._heads = heads
        self._text = turn.text
        self._parts = parts(self._text)

    def compose(self) -> ComposeResult:
        yield Static(self._heads.answer(self.turn), classes="head", markup=False)
        yield Reasoning(self._parts.reasoning, self._heads)
        yield Drawn(self._parts.answer, classes="body")
        for line in ("ending", "allergy", "numbers"):
            yield Static("", classes=line, markup=False)

    def on_mount(self) -> None:
        self.show_ending(self._heads.ending(self.turn))
        self.show_marks("", "")
        self._tell_ended()

    def _tell_ended(self) -> None:
        if self.turn.raw and self.turn.state != "open":
            self.post_message(self.Ended(self))

    async def open(self) -> None:
        """Open the answer for text that follows what it has."""
        self._text = self.turn.text
        self._show()
        self.show_ending("")
        self.show_marks("", "")

    async def feed(self, text: str) -> None:
        """Append text. Each call costs a layout, so call it a few times a second, not once per token."""
        self._text += text
        self._show()

    async def close(self, ending: str) -> None:
        """Close the answer: show all of its text, its head and how it ended."""
        self._text = self.turn.text
        self._show()
        self.show_head()
        self.show_ending(ending)
        self._tell_ended()

    def show_head(self) -> None:
        """Show the head anew, when the answer has ended or its note has changed."""
        self.query_one(".head", Static).update(self._heads.answer(self.turn))

    def _show(self) -> None:
        before, self._parts = self._parts, parts(self._text)
        if self._parts.reasoning != before.reasoning:
            self.query_one(Reasoning).show(self._parts.reasoning)
        body, answer = self.query_one(".body", Drawn), self._parts.answer
        if answer.startswith(before.answer):
            if len(answer) > len(before.answer):
                body.append(answer[len(before.answer) :])
        else:
            body.update(answer)

    def show_ending(self, ending: str) -> None:
        """Show `ending` below the text; hide the line if it is empty."""
        self._show_line("ending", ending)

    def show_marks(self, allergies: str, numbers: str) -> None:
        """Show what the program says about the text; hide the lines that are empty."""
        self._show_line("allergy", allergies)
        self._show_line("numbers", numbers)

    def _show_line(self, name: str, text: str) -> None:
        line = self.query_one(f".{name}", Static)
        line.update(text)
        line.display = bool(text)

    @property
    def columns(self) -> int:
        """The width of the answer's text."""
        return self.query_one(".body", Drawn).columns


class Reasoning(Vertical, can_focus=True):
    """The model's reasoning as one line, which Enter or a click opens and closes. Its text cannot be selected."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", show=False)]

    def __init__(self, text: str, heads: Heads) -> None:
        super().__init__()
        self._text = text
        self._heads = heads
        self._opened = False

    def compose(self) -> ComposeResult:
        yield Static("", classes="fold", markup=False)
        yield Unselectable(self._text)

    def on_mount(self) -> None:
        self.show(self._text)

    def show(self, text: str) -> None:
        """Replace the reasoning."""
        changed, self._text = text != self._text, text
        self.display = bool(text)
        for body in self.query(Unselectable):  # none while the chat closes
            if changed:
                body.update(text)
            body.display = self._opened
        for line in self.query(".fold").results(Static):
            line.update(self._heads.reasoning(text, opened=self._opened))

    def action_open(self) -> None:
        self._opened = not self._opened
        self.show(self._text)

    def on_click(self) -> None:
        self.action_open()


class Unselectable(Drawn):
    """Text that is never copied."""

    ALLOW_SELECT = False

    def get_selection(self, selection: Selection) -> None:
        return None


class TurnView(Vertical):
    """A question above its answer."""

    def __init__(self, turn: Turn, heads: Heads) -> None:
        super().__init__()
        self.turn = turn
        self.answer = AnswerView(turn, heads)
        self._heads = heads

    def compose(self) -> ComposeResult:
        yield Static(self._heads.question(self.turn), classes="head", markup=False)
        yield Drawn(visible(self.turn.question), markdown=False, classes="question")
        yield self.answer
