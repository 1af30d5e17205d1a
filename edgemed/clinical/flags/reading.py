"""A text as the phrase rules read it: one form of every character, lower case, typing errors of long words mended."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

_WRAPPED = 60
"""A line at least this long that ends without a full stop goes on in the next one."""
_SHORTEST, _LONGEST = 5, 20
"""Letters of words in which a typing error is mended."""
_WORD = re.compile(r"[a-z]{2,}")
_LETTERS = re.compile(r"(?<![a-z])[a-z]{1,40}(?![a-z])")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[a-z]{2}")
_NUMBER = re.compile(r"(?<![\d.])\d")
_CONTRACTED = re.compile(r"(?:ca|wo|do|does|did|is|are|was|were|has|have|had|could|would|should)nt")
"""Contractions written without their apostrophe; "cant" and "wont" as words of their own are rare."""
_QUOTES = str.maketrans("‘’“”`´–—‐‑−", "''\"\"''-----")


class Reading:
    """`lower` is what the rules match; `original(start, end)` are the words of the text at a place in `lower`."""

    def __init__(self, body: str, misspelt: Mapping[str, str] | None = None) -> None:
        self._plain = _plain(body)
        lower = self._plain.lower()
        if len(lower) != len(self._plain):  # a few letters grow in lower case
            self._plain = lower
        self.lower, self._moves = _mended(lower, misspelt or {})
        self._places: dict[str, list[int]] = {}
        self._held: dict[str, bool] = {}

    @cached_property
    def _words(self) -> str:
        """Each different word of the text once: a short text in which to look whether a word occurs."""
        return " ".join(self._ordered)

    def holds(self, part: str) -> bool:
        """Whether this part of a word, or these characters, occur anywhere; after a space, where a word begins."""
        if part not in self._held:
            if part[0] == " ":
                at = bisect_left(self._ordered, part[1:])
                self._held[part] = at < len(self._ordered) and self._ordered[at].startswith(part[1:])
            else:
                self._held[part] = part in (self._words if part.isascii() and part.isalpha() else self.lower)
        return self._held[part]

    @cached_property
    def scripts(self) -> frozenset[str]:
        """Which of "han" and "latin" the text is written in."""
        found = {"han"} if _HAN.search(self.lower) else set()
        return frozenset(found | {"latin"} if _LATIN.search(self.lower) else found)

    @cached_property
    def _starts(self) -> dict[str, list[int]]:
        """Where each different word begins."""
        starts: dict[str, list[int]] = {}
        for match in _LETTERS.finditer(self.lower):
            starts.setdefault(match[0], []).append(match.start())
        return starts

    @cached_property
    def _ordered(self) -> list[str]:
        return sorted(self._starts)

    def starting(self, beginning: str) -> list[int]:
        """Places of words that begin with these Latin letters, of these other characters, or of numbers for "0"."""
        if beginning not in self._places:
            self._places[beginning] = list(self._found(beginning))
        return self._places[beginning]

    def _found(self, beginning: str) -> Iterator[int]:
        if not (beginning.isascii() and beginning.isalpha()):
            pattern = _NUMBER if beginning == "0" else re.compile(re.escape(beginning))
            yield from (match.start() for match in pattern.finditer(self.lower))
            return
        for index in range(bisect_left(self._ordered, beginning), len(self._ordered)):
            if not self._ordered[index].startswith(beginning):
                return
            yield from self._starts[self._ordered[index]]

    def original(self, start: int, end: int) -> str:
        return " ".join(self._plain[self._place(start) : self._place(end)].split())

    def _place(self, at: int) -> int:
        move = bisect_right(self._moves, (at, len(self._plain))) - 1
        return at + self._moves[move][1] if move >= 0 else at


def _plain(body: str) -> str:
    """NFKC, plain quotes and dashes, single spaces; lines that were broken at a margin are joined."""
    text = unicodedata.normalize("NFKC", body).translate(_QUOTES)
    lines: list[str] = []
    wrapped = False
    for line in (re.sub(r"\s+", " ", line).strip() for line in text.splitlines()):
        if wrapped and line[:1].islower():
            lines[-1] += " " + line
        else:
            lines.append(line)
        wrapped = len(line) >= _WRAPPED and (line[-1].isalpha() or line[-1] == ",")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def misspellings(words: Iterable[str]) -> dict[str, str]:
    """Each of `words` with one letter left out, and the word: what a slip of one letter has in common with it."""
    found: dict[str, str] = {}
    for word in words:
        found[word] = word
        for short in _shortened(word):
            found.setdefault(short, word)
    return found


def _shortened(word: str) -> list[str]:
    # The first letter is hardly ever the wrong one, and changing it makes other words.
    return [word[:at] + word[at + 1 :] for at in range(1, len(word))]


def _mended(lower: str, misspelt: Mapping[str, str]) -> tuple[str, list[tuple[int, int]]]:
    """The text with misspelt words mended, and from which places on the original lies how many characters off."""
    if not misspelt:
        return lower, []
    meant = {word: right for word in set(_WORD.findall(lower)) if (right := _meant(word, misspelt)) != word}
    if not meant:
        return lower, []
    pieces: list[str] = []
    moves: list[tuple[int, int]] = []
    last = shift = 0
    for match in _WORD.finditer(lower):
        if match[0] not in meant:
            continue
        right = meant[match[0]]
        pieces += (lower[last : match.start()], right)
        last = match.end()
        shift += len(match[0]) - len(right)
        moves.append((last - shift, shift))
    return "".join(pieces) + lower[last:], moves


def _meant(word: str, misspelt: Mapping[str, str]) -> str:
    """The known word that differs by one letter more, less, other or swapped with its neighbour."""
    if word[-2:] == "nt" and _CONTRACTED.fullmatch(word):
        return f"{word[:-1]}'t"
    if not _SHORTEST <= len(word) <= _LONGEST or misspelt.get(word) == word:
        return word
    for short in (word, *_shortened(word)):
        right = misspelt.get(short, "")
        if right and right[0] == word[0] and abs(len(right) - len(word)) <= 1 and not _inflected(word, right):
            return right
    return word


def _inflected(word: str, right: str) -> bool:
    """Whether two words differ in their ending only, as "seizure" and "seizures" do."""
    return word[:-1] == right[:-1] or word == right + word[-1] or right == word + right[-1]
