"""Numbers, units, sides and negations of a written text compared with its source. NOT CLINICALLY REVIEWED.

Everything here is a comparison of words. It finds what differs; it does not know what is right.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from edgemed.clinical.numbers import vocabulary
from edgemed.clinical.numbers.amounts import CANDIDATES, displaced, marked, numbers, swapped
from edgemed.clinical.numbers.changes import reversed_changes
from edgemed.clinical.numbers.marks import Checked, Mark
from edgemed.clinical.numbers.negation import Mention
from edgemed.clinical.numbers.reading import Reader, Reading, read
from edgemed.clinical.numbers.sides import Side


class Source:
    """A source, read once, and a note that is compared with it again after each edit.

    Only the lines of the note that changed are read again.
    """

    def __init__(self, text: str) -> None:
        self._reading = read(text)
        self._notes = Reader()

    def check(self, written: str) -> Checked:
        """What `written` adds to the source, and what it drops."""
        return _compared(self._reading, self._notes.read(written))


def check(source: str, written: str) -> Checked:
    """What `written` adds to `source`, and what it drops."""
    return Source(source).check(written)


def _compared(told: Reading, wrote: Reading) -> Checked:
    added = [
        *numbers(told, wrote),
        *displaced(told, wrote),
        *swapped(told, wrote),
        *reversed_changes(told, wrote),
        *_sides(told, wrote),
        *_negations(told, wrote),
    ]
    dropped = [*numbers(wrote, told, lenient=True), *_dropped_sides(told, wrote), *_dropped_negations(told, wrote)]
    return Checked(_once(added), _once(dropped), told.cut or wrote.cut)


def absent(sources: Sequence[str], answer: str, known: Reader | None = None) -> list[str]:
    """The numbers of `answer`, with their units, that are in none of `sources`; each once, in order.

    `known`: has read earlier sources of the same chat, and reads only the lines that they did not have.
    """
    told, wrote = (known or Reader()).read("\n".join(sources)), read(answer)
    return list(dict.fromkeys(mark.text for mark in numbers(told, wrote)))


def _once(marks: Iterable[Mark]) -> list[Mark]:
    """Sorted, with one mark where several overlap."""
    kept: list[Mark] = []
    for mark in sorted(marks):
        if not kept or mark.start >= kept[-1].end or (mark.kind in ("side", "negation") and mark.kind != kept[-1].kind):
            kept.append(mark)
    return kept


def _sides(told: Reading, wrote: Reading) -> list[Mark]:
    """Sides that `told` does not have, or has for other words. Words of many sides ("eye") count for less."""
    known = {one.side for one in told.sides}
    by_word: dict[str, list[Side]] = defaultdict(list)
    for one in told.sides:
        for word in one.words:
            by_word[word].append(one)
    uses = Counter(word for reading in (told, wrote) for one in reading.sides for word in one.words)
    normal = {one.side for one in told.sides if not one.words.isdisjoint(_NORMAL)}
    measured = {(pair, one.side) for one in told.measured for pair in one.quantity.values}
    marks = []
    for one in wrote.sides:
        if one.soft:
            continue
        overlaps: dict[str, float] = defaultdict(float)
        for word in one.words:
            for other in by_word[word][:CANDIDATES]:
                if other.negated and not one.negated and other.side == one.side:
                    continue  # no pain on the left is no pain on the left
                weight = sum(1 / uses[shared] for shared in one.words & other.words)
                overlaps[other.side] = max(overlaps[other.side], weight)
        same = overlaps[one.side]
        if same:  # both lungs have breath sounds, and the left lung has them too
            overlaps.pop("bilateral", None)
        best = max(overlaps.values(), default=0)
        if one.side == "bilateral" and (not best or known >= {"left", "right"} or one.side in known):
            continue  # swollen legs: often said by a plural alone
        if (not one.words.isdisjoint(_NORMAL) and one.side in normal) or _agrees(one, wrote, measured):
            continue
        if one.side not in known or (best > 1.4 * same if one.own else best and not same and len(one.words) > 1):
            marks.append(marked(wrote, one.start, one.end, "side"))
    return marks + _sides_of_numbers(told, wrote)


MOST = 500
"""Denied findings of a note without a counterpart in the source that are looked at."""
_SEPARATOR = re.compile(r"[,;\n，。；、]|\.(?!\d)")
_NORMAL = frozenset({"normal", "xback", "clear", "quiet"})
"""What is often said of the other side by its name alone."""


def _agrees(one: Side, wrote: Reading, measured: set[tuple[tuple[str, str], str]]) -> bool:
    """Whether the side's own quantity, close to it, has the same side in the source."""
    return any(
        other.side == one.side
        and -12 < other.quantity.start - one.end < 12 + one.end - one.start
        and not _SEPARATOR.search(wrote.text[min(one.end, other.quantity.end) : max(one.start, other.quantity.start)])
        and any((pair, one.side) in measured for pair in other.quantity.values)
        for other in wrote.measured
    )


