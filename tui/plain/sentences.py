"""Cuts text that arrives in pieces into whole sentences, for speech and braille. Pure logic."""

from __future__ import annotations

import re

from edgemed.chat.reasoning import parts

# A full stop within a number, such as 2.5 mg, is followed by no space. A numbered item, such as "1. Rest", is not cut.
_END = re.compile(r"(?:(?<!\d)[.!?][\"')\]]*[ \t]+|\d[.!?] (?=[A-Z])|[。！？；][”’）]*|\n)")
_ITEM = re.compile(r"(?:^|\n)\s*\d{1,3}[.)] $")


class Sentences:
    """Holds text back until a sentence or a line is complete."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The complete sentences, with what was held back before them; empty if none is complete."""
        self._held += piece
        ends = [match.end() for match in _END.finditer(self._held) if not _ITEM.search(self._held[: match.end()])]
        cut = ends[-1] if ends else 0
        whole, self._held = self._held[:cut], self._held[cut:]
        return whole

    def close(self) -> str:
        """What is left."""
        held, self._held = self._held, ""
        return held


class Spoken:
    """The sentences of an answer without the model's reasoning.

    `reasoning` is the reasoning so far. `taken_back` says that what was returned until now was reasoning: some models
    write only the tag that closes it.
    """

    def __init__(self) -> None:
        self._text = ""
        self._answer = ""
        self._sentences = Sentences()
        self.reasoning = ""
        self.taken_back = False

    @property
    def answering(self) -> bool:
        """Whether there is text of the answer."""
        return bool(self._answer)

    def feed(self, piece: str) -> str:
        """The sentences that `piece` completes."""
        self._text += piece
        self.reasoning, answer = parts(self._text)
        self.taken_back = not answer.startswith(self._answer)
        if self.taken_back:
            self._answer, self._sentences = "", Sentences()
        new, self._answer = answer[len(self._answer) :], answer
        return self._sentences.feed(new)

    def close(self) -> str:
        """What is left."""
        return self._sentences.close()
