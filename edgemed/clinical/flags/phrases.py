"""Red flags by phrase: words that stand near each other and speak of this patient now. NOT CLINICALLY REVIEWED.

The rules are in `phrases.en.toml` and `phrases.zh-CN.toml`; both files are always tried, since texts are mixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

from edgemed.clinical.flags import rules
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.reading import Reading, misspellings
from edgemed.clinical.flags.rule_file import Element, Rule, RuleFile, read_rules
from edgemed.clinical.flags.silence import Span, merged, silenced

BACKGROUND = frozenset({"past"})
"""Kinds of silence that do not hide an element marked `~`: an old diagnosis counts as the ground of a new event."""
_MOST_ANCHORS = 400
"""Places of a rule's first element that are tried."""
_LONGEST_EVIDENCE = 80
_CUE = 2
"""Letters of the shortest word that negates."""


class _Hit(NamedTuple):
    """A phrase in one of the texts."""

    text: int
    start: int
    end: int


def found(texts: Sequence[Text]) -> list[Flag]:
    """The rules that match, each once. Part of each match stands in the new question."""
    files = rule_files()
    readings = [Reading(text.body, _misspelt()) for text in texts]
    silences = _Silences(files, readings)
    flags: dict[str, Flag] = {}
    for file in files:
        if not _in_script(file, readings):
            continue
        search = _Search(file, texts, readings, silences)
        for rule in file.rules:
            if rule.id not in flags and rules.enabled(rule.source) and (hits := search.match(rule)):
                flags[rule.id] = Flag(rule.id, "phrases", _evidence(readings, hits), rules.source(rule.source))
    return list(flags.values())


@cache
def rule_files() -> tuple[RuleFile, ...]:
    """The rule files, one a language."""
    return tuple(read_rules(name, text) for name, text in rules.files("phrases.") if name.endswith(".toml"))


@cache
def _misspelt() -> dict[str, str]:
    return misspellings(chain.from_iterable(file.spelling for file in rule_files()))


def _in_script(file: RuleFile, readings: Sequence[Reading]) -> bool:
    """Whether one of the texts is written in the letters of the file's language, which saves the time of the others."""
    return any(file.script in reading.scripts for reading in readings)


def _evidence(readings: Sequence[Reading], hits: Sequence[_Hit]) -> tuple[str, ...]:
    words = dict.fromkeys(readings[hit.text].original(hit.start, hit.end) for hit in sorted(hits))
    most = _LONGEST_EVIDENCE // len(words)
    return tuple(word if len(word) <= most else word[: most - 1] + "…" for word in words)


class _Silences:
    """What is silent in each text, in the words of either language: an English abbreviation follows a Chinese "no"."""

    def __init__(self, files: Sequence[RuleFile], readings: Sequence[Reading]) -> None:
        self._files, self._readings = files, readings
        self._found: dict[int, dict[bool, Sequence[Span]]] = {}
        self._negated: dict[int, Sequence[Span]] = {}

    def of(self, text: int) -> Mapping[bool, Sequence[Span]]:
        """The silent places of a text for an element: False, or True for a background element."""
        if text not in self._found:
            reading = self._readings[text]
            spoken = [file for file in self._files if file.script in reading.scripts]
            items = [item for file in spoken for item in file.silences.of(reading).items()]
            self._negated[text] = merged(span for kind, spans in items if kind == "negated" for span in spans)
            self._found[text] = {
                False: merged(span for _, spans in items for span in spans),
                True: merged(span for kind, spans in items if kind not in BACKGROUND for span in spans),
            }
        return self._found[text]

    def negated_inside(self, hit: _Hit) -> bool:
        """Whether a negation after the hit's first word silences its last one: "belly soft, not distended"."""
        self.of(hit.text)
        lower = self._readings[hit.text].lower
        first = lower.find(" ", hit.start, hit.end)
        return first >= 0 and any(first + _CUE < start < hit.end <= end for start, end in self._negated[hit.text])


class _Search:
    """The rules of one file in the texts of one turn. A phrase is looked for when a rule first needs it."""

    def __init__(self, file: RuleFile, texts: Sequence[Text], readings: Sequence[Reading], silences: _Silences) -> None:
        self._file, self._readings, self._silences = file, readings, silences
        self._new = {index for index, text in enumerate(texts) if text.where == "question"}
        self._maybe: dict[str, bool] = {}
        self._raw: dict[str, list[_Hit]] = {}
        self._heard: dict[Element, list[_Hit]] = {}

    def match(self, rule: Rule) -> list[_Hit]:
        for elements in rule.any:
            for looked in (self._possible, self._places):  # the first is fast, and mostly says no
                if not all(any(looked(name) for name in element.names) for element in elements):
                    break
            else:
                if hits := self._together(elements, rule):
                    return hits
        return []

    def _together(self, elements: Sequence[Element], rule: Rule) -> list[_Hit]:
        heard = [self._hits(element) for element in elements]
        if not all(heard):
            return []
        for anchor in heard[0][:_MOST_ANCHORS]:
            hits = [anchor]
            for others in heard[1:]:
                other = self._nearest(anchor, others, rule.within)
                if other is None:
                    break
                hits.append(other)
            complete = len(hits) == len(elements) and any(hit.text in self._new for hit in hits)
            if complete and not self._barred(rule, anchor):
                return hits
        return []

    def _nearest(self, anchor: _Hit, others: Sequence[_Hit], within: int) -> _Hit | None:
        """The hit nearest to the anchor in its text; from another text any, first of all from the new question."""
        same = [hit for hit in others if hit.text == anchor.text]
        elsewhere = [hit for hit in others if hit.text != anchor.text]
        if anchor.text not in self._new:
            for hit in elsewhere:
                if hit.text in self._new:
                    return hit
        near = min(same, key=lambda hit: abs(hit.start - anchor.start), default=None)
        if near is not None and abs(near.start - anchor.start) <= within:
            return near
        return elsewhere[-1] if elsewhere else None

    def _barred(self, rule: Rule, anchor: _Hit) -> bool:
        bars = chain.from_iterable(self._places(name) for name in rule.bars)
        return any(bar.text == anchor.text and abs(bar.start - anchor.start) <= rule.within for bar in bars)

    def _possible(self, name: str) -> bool:
        """Whether a text has the words that a phrase of this name needs."""
        if name not in self._maybe:
            phrases = self._file.phrases[name]
            self._maybe[name] = any(phrases.possible(reading) for reading in self._readings)
        return self._maybe[name]

    def _places(self, name: str) -> list[_Hit]:
        if name not in self._raw:
            phrases = self._file.phrases[name]
            self._raw[name] = [
                _Hit(index, *span) for index, reading in enumerate(self._readings) for span in phrases.spans(reading)
            ]
        return self._raw[name]

    def _hits(self, element: Element) -> list[_Hit]:
        if element not in self._heard:
            hits = sorted(chain.from_iterable(self._places(name) for name in element.names))
            self._heard[element] = [hit for hit in hits if not self._silent(hit, element.background)]
        return self._heard[element]

    def _silent(self, hit: _Hit, background: bool) -> bool:
        return silenced(hit.start, self._silences.of(hit.text)[background]) or self._silences.negated_inside(hit)
