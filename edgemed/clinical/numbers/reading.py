"""What a text says, in the form in which two texts are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgemed.clinical.folded import LONGEST, Folded
from edgemed.clinical.numbers import quantities, spelled, vocabulary
from edgemed.clinical.numbers.clauses import SIDES, Clause, content, sentences
from edgemed.clinical.numbers.negation import Mention, mentions
from edgemed.clinical.numbers.quantity import PER_DAY, Quantity
from edgemed.clinical.numbers.sides import Side, sides, spell_out

_SIDES = frozenset(SIDES)
_NORMAL = re.compile(
    r"(?i)\b(?:intact|normal|clear|unremarkable|stable|nad|well|soft|snt|unaffected|wnl|within normal limits|unchanged"
    r"|healthy|fine|ok)\b"
    r"|(?<![\d./])0(?:/\d|(?![\d./%]))|(?:\bt|\btemp|\btemperature|体温)[ :：]{0,2}(?:36\.\d|37\.[0-4])"
    r"|正常|清晰|良好|稳定|通畅|完整"
)


@dataclass(slots=True)
class Measured:
    """A quantity and what it measures, as far as the words near it tell.

    own: `topics` stand in its own clause, not in the one before. side: the one side that its clause names, if any.
    """

    quantity: Quantity
    topics: frozenset[str] = frozenset()
    own: bool = False
    side: str = ""


@dataclass(slots=True)
class Reading:
    """What a text says. Positions are those of the original text.

    normals: how often it says that something is normal, which is another way to say that nothing is wrong.
    cut: not read to its end.
    """

    text: str
    measured: list[Measured]
    sides: list[Side]
    mentions: list[Mention]
    normals: int = 0
    cut: bool = False


class Reader:
    """Reads a text line by line, and a line again only if it was not in the text before."""

    def __init__(self) -> None:
        self._lines: dict[str, Reading] = {}

    def read(self, text: str) -> Reading:
        """Reads the first `folded.LONGEST` characters of `text`."""
        known, self._lines = self._lines, {}
        whole = Reading(text, [], [], [], cut=len(text) > LONGEST)
        start = 0
        for line in text[:LONGEST].split("\n"):
            if line:
                self._lines[line] = reading = self._lines.get(line) or known.get(line) or _read(line)
                _append(whole, reading, start)
            start += len(line) + 1
        return whole


def read(text: str) -> Reading:
    """Reads the first `folded.LONGEST` characters of `text`, a line at a time: a sentence ends with its line."""
    return Reader().read(text)


def _append(whole: Reading, line: Reading, start: int) -> None:
    """Adds what a line says, which begins at `start`."""
    whole.normals += line.normals
    whole.cut |= line.cut
    for one in line.measured:
        q = one.quantity
        moved = Quantity(q.start + start, q.end + start, q.readings, q.soft, q.clock, q.ratio, q.support, q.values)
        whole.measured.append(Measured(moved, one.topics, one.own, one.side))
    whole.sides.extend(
        Side(s.side, s.words, s.start + start, s.end + start, s.soft, s.own, s.negated) for s in line.sides
    )
    whole.mentions.extend(
        Mention(m.words, m.polarity, m.start + start, m.end + start, m.subject) for m in line.mentions
    )


def _read(text: str) -> Reading:
    folded = Folded.of(text)
    spelled.to_digits(folded)
    found = quantities.read(folded)
    places = [folded.span(one.start, one.end) for one in found]
    _blank(folded, found)
    for one, place in zip(found, places, strict=True):
        one.start, one.end = place
    measured = [Measured(one) for one in found]
    vocabulary.to_canonical(folded)
    spell_out(folded)
    reading = Reading(text, measured, [], [], len(_NORMAL.findall(text)))
    reading.cut = len(found) >= quantities.MOST
    zeros = {n for n, one in enumerate(found) if one.readings[0][0].raw == "0"}
    for sentence in sentences(folded, [one.soft for one in found]):
        _measure(sentence, measured)
        reading.sides.extend(sides(sentence, folded))
        reading.mentions.extend(mentions(sentence, folded, zeros))
    return reading


def _blank(folded: Folded, found: list[Quantity]) -> None:
    """Puts #3# where the fourth quantity stood, so that its words are not read again."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    last = 0
    for index, one in enumerate(found):
        if one.start < last or (one.soft and one.readings[0][0].unit is not PER_DAY):
            continue
        new = f" #{index}# "
        parts += (folded.text[last : one.start], new)
        starts += folded.starts[last : one.start] + [folded.starts[one.start]] * len(new)
        ends += folded.ends[last : one.start] + [folded.ends[one.end - 1]] * len(new)
        last = one.end
    folded.text = "".join((*parts, folded.text[last:]))
    folded.starts = starts + folded.starts[last:]
    folded.ends = ends + folded.ends[last:]


def _places(items: list[str | int]) -> dict[int, str]:
    """The side of each quantity in a clause of two sides: the one before it, if the first side precedes the first
    quantity, else the one behind it ("L 70 dB, R 15 dB" and "6/9 right, 6/5 left").
    """
    first = next((item for item in items if isinstance(item, int) or item in _SIDES), "")
    places: dict[int, str] = {}
    side = ""
    for item in items if isinstance(first, str) else reversed(items):
        if isinstance(item, int):
            places[item] = side
        elif item in _SIDES:
            side = item
    return places


def _measure(sentence: list[Clause], measured: list[Measured]) -> None:
    """The words before each quantity in its clause, else those behind it, else those of the clause before.

    All words of the clause, if it has one quantity only, besides frequencies.
    """
    carried: frozenset[str] = frozenset()
    for clause in sentence:
        runs: list[list[str]] = [[]]
        indices: list[int] = []
        for item in clause.items:
            if isinstance(item, int):
                indices.append(item)
                runs.append([])
            else:
                runs[-1].append(item)
        contents = [content(run[-6:]) for run in runs]
        alone = sum(measured[index].quantity.readings[0][0].unit is not PER_DAY for index in indices) <= 1
        named = {word for word in clause.texts if word in SIDES}
        places = _places(clause.items) if len(named) > 1 else {}
        for n, index in enumerate(indices):
            if alone:
                own = frozenset[str]().union(*contents)
            else:
                own = contents[n] or (contents[n - 1] if n and not contents[n + 1] else contents[n + 1])
            one = measured[index]
            own -= _SIDES
            one.topics, one.own = own or carried, bool(own)
            one.side = next(iter(named)) if len(named) == 1 else places.get(index, "")
        carried = next((words for words in contents if words), carried)
