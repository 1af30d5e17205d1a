"""Line mode: the chat without an alternate screen, for screen readers, braille displays and pipes.

Engine, notices and commands are the same as on the screen. Answers are written sentence by sentence, between "Answer:"
and "End of answer."; no escape code is written. Ctrl+C stops an answer and keeps what was printed; at the prompt it
quits, as Ctrl+D does. Everything stays in the terminal's scrollback, and the first lines say so.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.engine import ChatEngine
from edgemed.chat.interrupt import interrupt_stops
from edgemed.chat.lengths import Length
from edgemed.chat.reasoning import count_words
from edgemed.chat.service import ask, failure_of
from edgemed.chat.visible import VisibleStream, visible
from edgemed.clinical.wrong_patient import mismatches
from edgemed.engine.process.protocol import Piece, PromptProgress
from edgemed.errors import EdgemedError, EngineError
from edgemed.tui import room
from edgemed.tui.clinical_lines import allergy_lines, failed_line, flag_lines, not_given_line, numbers_line, score_line
from edgemed.tui.commands import is_command
from edgemed.tui.endings import ending
from edgemed.tui.facts import model_facts
from edgemed.tui.plain.commands import PlainCommands
from edgemed.tui.plain.sentences import Spoken
from edgemed.tui.session import ChatSession
from edgemed.tui.stages import Loading, Reading, described
from edgemed.tui.strings.asking import asking_strings
from edgemed.tui.strings.case import case_strings, question_about
from edgemed.tui.strings.clinical import clinical_strings
from edgemed.tui.watching import Watching

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
        self.session = session
        words = session.words
        self.words = replace(words, context_full=words.context_full_plain, resume=words.resume_plain)
        self.asking_words = asking_strings(session.language)
        self.case_words = case_strings(session.language)
        self.conversation = conversation or Conversation(saved=False)
        self.length: Length = session.length
        self.region = replace(session.region, language=session.language)
        self.watching = Watching(session)
        self.held = ""  # a question that seems to be about another patient; an empty line sends it
        self._asked: set[str] = set()  # what the user was asked about
        self.case = ""  # what the next question is put below: the case of a chat that began with one
        self.engine: ChatEngine
        self._reader = reader or sys.stdin
        self._writer = writer or sys.stdout
        self._typed = reader is None and writer is None and sys.stdin.isatty()
        self._news_at = time.monotonic()

    def run(self) -> int:
        """Answer questions until the input ends; return the exit code. Raises EdgemedError if no engine starts."""
        self.engine = self._start()
        commands = PlainCommands(self)
        try:
            self.say(self.asking_words.scrollback)
            self.say(self.asking_words.plain_hint)
            while (typed := self._read_question()) is not None:
                for part in separated(typed):
                    if not is_command(part):
                        if part or not typed:  # an empty line, not what stands before or after a command
                            self.ask(part)
                    elif commands.run(part) == "quit":
                        return 0
        except KeyboardInterrupt as interrupt:
            if type(interrupt) is not KeyboardInterrupt:
                raise  # a signal that ends the program; its terminal may be gone
            self.say("")
        finally:
            self.engine.close()
        return 0

    def ask_once(self, question: str, *, max_tokens: int, seed: int) -> int:
        """Print the question and its answer; return the exit code. Raises EdgemedError if no engine starts."""
        self.engine = self._start()
        try:
            self.say(f"\n> {question}")
            self.answer(self.conversation.ask(question), max_tokens=max_tokens, seed=seed)
        finally:
            self.engine.close()
        return 0 if self.conversation.turns[-1].state != "failed" else EngineError.exit_code

    def answer(self, turn: Turn, **sampling: int) -> None:
        """Print the answer to an open turn while it arrives. The engine is restarted first if it has died."""
        stream, spoken, failure = VisibleStream(), Spoken(), ""
        self._news_at = time.monotonic()
        begun = False
        try:
            if not self.engine.alive:
                self.engine.restart(self._loading)
            wanted = replace(self.engine.info.defaults, **sampling)
            with interrupt_stops(self.engine, turn):
                for event in ask(self.engine, self.conversation, turn, wanted, self.session.hooks):
                    match event:
                        case PromptProgress(done=done, total=total):
                            self._news(described(Reading(done, total, 0, 0.0), self.words))
                        case Piece(text=text):
                            begun = self._speak(spoken, stream.feed(text), begun)
        except EdgemedError as error:
            failure = failure_of(error)
            if turn.state == "open":  # the restart failed, so nothing was asked
                turn.state, turn.reason = "failed", failure
        begun = self._speak(spoken, stream.close(), begun)
        if begun:
            self.say(spoken.close())
        elif spoken.reasoning:
            self._say_left_out(spoken)
        lines = [ending(turn, self.words, self.session.language)]
        if failure != turn.reason:
            lines.append(failure)  # a hook failed after the answer, which is unchanged
        lines.append(self.asking_words.answer_end if begun else "")
        for line in filter(None, lines):
            self.say(line)
        self.say_marks(turn)
        if self.session.notice:
            self.say(self.session.notice)

    def record(self, event: str, **details: str | int) -> None:
        """Record what was done in this chat, if there is a vault."""
        if self.session.kept is not None:
            self.session.kept.recorder.record(event, self.conversation, **details)

    def _speak(self, spoken: Spoken, text: str, begun: bool) -> bool:
        """Print the sentences that `text` completes; return whether the answer has begun."""
        words, sentences = self.asking_words, spoken.feed(text)
        if spoken.taken_back and begun:
            self.say(words.was_reasoning)
        elif not (begun or spoken.answering):
            return False
        elif not begun:
            if spoken.reasoning:
                self._say_left_out(spoken)
            self.say(words.answer)
        self._write(sentences)
        return True

    def _say_left_out(self, spoken: Spoken) -> None:
        count = self.words.counted(count_words(spoken.reasoning))
        self.say(self.asking_words.reasoning_unspoken.format(words=count))

    def say(self, text: str) -> None:
        """Print a line."""
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        if text:
            self._writer.write(text)
            self._writer.flush()

    def ask(self, question: str) -> None:
        """Send a question, or the one that was held back if this one is empty."""
        held, self.held = self.held, ""
        if not question and not held:
            return
        if held and question:
            self.say(self.case_words.dropped)
        elif held:
            self.record("new_case_declined")
        if question and self._hold(question):
            return
        question = question or held
        whole, self.case = f"{self.case}\n\n{question}" if self.case else question, ""
        self.conversation.region = self.region
        left = self.engine.info.n_ctx - room.estimated_prompt(self.conversation, whole, self.length)
        if said := room.room_left(left, self.session.language, self.asking_words):
            self.say(said)
        self.send(self.conversation.ask(whole, self.length))

    def send(self, turn: Turn) -> None:
        """Print the red flags of an open turn that are new, what it lacks, and its answer."""
        self.say_flags(turn)
        missing = asyncio.run(self.watching.not_given(self.conversation, turn.question))
        if told := not_given_line(missing, self.session.language, plain=True):
            self.say(told)
        self.answer(turn)

    def say_flags(self, turn: Turn) -> None:
        """Print what is new in the question of the last turn."""
        words = clinical_strings(self.session.language)
        earlier = [each.question for each in self.conversation.turns if each is not turn]
        seen = asyncio.run(self.watching.asked(self.conversation, turn.question, earlier))
        for line in flag_lines(seen.flags, words, self.watching.emergency):
            self.say(line)
        if seen.failed:
            self.say(failed_line(seen.failed, words))
        if score := score_line(seen.score, self.session.language):
            self.say(score)

    def say_marks(self, turn: Turn) -> None:
        """Print what the program says about an answer that has ended."""
        if not turn.raw or turn.state == "open":
            return
        words = clinical_strings(self.session.language)
        marks = asyncio.run(self.watching.marks(self.conversation, turn))
        for line in filter(None, (allergy_lines(marks, words), numbers_line(marks, words))):
            self.say(line)

    def _hold(self, question: str) -> bool:
        """Ask, once, if a question seems to be about another patient."""
        if not asyncio.run(self.watching.switches()).guard:
            return False
        earlier = [turn.question for turn in self.conversation.turns]
        found = mismatches(self.conversation.header, [*earlier, *filter(None, [self.case])], question)
        new = [each for each in found if f"{self.conversation.id} {each.found}" not in self._asked]
        self._asked |= {f"{self.conversation.id} {each.found}" for each in new}
        if new:
            self.record("new_case_asked", reasons=len(new))
            self.held = question
            self.say(question_about(new[0], self.case_words))
            self.say(self.case_words.new_case_plain)
        return bool(new)

    def _start(self) -> ChatEngine:
        self.say(self.session.header)
        if self.session.notice:
            self.say(self.session.notice)
        engine = self.session.start_engine(self._loading)
        self.say(model_facts(engine.info, self.words))
        if self.session.kept is not None:
            self.session.kept.recorder.engine_started(engine.info)
        kept = self.session.kept is not None and self.conversation.saved
        self.say(self.asking_words.kept_plain if kept else self.words.nothing_stored)
        if engine.info.warning:
            self.say(visible(engine.info.warning))
        return engine

    def _read_question(self) -> str | None:
        """One question, None at the end of the input. A line that ends with a backslash continues on the next one."""
        lines: list[str] = []
        while (line := self.read_line("" if lines else "\n> ")) is not None:
            lines.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                return "\n".join(lines).strip()
        return "\n".join(lines).strip() or None

    def read_line(self, prompt: str) -> str | None:
        """A line that was typed, or all lines of a paste; None at the end of the input."""
        if self._typed:
            from edgemed.tui.plain.line_input import read_typed

            return read_typed(prompt)
        self._write(prompt)
        line = self._reader.readline()
        return line.removesuffix("\n") if line else None

    def _loading(self, stage: str, fraction: float) -> None:
        self._news(described(Loading(stage, fraction), self.words))

    def _news(self, text: str) -> None:
        """Print progress, at most once in NEWS_SECONDS."""
        now = time.monotonic()
        if now - self._news_at >= NEWS_SECONDS:
            self._news_at = now
            self.say(text)


def separated(typed: str) -> Iterator[str]:
    """Split the input at each line that is a command.

    Lines typed during an answer arrive together. A /new among them, even a misspelt one, must still separate them;
    otherwise the next patient's question would be sent with the previous patient's.
    """
    lines: list[str] = []
    for line in typed.split("\n"):
        if is_command(line.strip()):
            yield "\n".join(lines).strip()
            yield line.strip()
            lines.clear()
        else:
            lines.append(line)
    yield "\n".join(lines).strip()
