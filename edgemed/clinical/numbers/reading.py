"""What a text says, in the form in which two texts are compared."""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.clinical.folded import Folded
from edgemed.clinical.numbers import quantities, spelled, vocabulary
from edgemed.clinical.numbers.clauses import SIDES, Clause, content, sentences
from edgemed.clinical.numbers.negation import Mention, mentions
from edgemed.clinical.numbers.quantity import PER_DAY, Quantity
from edgemed.clinical.numbers.sides import Side, sides, spell_out


@dataclass(slots=True)
class Measured:
    """A quantity and what it measures, as far as the words near it tell.

    own: `topics` stand in its own clause, not in the one before. side: the one side that its clause names, if any.
    """

    quantity: Quantity
    topics: frozenset[str] = frozenset()
    own: bool = False
    side: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says. Positions are those of the original text."""

    text: str
    measured: list[Measured]
    sides: list[Side]
    mentions: list[Mention]


def read(text: str) -> Reading:
    """Reads the first `folded.LONGEST` characters of `text`."""
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
    reading = Reading(text, measured, [], [])
    for sentence in sentences(folded, [one.soft for one in found]):
        _measure(sentence, measured)
        reading.sides.extend(sides(sentence, folded))
        reading.mentions.extend(mentions(sentence, folded))
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
        for n, index in enumerate(indices):
            if alone:
                own = frozenset[str]().union(*contents)
            else:
                own = contents[n] or (contents[n - 1] if n and not contents[n + 1] else contents[n + 1])
            one = measured[index]
            one.topics, one.own = own or carried, bool(own)
            one.side = next(iter(named)) if len(named) == 1 else ""
        carried = next((words for words in contents if words), carried)
