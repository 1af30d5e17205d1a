"""Line mode: the chat without an alternate screen, for screen readers, braille displays and pipes.

Engine and notices are the same as on the screen. Ctrl+C stops an answer and keeps what was printed; at the prompt it
quits, as Ctrl+D does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from edgemed.chat.conversation import Conversation
from edgemed.chat.engine import ChatEngine
from edgemed.chat.interrupt import interrupt_stops
from edgemed.chat.service import ask, failure_of
from edgemed.chat.visible import VisibleStream, visible
from edgemed.engine.process.protocol import Piece, PromptProgress
from edgemed.errors import EdgemedError, EngineError
from edgemed.tui.endings import ending
from edgemed.tui.facts import model_facts
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Loading, described

NEW = "/new"
NEWS_SECONDS = 10.0
"""Progress is printed at most this often, so that a screen reader is not flooded."""


class PlainChat:
    """A conversation on two text streams."""

    def __init__(
        self,
        session: ChatSession,
        conversation: Conversation | None = None,
        *,
        reader: TextIO | None = None,
        writer: TextIO | None = None,
    ) -> None:
        self._session = session
        self._words = replace(session.words, context_full=session.words.context_full_plain)
        self._reader = reader or sys.stdin
        self._writer = writer or sys.stdout
        self._typed = reader is None and writer is None and sys.stdin.isatty()
        self._conversation = conversation or Conversation()
        self._news_at = time.monotonic()

    def run(self) -> int:
        """Answer questions until the input ends; return the exit code. Raises EdgemedError if no engine starts."""
        engine = self._start()
        try:
            self._say(self._words.plain_hint)
            while (typed := self._read_question()) is not None:
                for question in _separated(typed):
                    if question == NEW:
                        self._conversation = Conversation()
                    elif question:
                        self._answer(engine, question)
        except KeyboardInterrupt as interrupt:
            if type(interrupt) is not KeyboardInterrupt:
                raise  # a signal that ends the program; its terminal may be gone
            self._say("")
        finally:
            engine.close()
        return 0

    def ask_once(self, question: str, *, max_tokens: int, seed: int) -> int:
        """Print the question and its answer; return the exit code. Raises EdgemedError if no engine starts."""
        engine = self._start()
        try:
            self._say(f"\n> {question}")
            self._answer(engine, question, max_tokens=max_tokens, seed=seed)
        finally:
            engine.close()
        return 0 if self._conversation.turns[-1].state != "failed" else EngineError.exit_code

    def _start(self) -> ChatEngine:
        self._say(self._session.header)
        if self._session.notice:
            self._say(self._session.notice)
        engine = self._session.start_engine(self._loading)
        self._say(model_facts(engine.info, self._words))
        self._say(self._words.nothing_stored)
        if engine.info.warning:
            self._say(visible(engine.info.warning))
        return engine

    def _read_question(self) -> str | None:
        """One question, None at the end of the input. A line that ends with a backslash continues on the next one."""
        lines: list[str] = []
        while (line := self._read_line("" if lines else "\n> ")) is not None:
            lines.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                return "\n".join(lines).strip()
        return "\n".join(lines).strip() or None

    def _read_line(self, prompt: str) -> str | None:
        if self._typed:
            from edgemed.tui.line_input import read_typed

            return read_typed(prompt)
        self._writer.write(prompt)
        self._writer.flush()
        line = self._reader.readline()
        return line.removesuffix("\n") if line else None

    def _answer(self, engine: ChatEngine, question: str, **sampling: int) -> None:
        turn = self._conversation.ask(question)
        stream, failure = VisibleStream(), ""
        self._news_at = time.monotonic()
        try:
            if not engine.alive:
                engine.restart(self._loading)
            wanted = replace(engine.info.defaults, **sampling)
            with interrupt_stops(engine, turn):
                for event in ask(engine, self._conversation, turn, wanted, self._session.hooks):
                    match event:
                        case PromptProgress(done=done, total=total):
                            self._news(self._words.reading.format(done=done, total=total))
                        case Piece(text=text):
                            self._writer.write(stream.feed(text))
                            self._writer.flush()
        except EdgemedError as error:
            failure = failure_of(error)
            if turn.state == "open":  # the restart failed, so nothing was asked
                turn.state, turn.reason = "failed", failure
        self._say(stream.close())
        lines = [ending(turn, self._words, self._session.language), self._session.notice]
        if failure != turn.reason:
            lines.insert(1, failure)  # a hook failed after the answer, which is unchanged
        for line in filter(None, lines):
            self._say(line)

    def _loading(self, stage: str, fraction: float) -> None:
        self._news(described(Loading(stage, fraction), self._words))

    def _news(self, text: str) -> None:
        """Print progress, at most once in NEWS_SECONDS."""
        now = time.monotonic()
        if now - self._news_at >= NEWS_SECONDS:
            self._news_at = now
            self._say(text)

    def _say(self, text: str) -> None:
        self._writer.write(text + "\n")
        self._writer.flush()


def _separated(typed: str) -> Iterator[str]:
    """Split the input at each line that is exactly NEW.

    Lines typed during an answer arrive together. A NEW among them must still start a new conversation; otherwise the
    next patient's question would be sent with the previous patient's conversation.
    """
    lines: list[str] = []
    for line in typed.split("\n"):
        if line.strip() == NEW:
            yield "\n".join(lines).strip()
            yield NEW
            lines.clear()
        else:
            lines.append(line)
    yield "\n".join(lines).strip()
