"""Chinese numbers as they are dictated, without a word for what is counted: 血压九十八六十, 三点零乘二十四."""

from __future__ import annotations

import re

from edgemed.clinical.folded import Folded

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_D = "[一二两三四五六七八九]"
_HUNDREDS = rf"{_D}百(?:零{_D}|{_D}?十{_D}?|{_D}(?![十百千]))?"
_TENS = rf"{_D}?十{_D}?"
_CLOCK = re.compile(rf"(?<![零百十])(?P<h>二?十[一二三]?|{_D})点(?P<m>[二三四五]?十{_D}?)(?!{_D})")
_NUMBER = re.compile(
    rf"(?!十二指)(?P<whole>{_HUNDREDS}|{_TENS}|{_D}(?=点)|零(?=点))(?:点(?P<point>[零〇一二三四五六七八九]{{1,3}}))?"
)
_BY = re.compile(r"(?<=\d)乘以?(?=\d)")
_PAIR = re.compile(r"(?<=压)(?P<a>\d{2,3}) (?P<b>\d{2,3})(?!\d)")


def to_digits(folded: Folded) -> None:
    """Replaces the numbers of a dictated line; two in a row after 血压 are a blood pressure."""
    folded.replace(_CLOCK, lambda match: f"{_value(match['h'])}:{_value(match['m']):02}")
    folded.replace(_NUMBER, _number)
    folded.replace(_BY, lambda _: "×")
    folded.replace(_PAIR, lambda match: f"{match['a']}/{match['b']}")


def _number(match: re.Match[str]) -> str:
    point = "".join(str(_DIGITS[c]) for c in match["point"] or "")
    gap = " " if match.start() and match.string[match.start() - 1] in "十百零〇一二两三四五六七八九" else ""
    return f"{gap}{_value(match['whole'])}" + (f".{point}" if point else "")


def _value(han: str) -> int:
    """一百八 is 180, 一百零八 is 108."""
    total, digit = 0, 0
    for c in han:
        if c == "百":
            total, digit = total + 100 * digit, 0
        elif c == "十":
            total, digit = total + 10 * (digit or 1), 0
        else:
            digit = _DIGITS[c]
    return total + (10 * digit if len(han) == 3 and han[1] == "百" else digit)
