"""The dim line above each question and each answer: who wrote it, when, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from edgemed.chat.conversation import Turn
from edgemed.chat.reasoning import count_words, parts
from edgemed.chat.visible import visible
from edgemed.clinical import Language, model_mark
from edgemed.tui.endings import ending
from edgemed.tui.strings import Strings
from edgemed.tui.strings.notes import note_strings

SEPARATOR = " · "

Version = tuple[int, int]
"""The place of a turn among its siblings, from 1, and their number."""


class Heads:
    """The lines of text around a turn. `version` looks up a turn's place among its siblings."""

    def __init__(
        self,
        words: Strings,
        language: Language,
        *,
        weights_digest: str | None,
        intended_use: str,
        version: Callable[[Turn], Version],
    ) -> None:
        self.words = words
        self._language = language
        self._digest = weights_digest
        self._demonstration = intended_use == "demonstration"
        self._version = version

    def question(self, turn: Turn) -> str:
        """The line above a question."""
        place, of = self._version(turn)
        version = self.words.version.format(place=place, of=of) if of > 1 else ""
        return SEPARATOR.join(filter(None, (self.words.you, clock(turn.asked), version)))

    def answer(self, turn: Turn) -> str:
        """The line above an answer. The words are counted when it has ended."""
        words = self.words
        count = 0 if turn.state == "open" else count_words(parts(turn.text).answer)
        return SEPARATOR.join(
            filter(
                None,
                (
                    f"edgemed {model_mark(turn.weights_digest or self._digest, self._language)}",
                    clock(turn.asked),
                    words.counted(count) if count else "",
                    words.not_verified,
                    words.demonstration if self._demonstration else "",
                    self._note(turn),
                ),
            )
        )

    def _note(self, turn: Turn) -> str:
        """What there is of a note on an answer, or that one can be made."""
        words = note_strings(self._language)
        if turn.note:
            return words.head_reviewed.format(name=visible(turn.reviewed_by)) if turn.reviewed else words.head_draft
        return words.edit_hint if turn.template and turn.raw and turn.state != "open" else ""

    def reasoning(self, text: str, *, opened: bool) -> str:
        """The line that reasoning is folded into."""
        line = self.words.reasoning_open if opened else self.words.reasoning
        return line.format(words=self.words.counted(count_words(text)))

    def ending(self, turn: Turn) -> str:
        """The line below an answer that says how it ended."""
        return ending(turn, self.words, self._language)


def clock(moment: datetime) -> str:
    """The local time, with the date unless it is today."""
    local, today = moment.astimezone(), datetime.now().astimezone().date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")
