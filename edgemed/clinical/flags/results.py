"""This patient's current results in free text, tables and pastes, English and Chinese. NOT CLINICALLY REVIEWED."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace

from edgemed.clinical.flags import current
from edgemed.clinical.flags.analytes import BY_KEY
from edgemed.clinical.flags.written import DATED, Result, Written, ends, normal, values_in


class Reading:
    """What a text says. The words around a value are looked at only for the analytes that are asked for."""

    def __init__(self, text: str) -> None:
        self._text = ends(text)
        self._plain = normal(self._text)
        self._written = list(values_in(self._plain))

    @property
    def written(self) -> list[Result]:
        """Every value with a name, whether it is a result of this patient or not."""
        return [written.result for written in self._written]

    def counted(self, analytes: Container[str], most: int | None = None) -> list[Result]:
        """This patient's results, in the order of the text, older ones among them; at most the last `most`."""
        of_analytes = [written for written in self._written if written.result.analyte in analytes]
        if not of_analytes or current.exam_question(self._plain):
            return []
        return [result for written in of_analytes[-(most or 0) :] if (result := self._judged(written))]

    def current(self, analytes: Container[str]) -> list[Result]:
        """The results without those of which a newer one of the same analyte is marked as such."""
        found = self.counted(analytes)
        newest = {result.analyte for result in found if result.when == "now"}
        undated = {result.analyte for result in found if not result.when}
        kept = [
            result
            for result in found
            if result.when == "now"
            or (result.when == "" and result.analyte not in newest)
            or (result.when == "recent" and result.analyte not in newest | undated)
        ]
        return [result for result in kept if not _older(result, kept)]

    def _judged(self, written: Written) -> Result | None:
        """The result with its time and its words; None if it is not this patient's, or is a past one."""
        result = written.result
        before = current.sentence_before(self._plain, result.start)
        after = current.sentence_after(self._plain, written.first_end)
        if not current.counts(before, after, written.comparator, written.link):
            return None
        when = result.when or current.when(before, after, written.link)
        day = DATED.search(written.link) or DATED.search(before[-24:])
        shown = self._text[result.start : result.end].strip()
        return None if when == "past" else replace(result, when=when, day=day[0] if day else "", shown=shown)


def read(text: str) -> list[Result]:
    """This patient's current results in `text`, in its order."""
    return Reading(text).current(BY_KEY)


def _older(result: Result, among: list[Result]) -> bool:
    """Whether a value of another day follows "on Monday 6.8 ...", in the order of the dates if they can be compared."""
    others = [other for other in among if other.analyte == result.analyte and other.day not in ("", result.day)]
    if not result.day or not others or any(not other.day for other in among if other.analyte == result.analyte):
        return False
    days = [_order(other.day) for other in (result, *others)]
    if all(len(day) == len(days[0]) > 0 for day in days):
        return any(day > days[0] for day in days[1:])
    return any(other.start > result.start for other in others)


def _order(day: str) -> tuple[int, ...]:
    """Comparable for dates and times written alike; empty for a day of the week."""
    numbers = [int(digits) for digits in re.findall(r"\d+", day)]
    return tuple(reversed(numbers)) if "/" in day else tuple(numbers)
