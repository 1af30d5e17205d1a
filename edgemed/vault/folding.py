"""The form in which texts are compared by a search: without case, width, and invisible characters."""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SHOWN_CHARACTERS = 160
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s]|_")


def fold(text: str) -> str:
    """NFKC and casefold, each run of white space as one space.

    NFKC makes one letter of the micro sign and the Greek mu, "mg" of the one character ㎎, and narrow digits of wide
    ones. Invisible characters, which could split a word, are dropped.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    return " ".join(text.casefold().split())


class Needle:
    """A search text. A folded text matches if it contains the phrase, or every word of it anywhere.

    A word here is a number, a run of letters or one other character, so "500mg" finds "500 mg". A number must not begin
    within another number, and a word of letters that have cases must not begin within another such word: otherwise "K"
    would match every text. Chinese has no spaces, so there a word may begin anywhere.
    """

    def __init__(self, query: str) -> None:
        self.phrase = fold(query)
        words = sorted(set(_WORD.findall(self.phrase)), key=len, reverse=True)  # the longest is the rarest
        self._words = [(word, _beginning(word)) for word in words] if len(words) > 1 else []

    def matches(self, folded: str) -> int:
        """2 if the phrase is in the text, 1 if all its words are, else 0."""
        if self.phrase in folded:
            return 2
        if not self._words or any(word not in folded for word, _ in self._words):
            return 0
        return int(all(begins is None or begins.search(folded) for _, begins in self._words))

    def line_of(self, text: str, folded: str) -> str:
        """The part of a matching text to show: where the phrase is, else the rarest word. `folded` is fold(text)."""
        wanted = self.phrase if self.phrase in folded or not self._words else self._words[0][0]
        # Folding moves characters, but not far: look near the place that has the same share of the text before it.
        near = folded.find(wanted) * len(text) // max(1, len(folded))
        for reach in (_SHOWN_CHARACTERS, 8 * _SHOWN_CHARACTERS, len(text)):
            for line in text[max(0, near - reach) : near + reach].splitlines():
                if (at := fold(line).find(wanted)) >= 0:
                    return _around(line, at)
        return _around(text, near)  # the phrase goes on in the next line


def _around(line: str, at: int) -> str:
    """The part of a long line around character `at`, roughly: folding may have changed the length."""
    start = max(0, min(at - _SHOWN_CHARACTERS // 3, len(line) - _SHOWN_CHARACTERS))
    return line[start : start + _SHOWN_CHARACTERS].strip()


def _beginning(word: str) -> re.Pattern[str] | None:
    if word[0].isdigit():
        return re.compile(rf"(?<!\d)(?<!\d[.,]){re.escape(word)}")
    if word[0].isalpha() and word[0].upper() != word[0]:
        return re.compile(rf"(?<![^\W\d_]){re.escape(word)}")
    return None
