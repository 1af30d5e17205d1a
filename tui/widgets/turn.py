"""One turn on the screen: the question, and the answer, which is either live or frozen."""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from edgemed.chat.conversation import Turn
from edgemed.chat.visible import visible
from edgemed.tui.markdown import FrozenMarkdown
from edgemed.tui.widgets.live_markdown import LiveMarkdown


class AnswerView(Vertical, can_focus=True):
    """An answer: frozen, live, or live and open. An open answer takes text until it is closed."""

    class Chosen(Message):
        """The answer got the focus."""

        def __init__(self, view: AnswerView) -> None:
            super().__init__()
            self.view = view

    def __init__(self, turn: Turn, notice: str | None) -> None:
        super().__init__()
        self.turn = turn
        self._notice = notice
        self._stream: MarkdownStream | None = None
        self._fed = ""

    @property
    def live(self) -> bool:
        return bool(self.query(LiveMarkdown))

    def compose(self) -> ComposeResult:
        yield Static(FrozenMarkdown(self.turn.text), classes="body")
        yield Static("", classes="ending", markup=False)
        if self._notice:
            yield Static(self._notice, classes="notice", markup=False)

    async def open(self) -> None:
        """Open the answer for text."""
        await self.thaw()
        self._stream = Markdown.get_stream(self.query_one(LiveMarkdown))
        await asyncio.sleep(0)  # let the stream's task begin; stopping it earlier would cancel the caller

    async def feed(self, text: str) -> None:
        """Append text. Each call costs a layout, so call it a few times a second, not once per token."""
        assert self._stream is not None
        await self._stream.write(text)

    async def close(self, ending: str) -> None:
        """Close the answer, render all of it once more, and show how it ended."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
            await self.query_one(LiveMarkdown).update(self.turn.text)
        self.show_ending(ending)

    def show_ending(self, ending: str) -> None:
        """Show `ending` below the text; hide the line if it is empty."""
        line = self.query_one(".ending", Static)
        line.update(ending)
        line.display = bool(ending)

    async def thaw(self) -> None:
        """Switch to live Markdown."""
        if not self.live:
            await self._replace(LiveMarkdown(self.turn.text))

    async def freeze(self) -> None:
        """Switch to one static widget. An open answer stays live."""
        if self.live and self._stream is None:
            await self._replace(Static(FrozenMarkdown(self.turn.text)))

    async def _replace(self, body: Static | LiveMarkdown) -> None:
        body.add_class("body")
        with self.app.batch_update():
            await self.query_one(".body").remove()
            await self.mount(body, before=0)

    def on_focus(self) -> None:
        self.post_message(self.Chosen(self))

    def on_mount(self) -> None:
        self.query_one(".ending").display = False


class TurnView(Vertical):
    """A question above its answer."""

    def __init__(self, turn: Turn, you: str, notice: str | None) -> None:
        super().__init__()
        self.turn = turn
        self.answer = AnswerView(turn, notice)
        self._you = you

    def compose(self) -> ComposeResult:
        yield Static(self._you, classes="speaker", markup=False)
        yield Static(visible(self.turn.question), classes="question", markup=False)
        yield self.answer
