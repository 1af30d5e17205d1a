"""Applies all rules to a text, and makes one list of what they find."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.redaction.addresses import addresses
from edgemed.clinical.redaction.codes import codes
from edgemed.clinical.redaction.dates import dates
from edgemed.clinical.redaction.folding import folded, lowered
from edgemed.clinical.redaction.han_names import again, han_names
from edgemed.clinical.redaction.han_roles import names_beside
from edgemed.clinical.redaction.identifier import Identifier, merged
from edgemed.clinical.redaction.known import known_values
from edgemed.clinical.redaction.known_names import fits
from edgemed.clinical.redaction.labelled import labelled
from edgemed.clinical.redaction.latin_names import LatinNames
from edgemed.clinical.redaction.numbers import numbers
from edgemed.clinical.redaction.places import places

_DIGIT = re.compile(r"[\d@.:_-]")


def find(text: str, header: CaseHeader) -> list[Identifier]:
    """What the rules find in `text`, in its order and without overlaps."""
    plain = folded(text)
    low = lowered(plain)
    found = [
        *known_values(plain, low, header),
        *dates(plain, low),
        *places(plain),
        *addresses(plain),
        *_names(plain, low, header),
    ]
    if _DIGIT.search(low):
        found += [*labelled(low), *numbers(low), *codes(low)]
    return _trimmed(text, _joined(text, merged(found)))


def _names(text: str, low: str, header: CaseHeader) -> Iterator[Identifier]:
    latin = LatinNames(text, low)
    han = [] if text.isascii() else [*han_names(text), *names_beside(text)]
    for names, others in ((latin.found(), latin.again), (han, lambda names: again(text, names))):
        spans = dict.fromkeys((name.start, name.end) for name in (*names, *others(names)))
        written = {text[start:end] for start, end in spans}
        theirs = {word for name in written if fits(name, header) for word in _words(name)}
        known = {name for name in written if theirs.issuperset(_words(name))}
        yield from (Identifier(start, end, "name", text[start:end] in known) for start, end in spans)


def _words(name: str) -> list[str]:
    return name.casefold().replace(",", " ").split()


def _joined(text: str, found: list[Identifier]) -> list[Identifier]:
    """Names with nothing but a space between them as one."""
    whole: list[Identifier] = []
    for _, beside in groupby(found, _Neighbours(text)):
        names = list(beside)
        known = any(name.known for name in names)
        whole.append(Identifier(names[0].start, names[-1].end, names[0].kind, known) if len(names) > 1 else names[0])
    return whole


class _Neighbours:
    """The key of a name is that of the one before it if only a space is between them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._key = 0
        self._last = Identifier(0, 0, "other")

    def __call__(self, each: Identifier) -> int:
        last, self._last = self._last, each
        beside = last.kind == each.kind == "name" and self._text[last.end : each.start] == " "
        self._key += not beside
        return self._key


def _trimmed(text: str, found: list[Identifier]) -> list[Identifier]:
    """Without white space at their ends, and without those that are nothing else."""
    trimmed = []
    for each in found:
        value = text[each.start : each.end]
        if value == value.strip():
            trimmed.append(each)
        elif value.strip():
            start = each.start + len(value) - len(value.lstrip())
            trimmed.append(replace(each, start=start, end=start + len(value.strip())))
    return trimmed
