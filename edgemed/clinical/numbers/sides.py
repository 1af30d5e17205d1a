"""Which side a text speaks of, and of what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgemed.clinical.folded import Folded
from edgemed.clinical.numbers.clauses import CUES, SIDES, Clause, content
from edgemed.clinical.numbers.times import EYE

_LETTER_SIDE = re.compile(r"(?<![a-z0-9#'/.-])(?<![a-z] [&])(?P<side>[lr])(?![a-z0-9'/-]|\.[a-z]| wave)")
_MORE = re.compile(r"(?<![a-z])(?P<more>[lr]|left|right) ?> ?(?:[lr]|left|right)(?![a-z])")
_OF_EYE = re.compile(r"(?<![a-z])(?:od|os|ou|[rl]e)(?![a-z])")
_LESS = {"xlessr": "right", "xlessl": "left"}


@dataclass(frozen=True, slots=True)
class Side:
    """A side and the words that it belongs to. `soft`: the lesser side of "L > R", which need not be told.

    own: the words stand in its own clause, not in the one before.
    """

    side: str
    words: frozenset[str]
    start: int
    end: int
    soft: bool = False
    own: bool = True
    negated: bool = False


def spell_out(folded: Folded) -> None:
    """Turns L, R and "L > R" into words."""
    folded.replace(_MORE, lambda match: " left xlessr " if match["more"][0] == "l" else " right xlessl ")
    folded.replace(_LETTER_SIDE, _letter_side)
    folded.replace(_OF_EYE, _eye_side)


def _eye_side(match: re.Match[str]) -> str:
    """RE, LE, OD, OS and OU; OD is an overdose where no eye is spoken of."""
    near = 200 if match[0][1] == "e" else 80
    if not EYE.search(match.string, max(0, match.start() - near), match.end() + near):
        return match[0]
    eyes = {"od": " right eye ", "re": " right eye ", "os": " left eye ", "le": " left eye ", "ou": " bilateral eye "}
    return eyes[match[0]]


def _letter_side(match: re.Match[str]) -> str:
    """L and R; but R alone before a number is a respiratory rate."""
    text, end = match.string, match.end()
    if (
        match["side"] == "r"
        and _NUMBER_NEXT.match(text, end)
        and not _LEFT_TOO.search(text, max(0, end - 60), end + 60)
    ):
        return match[0]
    return " left " if match["side"] == "l" else " right "


_NUMBER_NEXT = re.compile(r" *#")
_LEFT_TOO = re.compile(r"(?<![a-z])l(?![a-z])|left")


def sides(sentence: list[Clause], folded: Folded) -> Iterator[Side]:
    """The sides with the words around them, up to the next side or negation in the clause."""
    carried: frozenset[str] = frozenset()
    for clause in sentence:
        for word, start, end in clause.words:
            if word in _LESS:
                yield Side(_LESS[word], frozenset(), *folded.span(start, end), soft=True)
        places = [n for n, (word, _, _) in enumerate(clause.words) if word in SIDES]
        for nth, place in enumerate(places):
            word, start, end = clause.words[place]
            stop = places[nth + 1] if nth + 1 < len(places) else len(clause.words)
            first = places[nth - 1] + 1 if nth else 0
            near = [w for w, _, _ in clause.words[max(first, place - 4) : min(stop, place + 5)]]
            if nth and content([w for w, _, _ in clause.words[place + 1 : stop]]):
                near = [
                    w for w, _, _ in clause.words[place : min(stop, place + 5)]
                ]  # what is before is the last side's
            cue = next((n for n, w in enumerate(near) if w in CUES), len(near))
            words = content(near[:cue]) - {word} or content(near) - {word}
            own = bool(words) or cue < len(near)
            if not words:
                words = frozenset({"xback"}) if cue < len(near) else carried
            lesser = "than" in [w for w, _, _ in clause.words[max(first, place - 3) : place]]
            yield Side(word, words, *folded.span(start, end), soft=lesser, own=own, negated=cue < len(near))
        carried = content([w for w, _, _ in clause.words[-5:]]) - set(SIDES) or carried
