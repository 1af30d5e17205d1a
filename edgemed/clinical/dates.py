"""Dates as people write them in notes."""

from __future__ import annotations

import re
from datetime import date

Dates = frozenset[date]
"""All readings of a written date: 03/04/1950 has two."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})")
_COMPACT = re.compile(r"(?<!\d)((?:19|20)\d{2})(\d{2})(\d{2})(?!\d)")
_YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})\s*[-/. ]\s*(\d{1,2})\s*[-/. ]\s*(\d{4}|\d{2})(?!\d)")
_NAMED = re.compile(r"(?<!\d)(\d{1,2})(?:st|nd|rd|th)?[\s./-]*(?:of\s+)?([a-z]{3,9})[\s.,/-]*(\d{4}|\d{2})(?!\d)", re.I)
_NAMED_FIRST = re.compile(r"\b([a-z]{3,9})\.?\s*(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})(?!\d)", re.I)


def dates_of(text: str) -> Dates:
    """Every reading of the first date in `text`; empty if there is none. A year of two digits is of either century."""
    for pattern, order in ((_YEAR_FIRST, "ymd"), (_COMPACT, "ymd"), (_NAMED, "dby"), (_NAMED_FIRST, "bdy")):
        if match := pattern.search(text):
            parts = dict(zip(order, match.groups(), strict=True))
            month = parts.get("m") or _month(parts.get("b", ""))
            return _dates(parts["y"], month, parts["d"])
    if match := _YEAR_LAST.search(text):
        first, second, year = match.groups()
        return _dates(year, second, first) | _dates(year, first, second)
    return frozenset()


def _month(word: str) -> str:
    start = word[:3].lower()
    return str(_MONTHS.index(start) + 1) if start in _MONTHS else ""


def _dates(year: str, month: str, day: str) -> Dates:
    years = [int(year)] if len(year) == 4 else [1900 + int(year), 2000 + int(year)]
    found = set()
    for each in years:
        try:
            found.add(date(each, int(month), int(day)))
        except ValueError:
            continue
    return frozenset(found)
