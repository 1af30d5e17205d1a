"""A text in a form that is easy to match, each character of which knows where it stands in the original."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Self

LONGEST = 50_000
"""Characters of a text that are read."""
MOST = 20_000
"""Replacements of one kind in a text; no text that people write comes near."""

# Vulgar fractions stay: NFKC would turn "1½" into "11/2".
_OTHER = re.compile(r"[^\x00-\x7f\u4e00-\u9fff。、，½¼¾⅓⅔]")
_SUPERSCRIPTS = {"⁰": "^0", "¹": "^1", "²": "^2", "³": "^3", "⁶": "^6", "⁹": "^9", "⁻": "^-"}
_PUNCTUATION = {"–": "-", "—": "-", "−": "-", "‑": "-", "～": "~", "’": "'", "‘": "'", "“": '"', "”": '"'}
_SPECIAL = _SUPERSCRIPTS | _PUNCTUATION | {"·": ".", "‧": ".", "⁄": "/", "∕": "/"}


@dataclass(slots=True)
class Folded:
    """`text[i]` comes from `original[starts[i]:ends[i]]`."""

    original: str
    text: str
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, original: str) -> Self:
        """NFKC, lower case, plain hyphens and quotation marks; exponents as ^9."""
        original = original[:LONGEST]
        positions = list(range(len(original) + 1))
        folded = cls(original, original, positions[:-1], positions[1:])
        if not original.isascii():
            folded.replace(_OTHER, lambda match: _SPECIAL.get(match[0]) or unicodedata.normalize("NFKC", match[0]))
        lowered = folded.text.lower()
        if len(lowered) != len(folded.text):  # a few capitals become two characters
            lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in folded.text)
        folded.text = lowered
        return folded

    def replace(self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> None:
        """Replaces each match; the new characters stand where the whole match stood."""
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        last = 0
        for match in islice(pattern.finditer(self.text), MOST):
            i, j = match.span()
            new = by(match)
            if i == j or new == match[0]:
                continue
            parts += (self.text[last:i], new)
            starts += self.starts[last:i]
            ends += self.ends[last:i]
            starts += [self.starts[i]] * len(new)
            ends += [self.ends[j - 1]] * len(new)
            last = j
        if parts:
            self.text = "".join((*parts, self.text[last:]))
            self.starts = starts + self.starts[last:]
            self.ends = ends + self.ends[last:]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end], which is not empty, stands in the original."""
        return self.starts[start], self.ends[end - 1]
