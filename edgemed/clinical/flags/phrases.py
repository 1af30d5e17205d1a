"""Red flags by phrase: words that stand near each other and speak of this patient now. NOT CLINICALLY REVIEWED.

The rules are in `phrases.en.toml` and `phrases.zh-CN.toml`; both files are always tried, since texts are mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from edgemed.clinical.flags import rules
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.heard import Heard, rule_files
from edgemed.clinical.flags.once import Once
from edgemed.clinical.flags.rule_file import Element, Rule, RuleFile

_MOST_ANCHORS = 400
"""Places of a rule's first element that are tried."""
_LONGEST_EVIDENCE = 80


class _Hit(NamedTuple):
    """A phrase in one of the texts."""

    text: int
    start: int
    end: int


def found(texts: Sequence[Text], known: Once[Heard] | None = None) -> list[Flag]:
    """The rules that match, each once. Part of each match stands in the new question.

    `known`: what was heard in these texts before, which is not looked for again.
    """
    known = known or Once(Heard)
    heard = [known.of(text.body) for text in texts]
    flags: dict[str, Flag] = {}
    for file in rule_files():
        if not _in_script(file, heard):
            continue
        search = _Search(file, texts, heard)
        for rule in file.rules:
            if rule.id not in flags and rules.enabled(rule.source) and (hits := search.match(rule)):
                flags[rule.id] = Flag(rule.id, "phrases", _evidence(heard, hits), rules.source(rule.source))
    return list(flags.values())


def _in_script(file: RuleFile, heard: Sequence[Heard]) -> bool:
    """Whether one of the texts is written in the letters of the file's language, which saves the time of the others."""
    return any(file.script in text.reading.scripts for text in heard)


def _evidence(heard: Sequence[Heard], hits: Sequence[_Hit]) -> tuple[str, ...]:
    apart: list[_Hit] = []
    for hit in sorted(hits):
        if apart and apart[-1].text == hit.text and hit.start < apart[-1].end:  # "K" and "K 6.9"
            apart[-1] = apart[-1]._replace(end=max(apart[-1].end, hit.end))
        else:
            apart.append(hit)
    words = dict.fromkeys(heard[hit.text].reading.original(hit.start, hit.end) for hit in apart)
    most = _LONGEST_EVIDENCE // len(words)
    return tuple(word if len(word) <= most else word[: most - 1] + "…" for word in words)


class _Search:
    """The rules of one file in the texts of one turn. A phrase is looked for when a rule first needs it."""

    def __init__(self, file: RuleFile, texts: Sequence[Text], heard: Sequence[Heard]) -> None:
        self._file, self._texts = file, heard
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
            self._maybe[name] = any(text.possible(phrases) for text in self._texts)
        return self._maybe[name]

    def _places(self, name: str) -> list[_Hit]:
        if name not in self._raw:
            phrases = self._file.phrases[name]
            self._raw[name] = [
                _Hit(index, *span) for index, text in enumerate(self._texts) for span in text.spans(phrases)
            ]
        return self._raw[name]

    def _hits(self, element: Element) -> list[_Hit]:
        if element not in self._heard:
            hits = sorted(chain.from_iterable(self._places(name) for name in element.names))
            self._heard[element] = [hit for hit in hits if not self._silent(hit, element)]
        return self._heard[element]

    def _silent(self, hit: _Hit, element: Element) -> bool:
        return self._texts[hit.text].silent(hit.start, hit.end, element.background)
