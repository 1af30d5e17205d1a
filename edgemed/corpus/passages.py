"""Choosing passages from texts: the same number of tokens per language and, within a language, per domain.

A passage is what a model reads at once, from an empty context. A long text gives several: after each passage, the rest
of the text goes to the back of its domain's queue. The choice depends only on the texts' names, so the same files
always give the same passages.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgemed.corpus.texts import Text
from edgemed.engine.scoring_model import Encoded, ScoringModel
from edgemed.errors import TextsError

SHORTEST_PASSAGE = 8  # tokens; shorter remainders are dropped


@dataclass(frozen=True, slots=True)
class Passage:
    """Tokens to read from an empty context. `first`: the first position whose next token belongs to the text itself."""

    name: str
    domain: str
    language: str
    tokens: list[int]
    first: int

    @property
    def positions(self) -> int:
        """The number of positions whose next token belongs to the text itself."""
        return len(self.tokens) - 1 - self.first


@dataclass(slots=True)
class _Left:
    """A text, or the unread rest of one."""

    text: Text
    tokens: list[int] | None = None
    part: int = 0


def encode(reader: ScoringModel, text: Text) -> Encoded:
    """The text as token ids."""
    return reader.encode_chat(text.turns) if text.turns else reader.encode_text(text.text)


def choose(texts: Iterable[Text], encode: Callable[[Text], Encoded], tokens: int, length: int) -> list[Passage]:
    """Passages of at most `length` tokens, about `tokens` in total, sorted by domain.

    Raises TextsError if no text is long enough.
    """
    queues: dict[tuple[str, str], deque[_Left]] = {}
    for text in sorted(texts, key=lambda text: hashlib.blake2b(text.name.encode()).digest()):
        queues.setdefault((text.language, text.domain), deque()).append(_Left(text))
    read = dict.fromkeys(queues, 0)
    by_language = {language: 0 for language, _ in queues}
    chosen: list[Passage] = []
    while queues and sum(read.values()) < tokens:
        # The language with the fewest tokens is next, then its domain with the fewest; names break ties.
        key = min(queues, key=lambda key: (by_language[key[0]], read[key], key))
        passage = _next_passage(queues[key], encode, length)
        if not queues[key]:
            del queues[key]
        if passage is not None:
            chosen.append(passage)
            read[key] += len(passage.tokens)
            by_language[key[0]] += len(passage.tokens)
    if not chosen:
        raise TextsError(f"The texts are too short: none has {SHORTEST_PASSAGE} tokens.")
    return sorted(chosen, key=lambda passage: (passage.domain, passage.language))


def _next_passage(queue: deque[_Left], encode: Callable[[Text], Encoded], length: int) -> Passage | None:
    """Take a passage from the front of the queue; None if the text there is too short."""
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
