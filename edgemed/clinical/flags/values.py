"""Red flags by value: the thresholds of values.toml. NOT CLINICALLY REVIEWED."""

from __future__ import annotations

import operator
import re
import tomllib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags import patient
from edgemed.clinical.flags.analytes import BY_KEY, unit_shown
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.once import Once
from edgemed.clinical.flags.results import Reading
from edgemed.clinical.flags.written import LONGEST, Result

ADULT = 16
"""Years from which a rule holds, unless its row has `from_years`."""
_SCALE_2 = re.compile(
    r"scale ?2\b|copd\b|88 ?(?:-|–|to) ?92|hypercapni|type (?:2|ii) respiratory failure|慢阻肺|慢性阻塞性肺|高碳酸"
)

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "≤": operator.le,
    ">": operator.gt,
    "≥": operator.ge,
}
_ABOVE_RANGE = "above the printed range"


@dataclass(frozen=True, slots=True)
class Source:
    """`read`: a stored copy of this passage was seen. Otherwise `why` says why not, and the rules are off."""

    name: str
    edition: str
    place: str
    read: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of values.toml. `units` holds the printed threshold by unit."""

    id: str
    analytes: tuple[str, ...]
    compare: str
    units: Mapping[str, float]
    source: Source
    from_years: float
    pregnant: bool | None
    scale: int | None

    @property
    def on(self) -> bool:
        """Whether the rule is used unless the user says otherwise."""
        return self.source.read

    @property
    def cited(self) -> str:
        """Source, edition and threshold in one line."""
        printed = ", ".join(
            f"{self.compare} {value:g} {unit_shown(unit)}".rstrip() for unit, value in self.units.items()
        )
        return f"{self.source.name}, {self.source.edition}: {printed or self.compare}"

    def met(self, value: float, unit: str, comparator: str) -> bool:
        """Whether a value in `unit` meets the threshold; ">10" and "<2" meet those on their side only."""
        if (comparator == ">" and self.compare in "<≤") or (comparator == "<" and self.compare in ">≥"):
            return False
        if unit in self.units:
            limit = self.units[unit]
        else:
            known = BY_KEY[self.analytes[0]].units
            printed, limit = next(iter(self.units.items()))
            value, limit = value * known[unit].factor, limit * known[printed].factor
        value, limit = round(value, 6), round(limit, 6)
        # ">10" may be any number above 10, so it meets "> 10" as well.
        return _COMPARE[self.compare](value, limit) or bool(comparator and value == limit)


@cache
def rules() -> tuple[Rule, ...]:
    """Every row, in the order of the file."""
    stored = tomllib.loads(resources.files(__package__).joinpath("values.toml").read_text(encoding="utf-8"))
    sources = {key: Source(**source) for key, source in stored["sources"].items()}
    return tuple(_rule(row, sources[row["source"]]) for row in stored["rules"])


def _rule(row: dict[str, Any], source: Source) -> Rule:
    # The bands of NEWS2 do not hold in pregnancy.
    pregnant = row.get("pregnant", False if row["source"] == "news2" else None)
    return Rule(
        id=row["id"],
        analytes=tuple(row["analytes"]),
        compare=row["is"],
        units=row.get("units", {}),
        source=source,
        from_years=row.get("from_years", ADULT),
        pregnant=pregnant,
        scale=row.get("scale"),
    )


@dataclass(frozen=True, slots=True)
class _Hit:
    rule: Rule
    result: Result
    asks_unit: bool
    new: bool


def found(texts: Sequence[Text], header: CaseHeader, readings: Once[Reading] | None = None) -> list[Flag]:
    """One flag for each rule that a current result meets, in the order of the file.

    `texts` stand in the order in which they were written. An earlier text's value counts unless a later text has one
    of the same analyte. `readings` are shared with `news2.read`.
    """
    readings = readings or Once(Reading)
    usable = _usable(texts, header)
    by_analyte: dict[str, list[Rule]] = {key: [rule for rule in usable if key in rule.analytes] for key in BY_KEY}
    written = {result for text in texts for result in readings.of(text.body).written}
    alarming = {result.analyte for result in written if _hit(result, by_analyte[result.analyte], new=False)}
    hits: list[_Hit] = []
    for text, read in _current(texts, readings, alarming):
        hits += [hit for result in read if (hit := _hit(result, by_analyte[result.analyte], text.where == "question"))]
    flags = []
    for rule in usable:
        of_rule = [hit for hit in hits if hit.rule is rule]
        if of_rule:
            evidence = tuple(dict.fromkeys(hit.result.shown for hit in of_rule))
            asks = all(hit.asks_unit for hit in of_rule)
            flags.append(Flag(rule.id, "values", evidence, rule.cited, asks, any(hit.new for hit in of_rule)))
    return flags


def _usable(texts: Sequence[Text], header: CaseHeader) -> list[Rule]:
    """The rules that hold for this patient. A rule for adults holds if the age is not known."""
    years, pregnant = patient.age(texts, header), patient.pregnant(texts, header)
    said = "\n".join([header.problems, *(text.body[:LONGEST] for text in texts)])
    scale = 2 if _SCALE_2.search(said.lower()) else 1
    return [
        rule
        for rule in rules()
        if rule.on
        and (years is None or years >= rule.from_years)
        and (rule.pregnant is None or rule.pregnant == bool(pregnant))
        and rule.scale in (None, scale)
    ]


def _current(
    texts: Sequence[Text], readings: Once[Reading], analytes: Container[str]
) -> Iterable[tuple[Text, list[Result]]]:
    """The results of each text that no later text replaces. The texts of the new question do not replace each other."""
    asked = [(text, readings.of(text.body).current(analytes)) for text in texts if text.where == "question"]
    later = {result.analyte for _, read in asked for result in read}
    kept = []
    for text in reversed([text for text in texts if text.where != "question"]):
        read = readings.of(text.body).current(analytes)
        kept.append((text, [result for result in read if result.analyte not in later]))
        later |= {result.analyte for result in read}
    return [*reversed(kept), *asked]


def _hit(result: Result, of_analyte: Sequence[Rule], new: bool) -> _Hit | None:
    """The first rule that a result meets; in any of the units that it may have if it has none."""
    if not of_analyte:
        return None
    if of_analyte[0].compare == _ABOVE_RANGE:
        above = result.upper is not None and result.value > result.upper and result.comparator != "<"
        return _Hit(of_analyte[0], result, False, new) if above else None
    known = BY_KEY[result.analyte].units
    if result.unit is not None:
        units = [result.unit]
    else:
        units = [name for name, unit in known.items() if unit.least <= result.value <= unit.most]
    met = [
        next((rule for rule in of_analyte if rule.met(result.value, unit, result.comparator)), None) for unit in units
    ]
    first = next(filter(None, met), None)
    return _Hit(first, result, any(rule is not first for rule in met), new) if first else None
