"""A text, with the places of the rules' phrases in it and those where it does not speak of this patient now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from itertools import chain

from edgemed.clinical.flags import rules
from edgemed.clinical.flags.language import Phrases
from edgemed.clinical.flags.reading import Reading, misspellings
from edgemed.clinical.flags.rule_file import RuleFile, read_rules
from edgemed.clinical.flags.silence import Span, merged, silenced

BACKGROUND = frozenset({"past"})
"""Kinds of silence that do not hide an element marked `~`: an old diagnosis counts as the ground of a new event."""
_CUE = 2
"""Letters of the shortest word that negates."""


class Heard:
    """One text. A phrase is looked for when a rule first needs it, and never again."""

    def __init__(self, body: str) -> None:
        self.reading = Reading(body, _misspelt())
        self._possible: dict[Phrases, bool] = {}
        self._spans: dict[Phrases, list[Span]] = {}

    def possible(self, phrases: Phrases) -> bool:
        """Whether the text has the words that one of the phrases needs."""
        if phrases not in self._possible:
            self._possible[phrases] = phrases.possible(self.reading)
        return self._possible[phrases]

    def spans(self, phrases: Phrases) -> list[Span]:
        """The places of the phrases."""
        if phrases not in self._spans:
            self._spans[phrases] = phrases.spans(self.reading) if self.possible(phrases) else []
        return self._spans[phrases]

    def silent(self, start: int, end: int, background: bool) -> bool:
        """Whether a place is silent, or a negation after its first word silences its last: "belly soft, not distended".

        background: for an element that an old diagnosis also satisfies.
        """
        if silenced(start, self._silent[background]):
            return True
        first = self.reading.lower.find(" ", start, end)
        return first >= 0 and any(first + _CUE < at < end <= stop for at, stop in self._negated)

    @cached_property
    def _silences(self) -> Sequence[tuple[str, Sequence[Span]]]:
        """In the words of either language: an English abbreviation follows a Chinese "no"."""
        spoken = [file for file in rule_files() if file.script in self.reading.scripts]
        return [item for file in spoken for item in file.silences.of(self.reading).items()]

    @cached_property
    def _negated(self) -> Sequence[Span]:
        return merged(span for kind, spans in self._silences if kind == "negated" for span in spans)

    @cached_property
    def _silent(self) -> Mapping[bool, Sequence[Span]]:
        """The silent places for an element: False, or True for a background element."""
        return {
            False: merged(span for _, spans in self._silences for span in spans),
            True: merged(span for kind, spans in self._silences if kind not in BACKGROUND for span in spans),
        }


@cache
def rule_files() -> tuple[RuleFile, ...]:
    """The rule files, one a language."""
    return tuple(read_rules(name, text) for name, text in rules.files("phrases.") if name.endswith(".toml"))


@cache
def _misspelt() -> dict[str, str]:
    return misspellings(chain.from_iterable(file.spelling for file in rule_files()))
