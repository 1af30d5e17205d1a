"""What changed "from A to B" in a note, where the source has B before A."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

from edgemed.clinical.numbers.amounts import marked
from edgemed.clinical.numbers.marks import Mark
from edgemed.clinical.numbers.reading import Measured, Reading

_FROM = re.compile(r"(?:\bfrom|由|从) ?$", re.IGNORECASE)
_TO = re.compile(r" ?(?:to|[升降增减]?[到至为]|上升到|下降到|增加到|减少到|→|->) ?", re.IGNORECASE)
_EARLIER = re.compile(
    r"\b(?:was|were|from|prev\w*|before|last|pre|earlier|baseline|of)\b|前次|上次|初诊|上周|术前|原|此前|<-|←|↓|↑",
    re.IGNORECASE,
)
_NEAR = 40


def reversed_changes(told: Reading, wrote: Reading) -> list[Mark]:
    """The changes, from the first quantity to the second.

    The source has each of the two once, with no word such as "was" near them.
    """
    places: dict[str, list[Measured]] = defaultdict(list)
    for one in told.measured:
        for _, value in one.quantity.values:
            places[value].append(one)
    marks = []
    for one, other in pairwise(one for one in wrote.measured if not one.quantity.soft):
        before, after = one.quantity, other.quantity
        if not _TO.fullmatch(wrote.text, before.end, after.start):
            continue
        if not _FROM.search(wrote.text, max(0, before.start - 6), before.start):
            continue
        theirs = [_only(places, some) for some in (one, other)]
        if theirs[0] is None or theirs[1] is None:
            continue
        first, second = theirs[0].quantity, theirs[1].quantity
        near = told.text[max(0, second.start - 8) : first.end + 8]
        if 0 <= first.start - second.end < _NEAR and not _EARLIER.search(near):
            marks.append(marked(wrote, before.start, after.end, "number"))
    return marks


def _only(places: dict[str, list[Measured]], one: Measured) -> Measured | None:
    """The one place of the source that has all values of the quantity."""
    found = [places[value] for _, value in one.quantity.values]
    return found[0][0] if found and all(len(some) == 1 and some[0] is found[0][0] for some in found) else None
