"""Which passages of the texts are read: as many tokens of each language, and within it of each domain.

A passage is what a model reads at once. A longer text gives several: after the first, what is left of it queues again
behind its domain's other texts. The choice depends on the texts' names alone, so the same files give the same passages.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgemed.corpus.texts import Text
from edgemed.engine.scoring_model import Encoded, ScoringModel
from edgemed.errors import TextsError

SHORTEST_PASSAGE = 8  # tokens; what is left of a text below this is dropped


@dataclass(frozen=True, slots=True)
class Passage:
    """Tokens read from an empty context. `first`: the first position whose following token is the text's own."""

    name: str
    domain: str
    language: str
    tokens: list[int]
    first: int

    @property
    def positions(self) -> int:
        """How many of its tokens are followed by one of the text's own."""
        return len(self.tokens) - 1 - self.first


@dataclass(slots=True)
class _Left:
    """A text, or what is left of one."""

    text: Text
    tokens: list[int] | None = None
    part: int = 0


def encode(reader: ScoringModel, text: Text) -> Encoded:
    """The text as the model reads it."""
    return reader.encode_chat(text.turns) if text.turns else reader.encode_text(text.text)


def choose(texts: Iterable[Text], encode: Callable[[Text], Encoded], tokens: int, length: int) -> list[Passage]:
    """Passages of at most `length` tokens, about `tokens` together, grouped by domain.

    Raises TextsError if the texts hold none.
    """
    queues: dict[tuple[str, str], deque[_Left]] = {}
    for text in sorted(texts, key=lambda text: hashlib.blake2b(text.name.encode()).digest()):
        queues.setdefault((text.language, text.domain), deque()).append(_Left(text))
    read = dict.fromkeys(queues, 0)
    by_language = {language: 0 for language, _ in queues}
    chosen: list[Passage] = []
    while queues and sum(read.values()) < tokens:
        # Whoever has had least comes next: the language first, then the domain; names settle ties.
        key = min(queues, key=lambda key: (by_language[key[0]], read[key], key))
        passage = _next_passage(queues[key], encode, length)
        if not queues[key]:
            del queues[key]
        if passage is not None:
            chosen.append(passage)
            read[key] += len(passage.tokens)
            by_language[key[0]] += len(passage.tokens)
    if not chosen:
        raise TextsError(f"The texts are too short to read: none has {SHORTEST_PASSAGE} tokens.")
    return sorted(chosen, key=lambda passage: (passage.domain, passage.language))


def _next_passage(queue: deque[_Left], encode: Callable[[Text], Encoded], length: int) -> Passage | None:
    """Take a passage from the front of the queue; None where the text there is too short for one."""
    left = queue.popleft()
    lead = 0
    if left.tokens is None:
        encoded = encode(left.text)
        left.tokens, lead = encoded.tokens, encoded.lead
    if len(left.tokens) - lead < SHORTEST_PASSAGE or lead + 1 >= length:
        return None
    taken, rest = left.tokens[:length], left.tokens[length:]
    name = f"{left.text.name}~{left.part}" if left.part else left.text.name
    if len(rest) >= SHORTEST_PASSAGE:
        queue.append(_Left(left.text, rest, left.part + 1))
    return Passage(name, left.text.domain, left.text.language, taken, max(lead - 1, 0))
