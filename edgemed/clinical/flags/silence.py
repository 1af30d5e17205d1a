"""Where a text speaks of something that this patient does not have now: negated, past, of a relative, in an exam."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from edgemed.clinical.flags.language import PhraseError, Phrases
from edgemed.clinical.flags.reading import Reading

Scope = Literal["after", "item", "before", "sentence", "line", "block", "rest", "text"]
"""How far a cue reaches.

`after`: from the end of the cue to the end of the sentence, or to a word that ends a clause ("but"), so a phrase that
begins with the cue itself ("no pulse") is heard. `item`: as `after`, but only to the first
comma, unless a list with "or" follows. `before`: back to a comma, a clause end or the beginning of the sentence.
`sentence`, `line`: that sentence or line. `block`: the lines between two blank ones. `rest`: to the end of the block.
`text`: all of it.
"""
Span = tuple[int, int]

_SENTENCE_END = re.compile(r"\.(?=\s|$|[\u3400-\u9fff])|[;!?。]|\n")
_LINE_END = re.compile(r"\n")
_BLOCK_END = re.compile(r"\n\n")
_COMMA = re.compile(r"(?<!\d),|,(?!\d)")
_LIST = re.compile(r"(?:[^,.;!?\n]{1,40},){1,8}[^,.;!?\n]{0,40}(?<![a-z])(?:or|nor|and/or)(?![a-z])[^,.;!?\n]{1,60}")


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that silence the text around them.

    Not if one of `unless` stands in the same sentence, and only if one of `when` does, where given.
    """

    kind: str
    scope: Scope
    words: Phrases
    unless: Phrases | None
    when: Phrases | None = None


@dataclass(frozen=True, slots=True)
class Silences:
    """The cues of a language, and the words that end a clause."""

    cues: tuple[Cue, ...]
    ends: Phrases

    def of(self, reading: Reading) -> Mapping[str, Sequence[Span]]:
        """For each kind of silence the places in the text."""
        bounds = _Bounds(reading, self.ends)
        found: dict[str, list[Span]] = {}
        for cue in self.cues:
            spans = cue.words.spans(reading)
            apart = [at for at, _ in cue.unless.spans(reading)] if cue.unless and spans else []
            needed = [at for at, _ in cue.when.spans(reading)] if cue.when and spans else []
            for start, end in spans:
                sentence = bounds.sentence(start)
                if not _any_in(apart, sentence) and (cue.when is None or _any_in(needed, sentence)):
                    found.setdefault(cue.kind, []).append(bounds.reach(cue.scope, start, end, sentence))
        return found


def cue(table: Mapping[str, object], named: Mapping[str, Sequence[str]]) -> Cue:
    """A cue from its table in a rule file."""
    kind, scope, words, unless = (table.get(key, "") for key in ("kind", "scope", "words", "unless"))
    if scope not in get_args(Scope) or not isinstance(kind, str) or not isinstance(words, list) or not words:
        raise PhraseError(f"A silence needs kind, scope and words; correct {dict(table)!r}")
    apart = Phrases(unless, named) if isinstance(unless, list) else None
    when = table.get("when")
    needed = Phrases(when, named) if isinstance(when, list) else None
    return Cue(kind, cast(Scope, scope), Phrases(words, named), apart, needed)


def silenced(at: int, spans: Sequence[Span]) -> bool:
    """Whether one of the merged spans holds the place."""
    index = bisect_right(spans, (at, 1 << 60)) - 1
    return index >= 0 and spans[index][0] <= at < spans[index][1]


def _any_in(places: Sequence[int], span: Span) -> bool:
    index = bisect_left(places, span[0])
    return index < len(places) and places[index] < span[1]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that touch made one."""
    apart: list[Span] = []
    for start, end in sorted(spans):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


class _Bounds:
    """Where sentences, lines, blocks and clauses of a text begin and end."""

    def __init__(self, reading: Reading, ends: Phrases) -> None:
        self._text = reading.lower
        self._sentences = [match.end() for match in _SENTENCE_END.finditer(self._text)]
        self._lines = [match.end() for match in _LINE_END.finditer(self._text)]
        self._blocks = [match.end() for match in _BLOCK_END.finditer(self._text)]
        self._ends = [at for at, _ in ends.spans(reading)]

    def sentence(self, at: int) -> Span:
        return self._part(self._sentences, at)

    def _part(self, breaks: Sequence[int], at: int) -> Span:
        index = bisect_right(breaks, at)
        start = breaks[index - 1] if index else 0
        return start, breaks[index] if index < len(breaks) else len(self._text)

    def reach(self, scope: Scope, start: int, end: int, sentence: Span) -> Span:
        match scope:
            case "after":
                return end, self._clause_end(end, sentence[1])
            case "item":
                until = self._clause_end(end, sentence[1])
                if listed := _LIST.match(self._text, end, until):
                    return end, listed.end()
                comma = _COMMA.search(self._text, end, until)
                return end, comma.start() if comma else until
            case "before":
                index = bisect_left(self._ends, start)
                begin = max(sentence[0], self._ends[index - 1] if index else 0)
                comma_at = self._text.rfind(",", begin, start)
                return max(begin, comma_at), end
            case "sentence":
                return sentence
            case "line":
                return self._part(self._lines, start)
            case "block":
                return self._part(self._blocks, start)
            case "rest":
                return start, self._part(self._blocks, start)[1]
            case "text":
                return 0, len(self._text)

    def _clause_end(self, at: int, most: int) -> int:
        index = bisect_left(self._ends, at)
        return min(most, self._ends[index]) if index < len(self._ends) else most
