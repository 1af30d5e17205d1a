"""Numbers, units, sides and negations of a written text compared with its source. NOT CLINICALLY REVIEWED.

Everything here is a comparison of words. It finds what differs; it does not know what is right.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from edgemed.clinical.folded import LONGEST
from edgemed.clinical.numbers.marks import Checked, Kind, Mark
from edgemed.clinical.numbers.negation import Mention
from edgemed.clinical.numbers.quantity import Part, Quantity
from edgemed.clinical.numbers.reading import Reading, read
from edgemed.clinical.numbers.sides import Side
from edgemed.clinical.numbers.units import implied

_CANDIDATES = 64
"""Mentions of one word that are compared with another mention, at most."""


def check(source: str, written: str) -> Checked:
    """What `written` adds to `source`, and what it drops."""
    told, wrote = read(source), read(written)
    added = [*_numbers(told, wrote), *_swapped(told, wrote), *_sides(told, wrote), *_negations(told, wrote)]
    dropped = [*_numbers(wrote, told, lenient=True), *_dropped_sides(told, wrote), *_dropped_negations(told, wrote)]
    return Checked(_once(added), _once(dropped))


def absent(sources: Sequence[str], answer: str) -> list[str]:
    """The numbers of `answer`, with their units, that are in none of `sources`; each once, in order."""
    told, wrote = read("\n".join(sources)), read(answer)
    return list(dict.fromkeys(mark.text for mark in _numbers(told, wrote)))


def _once(marks: Iterable[Mark]) -> list[Mark]:
    """Sorted, with one mark where several overlap."""
    kept: list[Mark] = []
    for mark in sorted(marks):
        if not kept or mark.start >= kept[-1].end or (mark.kind in ("side", "negation") and mark.kind != kept[-1].kind):
            kept.append(mark)
    return kept


def _mark(reading: Reading, start: int, end: int, kind: Kind) -> Mark:
    return Mark(start, end, reading.text[start:end], kind)


_NO_AMOUNTS = ("time of day", "date", "per day", "ordinal", "few", "fraction")


class _Supply:
    """The parts of all quantities of a text."""

    def __init__(self, quantities: Iterable[Quantity], lenient: bool) -> None:
        self.exact: set[tuple[str, str]] = set()
        self.raw: set[str] = set()
        self.bare: set[str] = set()
        self.ratios: dict[str, set[str]] = defaultdict(set)  # 120 -> {80}
        for quantity in quantities:
            self.raw.update(part.raw for part in quantity.support)
            if quantity.ratio:
                self.ratios[quantity.ratio[0]].add(quantity.ratio[1])
            for reading in quantity.readings:
                for part in reading:
                    self.exact.add((part.unit.dimension, part.value))
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
        return part.raw in self.bare and (implied(part.unit, float(part.raw)) or part.unit.dimension == "time of day")


def _numbers(told: Reading, wrote: Reading, lenient: bool = False) -> list[Mark]:
    """Quantities of `wrote` that `told` does not have. lenient: a unit may be left out or added."""
    supply = _Supply([one.quantity for one in told.measured], lenient)
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
            _mark(
                wrote,
                quantity.start,
                quantity.end,
                "unit" if known and quantity.readings[0][0].unit.dimension else "number",
            )
        )
    return marks


def _swapped(told: Reading, wrote: Reading) -> list[Mark]:
    """Quantities that `told` has, but for something else, and what it has them for is in `wrote` with other values."""
    by_value: dict[str, list[frozenset[str]]] = defaultdict(list)
    by_word: dict[str, list[tuple[frozenset[str], set[tuple[str, str]]]]] = defaultdict(list)
    for one in told.measured:
        if not one.topics:
            continue
        keys = _keys(one.quantity)
        for _, value in keys:
            by_value[value].append(one.topics)
        for word in one.topics if one.own else ():
            by_word[word].append((one.topics, keys))
    users = Counter(word for one in wrote.measured if not one.quantity.soft for word in one.topics)
    marks = []
    for one in wrote.measured:
        quantity, topics = one.quantity, one.topics
        if quantity.soft or quantity.clock or not one.own:
            continue
        keys = _keys(quantity)
        values = {value for _, value in keys}
        theirs = [other for value in values for other in by_value[value][:_CANDIDATES]]
        if not theirs:
            continue
        same = max(len(topics & other) for other in theirs)
        dimensions = {dimension for dimension, _ in keys}
        rivals = [
            len(topics & other)
            for word in topics
            for other, others in by_word[word][:_CANDIDATES]
            if others.isdisjoint(keys) and any(dimension in dimensions for dimension, _ in others)
        ]
        moved = "per day" in dimensions or all(
            any(users[word] > (word in topics) for word in other - topics) for other in theirs
        )
        if rivals and max(rivals) > same and moved:
            marks.append(_mark(wrote, quantity.start, quantity.end, "number"))
    return marks


def _keys(quantity: Quantity) -> set[tuple[str, str]]:
    return {(part.unit.dimension, part.value) for part in quantity.readings[0]}


def _sides(told: Reading, wrote: Reading) -> list[Mark]:
    """Sides that `told` does not have, or has for other words. Words of many sides ("eye") count for less."""
    known = {one.side for one in told.sides}
    by_word: dict[str, list[Side]] = defaultdict(list)
    for one in told.sides:
        for word in one.words:
            by_word[word].append(one)
    uses = Counter(word for reading in (told, wrote) for one in reading.sides for word in one.words)
    marks = []
    for one in wrote.sides:
        if one.soft:
            continue
        overlaps: dict[str, float] = defaultdict(float)
        for word in one.words:
            for other in by_word[word][:_CANDIDATES]:
                weight = sum(1 / uses[shared] for shared in one.words & other.words)
                overlaps[other.side] = max(overlaps[other.side], weight)
        best = max(overlaps.values(), default=0)
        same = overlaps[one.side]
        if one.side not in known or (best > 1.4 * same if one.own else best and not same and len(one.words) > 1):
            marks.append(_mark(wrote, one.start, one.end, "side"))
    return marks + _sides_of_numbers(told, wrote)


def _sides_of_numbers(told: Reading, wrote: Reading) -> list[Mark]:
    """Quantities that stand beside one side in `wrote` and beside the other wherever `told` has them."""
    beside: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in told.measured:
        for key in _keys(one.quantity):
            beside[key].add(one.side)
    marks = []
    for one in wrote.measured:
        if one.side in ("left", "right") and not one.quantity.soft and not one.quantity.clock:
            theirs = set().union(*(beside[key] for key in _keys(one.quantity)))
            if theirs in ({"left"}, {"right"}) and one.side not in theirs:
                marks.append(_mark(wrote, one.quantity.start, one.quantity.end, "side"))
    return marks


def _dropped_sides(told: Reading, wrote: Reading) -> list[Mark]:
    """Sides that `wrote` mentions less often by their words; "bilateral" is often said by a plural alone."""
    left = Counter(one.side for one in wrote.sides)
    marks = []
    for one in told.sides:
        if one.side == "bilateral" or one.soft:
            continue
        if (
            any(other.side == one.side and other.words & one.words for other in wrote.sides[:_CANDIDATES])
            or left[one.side]
        ):
            continue
        marks.append(_mark(told, one.start, one.end, "side"))
    return marks


class _Mentions:
    """The mentions of a text, by word."""

    def __init__(self, mentions: Sequence[Mention]) -> None:
        self.by_word: dict[str, list[Mention]] = defaultdict(list)
        for mention in {(one.words, one.polarity): one for one in mentions}.values():
            for word in mention.words:
                self.by_word[word].append(mention)

    def like(self, words: frozenset[str]) -> list[Mention]:
        """Mentions with at least one of `words`, from its rarest word."""
        lists = sorted((self.by_word[word] for word in words if word in self.by_word), key=len)
        return [mention for some in lists[:3] for mention in some[:_CANDIDATES]]


def _covers(mention: Mention, words: frozenset[str]) -> bool:
    """Whether a mention speaks of the finding: two words of three are enough, one of two is not; no other side."""
    for side, other in (("left", "right"), ("right", "left")):
        if side in words and other in mention.words and side not in mention.words:
            return False
    return 3 * len(mention.words & words) >= 2 * len(words)


def _contradicted(one: Mention, here: _Mentions, there: _Mentions) -> Mention | None:
    """The mention `there` that says a negated finding is present, if `here` says so nowhere."""
    for words in (one.words, one.words | one.subject) if one.subject else (one.words,):
        if any(other.polarity == "present" and _covers(other, words) for other in here.like(words)):
            continue
        others = [other for other in there.like(words) if _covers(other, words) and _covers(other, one.words)]
        if others and all(other.polarity == "present" for other in others):
            return others[0]
    return None


def _negations(told: Reading, wrote: Reading) -> list[Mark]:
    """Negated findings that are present in the other text, in both directions; and surplus negations."""
    source, text = _Mentions(told.mentions), _Mentions(wrote.mentions)
    marks = []
    for one in told.mentions:
        if one.polarity == "negated" and (found := _contradicted(one, source, text)):
            marks.append(_mark(wrote, found.start, found.end, "negation"))
    for one in wrote.mentions:
        if one.polarity == "negated" and _contradicted(one, text, source):
            marks.append(_mark(wrote, one.start, one.end, "negation"))
    surplus, missing = _unpaired(wrote, source), _unpaired(told, text)
    allowed = len(missing) + max(0, _normals(told) - _normals(wrote))
    return marks + [_mark(wrote, one.start, one.end, "negation") for one in surplus[allowed:]]


def _dropped_negations(told: Reading, wrote: Reading) -> list[Mark]:
    """Negated findings of which the other text says nothing at all."""
    missing = _unpaired(told, _Mentions(wrote.mentions))
    allowed = len(_unpaired(wrote, _Mentions(told.mentions))) + max(0, _normals(wrote) - _normals(told))
    said = {word[:4] for one in wrote.mentions for word in one.words}
    silent = [one for one in missing if said.isdisjoint(word[:4] for word in one.words)]
    return [_mark(told, one.start, one.end, "negation") for one in silent[allowed:]]


_NORMAL = re.compile(
    r"(?i)\b(?:intact|normal|clear|unremarkable|stable|nad|well|soft|snt)\b|正常|清晰|良好|稳定|通畅|完整"
)


def _normals(reading: Reading) -> int:
    """How often a text says that something is normal, which is another way to say that nothing is wrong."""
    return len(_NORMAL.findall(reading.text[:LONGEST]))


def _unpaired(reading: Reading, others: _Mentions) -> list[Mention]:
    """Negated mentions that share no word with a negated one of the other text: said otherwise, or not there."""
    return [
        one
        for one in reading.mentions
        if one.polarity == "negated" and not any(other.polarity != "present" for other in others.like(one.words))
    ]
