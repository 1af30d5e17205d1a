"""A person's review of what the rules found in a text: each finding is redacted unless the person keeps it."""

from __future__ import annotations

import re

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.redaction.finding import find
from edgemed.clinical.redaction.folding import folded
from edgemed.clinical.redaction.identifier import Identifier, merged
from edgemed.clinical.redaction.replacing import labels, replaced


class Review:
    """`found` are the findings in the order of the text, and what the person has marked; `kept` those that stay."""

    def __init__(self, text: str, found: list[Identifier]) -> None:
        self.text = text
        self.found = found
        self.kept: set[Identifier] = set()

    @classmethod
    def of(cls, text: str, header: CaseHeader) -> Review:
        """With what the rules find."""
        return cls(text, find(text, header))

    @property
    def chosen(self) -> list[Identifier]:
        """What is redacted."""
        return [each for each in self.found if each not in self.kept]

    @property
    def redacted(self) -> str:
        return replaced(self.text, self.chosen)

    def words(self, each: Identifier) -> str:
        """What the text says there."""
        return self.text[each.start : each.end]

    def labels(self) -> dict[Identifier, str]:
        """What stands in the brackets for each finding that is redacted."""
        return dict(labels(self.text, self.chosen))

    def toggle(self, each: Identifier) -> None:
        """Keep a finding that is redacted, or redact it again."""
        self.kept ^= {each}

    def decide_equal(self, each: Identifier, *, keep: bool) -> int:
        """Keep or redact every finding with the same words; return how many there are."""
        equal = {other for other in self.found if _plain(self.words(other)) == _plain(self.words(each))}
        self.kept = self.kept | equal if keep else self.kept - equal
        return len(equal)

    def mark(self, start: int, end: int) -> None:
        """Redact [start, end) as well; findings that it touches become part of it."""
        text = self.text[start:end]
        start, end = start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
        if start < end:
            self.found = merged([*self.found, Identifier(start, end, "other")])
            self.kept &= set(self.found)

    def mark_all(self, words: str) -> int:
        """Redact `words` wherever they stand, in any case; return at how many places."""
        wanted = folded(words.strip())
        if not wanted:
            return 0
        pattern = r"\s+".join(map(re.escape, wanted.split()))
        if wanted[0].isascii() and wanted[0].isalnum():
            pattern = rf"(?<![A-Za-z0-9]){pattern}"
        if wanted[-1].isascii() and wanted[-1].isalnum():
            pattern = rf"{pattern}(?![A-Za-z0-9])"
        places = [match.span() for match in re.finditer(pattern, folded(self.text), re.I)]
        self.found = merged([*self.found, *(Identifier(start, end, "other") for start, end in places)])
        self.kept = {
            each for each in self.kept & set(self.found) if not any(s < each.end and e > each.start for s, e in places)
        }
        return len(places)


def _plain(words: str) -> str:
    return " ".join(folded(words).casefold().split())
