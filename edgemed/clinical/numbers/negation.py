"""What a text says is there, and what it says is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from edgemed.clinical.folded import Folded
from edgemed.clinical.numbers import vocabulary
from edgemed.clinical.numbers.clauses import CUES, SIDES, Clause, content, stem

Polarity = Literal["present", "negated", "unclear"]
_NEW_STATEMENT = ("but", "who", "which", "because", "while", "whereas", "then")


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding and whether it is there; text[start:end] of the original.

    `subject`: "right breast" of "right breast: no mass".
    """

    words: frozenset[str]
    polarity: Polarity
    start: int
    end: int
    subject: frozenset[str] = frozenset()


def mentions(sentence: list[Clause], folded: Folded, zeros: set[int]) -> Iterator[Mention]:
    """Negation and its scope, clause by clause."""
    state: Polarity = "present"
    denied = False
    open_lists = _before_back_cues(sentence)
    for n, clause in enumerate(sentence):
        if clause.before in _NEW_STATEMENT:
            state, denied = "present", False
        words = clause.texts
        cue = next((i for i, word in enumerate(words) if word in CUES), None)
        if cue is None:
            if state != "present":
                state = _continued(sentence, n, denied)
            doubtful = n in open_lists or not zeros.isdisjoint(clause.items)  # "mucositis 0"
            shown: Polarity = "unclear" if state == "present" and doubtful else state
            yield from _mention(clause, 0, len(words), shown, folded)
            continue
        listed = n + 1 < len(sentence) and sentence[n + 1].before in ("or", "/")
        behind = bool(content(words[cue + 1 :])) or (
            (words[cue] == "xden" or listed) and words[cue] not in ("xback", "xout") and cue + 1 < len(words)
        )
        if words[cue] in ("xback", "xout") or not behind:
            unclear = words[cue] == "xout" and behind  # "DVT ruled out", but "ultrasound ruled out a DVT"
            first = max((stop for stop in clause.stops if stop < cue), default=0)
            yield from _mention(clause, first, cue, "unclear" if unclear else "negated", folded, cue)
            yield from _mention(clause, cue + 1, len(words), "unclear", folded)
            state = "present"
            continue
        yield from _mention(clause, 0, cue, "unclear", folded)
        shared = (
            words[-1] in vocabulary.listed("sites")
            and n + 1 < len(sentence)
            and sentence[n + 1].before in ("or", "and", "/", "nor")
        )
        yield from _mention(clause, cue + 1, len(words), "unclear" if shared else "negated", folded, cue)
        state, denied = ("present" if words[cue] == "xnot" else "negated"), words[cue] == "xden"


def _before_back_cues(sentence: list[Clause]) -> set[int]:
    """Clauses that a cue at the end of their list may negate: the first of "cough and diarrhoea were absent"."""
    found: set[int] = set()
    for n, clause in enumerate(sentence):
        if (
            n
            and clause.before in ("and", "or", "、", ",", "，", "/")
            and "xback" in clause.texts
            and (
                clause.before in ("、", ",", "，", "/")
                or sentence[n - 1].before == ","
                or not {"are", "were", "both"}.isdisjoint(clause.texts)
            )
        ):
            for m in range(n - 1, max(-1, n - 8), -1):
                if (
                    len(sentence[m].words) > 3
                    or sentence[m].stops
                    or any(word in CUES or word == "xyes" for word, _, _ in sentence[m].words)
                ):
                    break
                found.add(m)
    return found


def _continued(sentence: list[Clause], n: int, denied: bool) -> Polarity:
    """Whether clause `n`, which follows a negated one, is part of its list."""
    clause = sentence[n]
    if _breaks(clause):
        return "present"
    if denied or clause.before in ("、", "or", "/"):
        return "negated"
    if clause.before == "，":  # a Chinese list is seldom joined by it
        long = sum(end - start for _, start, end in clause.words) > 4
        return "present" if long or any(word in SIDES for word, _, _ in clause.words) else "unclear"
    for later in sentence[n + 1 : n + 12]:  # "no a, b or c" negates b as well
        if any(word in CUES for word, _, _ in later.words) or _breaks(later):
            break
        if later.before == "or":
            return "negated"
    return "unclear"


@cache
def _stating() -> frozenset[str]:
    words = vocabulary.listed("stating")
    return words | {stem(word) for word in words}


def _breaks(clause: Clause) -> bool:
    words = clause.texts
    return len(words) > 6 or bool(clause.stops) or not _stating().isdisjoint(words)


def _mention(
    clause: Clause, first: int, last: int, polarity: Polarity, folded: Folded, cue: int | None = None
) -> Iterator[Mention]:
    """The finding in words[first:last]; one for each, if several symptoms stand there without a comma."""
    words = clause.words[first:last]
    subject = content([word for word, _, _ in clause.words[:first]]) if cue is not None else frozenset[str]()
    context = vocabulary.listed("context")
    if polarity == "negated":  # "no fluid on ultrasound": where it was looked for is no part of the finding
        cut = next((n for n, one in enumerate(words) if one[0] in context and n), len(words))
        subject |= content([word for word, _, _ in words[cut:]])
        words = words[:cut]
    finding = content([word for word, _, _ in words])
    if not finding:
        return
    known = vocabulary.symptoms()
    symptoms = [one for one in words if one[0] in known or one[0][0] >= "\u4e00"] if polarity != "present" else []
    if not any(one[0] in known for one in symptoms):
        symptoms = []
    for some in [[one] for one in symptoms] if len(symptoms) > 1 else [words]:
        spans = some + ([clause.words[cue]] if cue is not None else [])
        start, end = min(s for _, s, _ in spans), max(e for _, _, e in spans)
        own = content([some[0][0]]) if len(symptoms) > 1 else finding
        yield Mention(own, polarity, *folded.span(start, end), subject)
