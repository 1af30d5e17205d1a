"""The quantities of a written text compared with those of its source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from edgemed.clinical.numbers.marks import Kind, Mark
from edgemed.clinical.numbers.quantity import Part, Quantity
from edgemed.clinical.numbers.reading import Reading
from edgemed.clinical.numbers.units import Unit, implied

CANDIDATES = 64
"""Mentions of one word that are compared with another mention, at most."""


def marked(reading: Reading, start: int, end: int, kind: Kind) -> Mark:
    return Mark(start, end, reading.text[start:end], kind)


_NO_AMOUNTS = ("time of day", "date", "per day", "ordinal", "few", "fraction")


class Supply:
    """The parts of all quantities of a text."""

    def __init__(self, quantities: Iterable[Quantity], lenient: bool) -> None:
        self.exact: set[tuple[str, str]] = set()
        self.spelled: set[tuple[str, str]] = set()
        self.raw: set[str] = set()
        self.bare: set[str] = set()
        self.ratios: dict[str, set[str]] = defaultdict(set)  # 120 -> {80}
        self.sizes: dict[Unit, set[float]] = defaultdict(set)
        for quantity in quantities:
            self.raw.update(part.raw for part in quantity.support)
            loose = quantity.soft and len(quantity.readings) > 1
            if quantity.ratio:
                self.ratios[quantity.ratio[0]].add(quantity.ratio[1])
            for reading in quantity.readings:
                for part in reading:
                    self.exact.add((part.unit.dimension, part.value))
                    self.spelled.add((part.unit.dimension, part.raw))
                    self.sizes[part.unit].add(float(part.raw))
                    if loose:  # "since Monday" is some days, but no number
                        continue
                    if part.unit.dimension not in _NO_AMOUNTS or (
                        lenient and part.unit.dimension in ("ordinal", "few")
                    ):
                        self.raw.add(part.raw)
                    if not part.unit.dimension and not any(
                        one.unit.dimension not in ("", *_NO_AMOUNTS) for other in quantity.readings for one in other
                    ):
                        self.bare.add(part.raw)

    def says(self, quantity: Quantity) -> bool:
        """Whether one of the quantity's readings is there, and no ratio that differs in its second number."""
        a, b = quantity.ratio or ("", "")
        if a in self.ratios and b not in self.ratios[a]:
            return False
        return any(all(map(self.has, reading)) for reading in quantity.readings)

    def has(self, part: Part) -> bool:
        if part.unit.dimension == "calendar year":
            return part.raw in self.raw or not any(dimension == "calendar year" for dimension, _ in self.exact)
        if not part.unit.dimension:
            return part.raw in self.raw
        if (part.unit.dimension, part.value) in self.exact:
            return True
        if (
            part.unit.dimension == "hour"
            and part.value == "24"
            and any(unit.per == 24 or unit.dimension == "per day" for unit in self.sizes)
        ):
            return True  # mg/day
        if part.raw not in self.bare or (part.unit.dimension, part.raw) in self.spelled:
            return False
        value = float(part.raw)
        if part.unit.dimension == "time of day" or implied(part.unit, value):
            return True
        # "4.6 cm, today 4.9": the unit is said of a number of about the same size
        said = any(value <= 2 * one <= 4 * value for one in self.sizes.get(part.unit, ()))
        return said and ("." in part.raw or value >= 10)


def numbers(told: Reading, wrote: Reading, lenient: bool = False) -> list[Mark]:
    """Quantities of `wrote` that `told` does not have. lenient: a unit may be left out or added."""
    supply = Supply([one.quantity for one in told.measured], lenient)
    marks = []
    for one in wrote.measured:
        quantity = one.quantity
        if quantity.soft or supply.says(quantity):
            continue
        known = any(all(part.raw in supply.raw for part in reading) for reading in quantity.readings)
        if lenient and quantity.support and all(part.raw in supply.raw for part in quantity.support):
            continue
        if known and lenient and any(part.raw in supply.bare for part in quantity.readings[0]):
            continue
        marks.append(
            marked(
                wrote,
                quantity.start,
                quantity.end,
                "unit" if known and quantity.readings[0][0].unit.dimension else "number",
            )
        )
    return marks