def _sides_of_numbers(told: Reading, wrote: Reading) -> list[Mark]:
    """Quantities that stand beside one side in `wrote` and beside the other wherever `told` has them."""
    beside: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in told.measured:
        for key in one.quantity.values:
            beside[key].add(one.side)
    marks = []
    for one in wrote.measured:
        if one.side in ("left", "right") and not one.quantity.soft and not one.quantity.clock:
            theirs = set().union(*(beside[key] for key in one.quantity.values))
            if theirs in ({"left"}, {"right"}) and one.side not in theirs:
                marks.append(marked(wrote, one.quantity.start, one.quantity.end, "side"))
    return marks


def _dropped_sides(told: Reading, wrote: Reading) -> list[Mark]:
    """Sides that `wrote` mentions less often by their words; "bilateral" is often said by a plural alone."""
    left = Counter(one.side for one in wrote.sides)
    marks = []
    for one in told.sides:
        if one.side == "bilateral" or one.soft:
            continue
        if (
            any(other.side == one.side and other.words & one.words for other in wrote.sides[:CANDIDATES])
            or left[one.side]
        ):
            continue
        marks.append(marked(told, one.start, one.end, "side"))
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
        return [mention for some in lists[:3] for mention in some[:CANDIDATES]]


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
            marks.append(marked(wrote, found.start, found.end, "negation"))
    for one in wrote.mentions:
        if one.polarity == "negated" and _contradicted(one, text, source):
            marks.append(marked(wrote, one.start, one.end, "negation"))
    surplus, missing = _unpaired(wrote, source), _unpaired(told, text)
    allowed = len(missing) + max(0, told.normals - wrote.normals)
    symptoms = vocabulary.symptoms()
    said = {word[:4] for one in told.mentions for word in one.words}
    surplus = [
        one
        for one in surplus[:MOST]
        if (not symptoms.isdisjoint(one.words) and said.isdisjoint(word[:4] for word in one.words))
        or _only_present(source.like(one.words), one.words)
    ]
    return marks + [marked(wrote, one.start, one.end, "negation") for one in surplus[allowed:]]


def _only_present(others: list[Mention], words: frozenset[str]) -> bool:
    """Whether the mentions say that it is there, and none says something else."""
    return bool(others) and all(one.polarity == "present" and _covers(one, words) for one in others)


def _dropped_negations(told: Reading, wrote: Reading) -> list[Mark]:
    """Negated findings of which the other text says nothing at all."""
    missing = _unpaired(told, _Mentions(wrote.mentions))
    allowed = len(_unpaired(wrote, _Mentions(told.mentions))) + max(0, wrote.normals - told.normals)
    said = {word[:4] for one in wrote.mentions for word in one.words}
    silent = [one for one in missing if said.isdisjoint(word[:4] for word in one.words)]
    return [marked(told, one.start, one.end, "negation") for one in silent[allowed:]]


def _unpaired(reading: Reading, others: _Mentions) -> list[Mention]:
    """Negated mentions that share no word with a negated one of the other text: said otherwise, or not there."""
    return [
        one
        for one in reading.mentions
        if one.polarity == "negated" and not any(other.polarity != "present" for other in others.like(one.words))
    ]
