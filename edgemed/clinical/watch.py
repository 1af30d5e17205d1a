"""The one place that knows every group of rules: what the program looks for in a case, and what is switched off.

Rules read what the user wrote, never what the model wrote; the two that read an answer only compare it with the case.
Nothing found does not mean that there is nothing to find. NOT CLINICALLY REVIEWED.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self, TypeVar

from edgemed.clinical import allergies, missing
from edgemed.clinical.allergies import AllergyMark
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags import news2, phrases, values
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.heard import Heard
from edgemed.clinical.flags.news2 import News2
from edgemed.clinical.flags.once import Once
from edgemed.clinical.flags.results import Reading
from edgemed.clinical.noted import Scale
from edgemed.clinical.numbers import Reader, absent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Switches:
    """Which groups are on. `guard` is the question whether a text is about another patient."""

    phrases: bool = True
    values: bool = True
    news2: bool = True
    missing: bool = True
    allergies: bool = True
    numbers: bool = True
    guard: bool = True

    @classmethod
    def load(cls, stored: str) -> Self:
        """What `dump` returned. A group that it does not name, or that it gives in any other form, is on."""
        try:
            off = json.loads(stored) if stored else []
        except (ValueError, RecursionError):
            off = []
        return cls(**{name: False for name in GROUPS if isinstance(off, list) and name in off})

    def dump(self) -> str:
        """The groups that are off, as JSON."""
        return json.dumps([name for name in GROUPS if not getattr(self, name)])

    def turned(self, group: str, on: bool) -> Self:
        """With a group on or off."""
        return replace(self, **{group: on})


GROUPS = tuple(each.name for each in fields(Switches))


@dataclass(frozen=True, slots=True)
class Rules:
    """A function for each group. Most take a cache of texts already read as their last argument.

    `values` and `news2` share what they read in a text; `news2` returns None if no text has a set of observations.
    `missing` reads a question, the header and the earlier questions, and returns the names of header fields that a
    question about a dose or a drug lacks. `allergies` reads an answer and the header's allergies. `numbers` reads
    sources and an answer, and returns the answer's numbers that stand in none of the sources.
    """

    phrases: Callable[[Sequence[Text], Once[Heard]], list[Flag]] = phrases.found
    values: Callable[[Sequence[Text], CaseHeader, Once[Reading]], list[Flag]] = values.found
    news2: Callable[[Sequence[Text], CaseHeader, Scale | None, Once[Reading]], News2 | None] = news2.read
    missing: Callable[[str, CaseHeader, Sequence[str]], list[str]] = missing.not_given
    allergies: Callable[[str, str], list[AllergyMark]] = allergies.named
    numbers: Callable[[Sequence[str], str, Reader], list[str]] = absent


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in the texts of a case. `failed` names the groups that ended with an error: their rules were not
    all applied, and the user must be told."""

    flags: tuple[Flag, ...] = ()
    score: News2 | None = None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Marks:
    """What an answer has that the case lacks or warns of. `numbers`: how many of its numbers are in no source."""

    allergies: tuple[AllergyMark, ...] = ()
    numbers: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotGiven:
    """The fields of the header that a question about a dose or a drug lacks."""

    fields: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Known:
    """What the rules have read in the texts of one chat. A text that was read before is not read again."""

    def __init__(self) -> None:
        self.heard = Once(Heard)
        self.results = Once(Reading)
        self.sources = Reader()

    def keep(self, texts: Sequence[Text]) -> None:
        """Forget texts that are no longer in the chat."""
        for each in (self.heard, self.results):
            each.keep(text.body for text in texts)


@dataclass(frozen=True, slots=True)
class Watch:
    """The rules. A rule may take as long as its text is long: call from a thread that is not the interface's."""

    rules: Rules = field(default_factory=Rules)

    def read(
        self,
        texts: Sequence[Text],
        header: CaseHeader,
        switches: Switches,
        scale: Scale | None = None,
        known: Known | None = None,
    ) -> Seen:
        """Red flags in `texts`: the earlier questions, then the new one. The header is read as the oldest text.

        `scale`: the SpO2 scale that the user chose for NEWS2.
        """
        known = known or Known()
        told = header.prompt("en")
        whole = [Text(told, "header"), *texts] if told else list(texts)
        known.keep(whole)
        tried = _Tried(switches)
        scores = tried("news2", lambda: [self.rules.news2(whole, header, scale, known.results)])
        score = scores[0] if scores else None
        flags = [
            *tried("phrases", lambda: self.rules.phrases(whole, known.heard)),
            *tried("values", lambda: self.rules.values(whole, header, known.results)),
            *([flag] if score and (flag := score.as_flag()) else []),
        ]
        return Seen(tuple(flags), score, tuple(tried.failed))

    def not_given(self, question: str, header: CaseHeader, earlier: Sequence[str], switches: Switches) -> NotGiven:
        """What a question about a dose or a drug lacks. `earlier`: the earlier questions."""
        tried = _Tried(switches)
        fields = tried("missing", lambda: self.rules.missing(question, header, earlier))
        return NotGiven(tuple(fields), tuple(tried.failed))

    def marks(
        self,
        answer: str,
        sources: Sequence[str],
        header: CaseHeader,
        switches: Switches,
        known: Known | None = None,
    ) -> Marks:
        """Compare an answer with the header's allergies and with the texts of the user that it answers."""
        known = known or Known()
        tried, told = _Tried(switches), header.prompt("en")
        named = tried("allergies", lambda: self.rules.allergies(answer, header.allergies)) if header.allergies else []
        absent = tried("numbers", lambda: self.rules.numbers([*sources, told], answer, known.sources))
        return Marks(tuple(named), len(absent), tuple(tried.failed))


class _Tried:
    """Applies groups that are on. A fault in one neither silences the others nor keeps a question from being sent."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.failed: list[str] = []

    def __call__(self, group: str, rule: Callable[[], list[T]]) -> list[T]:
        if not getattr(self._switches, group):
            return []
        try:
            return rule()
        except Exception:
            self.failed.append(group)
            return []