_TIMES = {"hour": "time", "month": "time"}


def displaced(told: Reading, wrote: Reading) -> list[Mark]:
    """Quantities that `told` has only without the unit, or less often, where one like them of `told` is missing."""
    left = Supply([one.quantity for one in wrote.measured], lenient=True)
    missing = [
        one
        for one in told.measured
        if not one.quantity.soft and not one.quantity.clock and not one.quantity.support and not left.says(one.quantity)
    ]
    if not missing:
        return []
    supply = Supply([one.quantity for one in told.measured], lenient=False)
    counts = [Counter(pair for one in some.measured for pair in one.quantity.values) for some in (told, wrote)]
    uses = [Counter(part.raw for one in some.measured for part in one.quantity.readings[0]) for some in (told, wrote)]
    marks = []
    for one in wrote.measured:
        quantity = one.quantity
        if quantity.soft or quantity.clock or quantity.support:
            continue
        keys = quantity.values
        kind = {_TIMES.get(dimension, dimension) for dimension, _ in keys}
        overused = all(uses[1][part.raw] > uses[0][part.raw] for part in quantity.readings[0]) or (
            kind == {"time"} and all(0 < counts[0][pair] < counts[1][pair] for pair in keys)
        )
        weak = not any(
            all((part.unit.dimension, part.value) in supply.exact for part in reading) for reading in quantity.readings
        )
        if not (overused or weak) or not supply.says(quantity):
            continue
        for other in missing[:CANDIDATES]:
            theirs = {_TIMES.get(dimension, dimension) for dimension, _ in other.quantity.values}
            if len(other.quantity.readings[0]) != len(quantity.readings[0]):
                continue
            related = bool(one.topics & other.topics)
            same = kind == theirs and (related or "per day" in kind or (overused and kind != {""}))
            if same or (overused and related and "" in kind | theirs):
                marks.append(marked(wrote, quantity.start, quantity.end, "number"))
                break
    return marks


def swapped(told: Reading, wrote: Reading) -> list[Mark]:
    """Quantities that `told` has, but for something else, and what it has them for is in `wrote` with other values."""
    by_value: dict[str, list[frozenset[str]]] = defaultdict(list)
    by_word: dict[str, list[tuple[frozenset[str], frozenset[tuple[str, str]]]]] = defaultdict(list)
    for one in told.measured:
        if not one.topics:
            continue
        keys = one.quantity.values
        for _, value in keys:
            by_value[value].append(one.topics)
        for word in one.topics if one.own else ():
            by_word[word].append((one.topics, keys))
    placed: dict[tuple[str, str], list[frozenset[str]]] = defaultdict(list)
    for one in wrote.measured:
        for pair in one.quantity.values:
            placed[pair].append(one.topics)
    users = Counter(word for one in wrote.measured if not one.quantity.soft for word in one.topics)
    marks = []
    for one in wrote.measured:
        quantity, topics = one.quantity, one.topics
        if quantity.soft or quantity.clock or not one.own:
            continue
        keys = quantity.values
        values = {value for _, value in keys}
        theirs = [other for value in values for other in by_value[value][:CANDIDATES]]
        if not theirs:
            continue
        same = max(len(topics & other) for other in theirs)
        dimensions = {dimension for dimension, _ in keys}
        rivals = [
            len(topics & other)
            for word in topics
            for other, others in by_word[word][:CANDIDATES]
            if others.isdisjoint(keys)
            and any(dimension in dimensions for dimension, _ in others)
            and not any(other & there for pair in others for there in placed[pair][:CANDIDATES])
        ]
        moved = "per day" in dimensions or all(
            any(users[word] > (word in topics) for word in other - topics) for other in theirs
        )
        exact = not same and any(
            topics == other and others.isdisjoint(keys) and any(placed[pair] for pair in others)
            for word in topics
            for other, others in by_word[word][:CANDIDATES]
        )
        if rivals and max(rivals) > same and (moved or exact):
            marks.append(marked(wrote, quantity.start, quantity.end, "number"))
    return marks
