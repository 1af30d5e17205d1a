"""A chat as a tutorial would write it, to compare with: one Markdown widget a message, updated with the whole answer.

`open_tutorial(model, context, messages)` runs it on the real engine. F2 shows the messages in a JSON file.
"""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock, Thread

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Input, Markdown

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import ask
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Piece, Sampling

READY = "Ask me anything"


class TutorialApp(App[None]):
    """The smallest chat."""

    AUTO_FOCUS = "Input"
    BINDINGS = [Binding("f2", "load"), Binding("ctrl+n", "clear", priority=True)]  # noqa: RUF012

    def __init__(self, engine: Engine, messages: Path) -> None:
        super().__init__()
        self._engine = engine
        self._messages = messages
        self._one_answer = Lock()

    def compose(self) -> ComposeResult:
        yield VerticalScroll()
        yield Input(placeholder=READY)

    async def action_clear(self) -> None:
        await self.query_one(VerticalScroll).remove_children()

    async def action_load(self) -> None:
        chat = self.query_one(VerticalScroll)
        await chat.remove_children()
        for text in json.loads(self._messages.read_text()):
            await chat.mount(Markdown(text))
        chat.scroll_end(animate=False)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.input.clear()
        chat, answer = self.query_one(VerticalScroll), Markdown()
        await chat.mount(Markdown(event.value), answer)
        Thread(target=self._answer, args=(event.value, answer, chat), daemon=True).start()

    def _answer(self, question: str, answer: Markdown, chat: VerticalScroll) -> None:
        with self._one_answer:
            text, conversation = "", Conversation()
            for piece in ask(self._engine, conversation, conversation.ask(question), Sampling()):
                if isinstance(piece, Piece):
                    text += piece.text
                    self.call_from_thread(answer.update, text)
                    self.call_from_thread(chat.scroll_end, animate=False)


def open_tutorial(model: str, context: int, messages: str) -> None:
    engine = Engine.start(model, EngineSettings(n_ctx=context))
    try:
        TutorialApp(engine, Path(messages)).run()
    finally:
        engine.close()
