"""Where a line of text may be broken, so that no number is parted from its unit or from its comparison.

"2.5" at the end of one line and "mg" at the start of the next can be misread, and so can "eGFR <" above "30". Lines are
therefore broken by our own rules, on the screen only: the text itself gets no no-break characters.
"""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum


class Break(IntEnum):
    """How bad a break before a character is. A line is broken at the least bad place that fits."""

    FREE = 0
    """Between words."""
    LOOSE = 1
    """Between a number and the next word, or inside a number such as "10 000"."""
    BOUND = 2
    """Between a number and its unit, or a comparison and its number."""
    FOLD = 3
    """Inside a word."""
    TORN = 4
    """Inside a number, or inside a number with its unit."""
    NEVER = 5


_LATIN_UNIT = (
    r"(?:%|‰|℃|℉|°\s?[CF]?|[kKMmµμnpcdGT]?(?:g|l|L|m|mol|s|J|Pa|Hz|Gy|Sv|eq|Eq|bar|IU|U|cal|osm|Osm|M|N|W|V|A|B|Bq)"
    r"|mcg|mm\s?Hg|cm\s?H[2₂]O|bpm|[Uu]nits?|IE|ppm|rpm|[hd]|hrs?|hours?|mins?|minutes?|secs?|seconds?|days?|wks?"
    r"|weeks?|mths?|months?|yrs?|years?|tabs?|tablets?|caps?|capsules?|puffs?|drops?|doses?|times|amp(?:oule)?s?"
    r"|vials?|sachets?|sprays?|in|ft|lbs?|oz|°|x)"
)
_CHINESE_UNIT = (
    r"(?:国际单位|毫米汞柱|毫摩尔|微摩尔|纳摩尔|摩尔|摄氏度|小时|分钟|个月|单位|毫克|微克|纳克|千克|公斤|毫升|微升|厘米|毫米"
    r"|千卡|周岁|小袋|克|升|米|片|粒|支|瓶|袋|包|丸|剂|滴|喷|揿|吸|次|天|日|周|月|年|岁|秒|分|时|度|倍|斤|例|级|期|型|枚|针|贴)"
)
_UNIT = rf"(?:{_LATIN_UNIT}(?![A-Za-z])|{_CHINESE_UNIT})"
_MORE_UNITS = rf"(?:\s?[/／·*^]\s?(?:[\d.²³⁻¹\-]+\s?)?{_UNIT}?[\d²³⁻¹\-]*)*"
_DOSE = re.compile(rf"[\d零〇一二两三四五六七八九十百千万半][\])）]?\s*{_UNIT}{_MORE_UNITS}")
_DIGITS = re.compile(r"\d[\d.,:：]*\d")

# (pattern, how bad a break at any place inside its match becomes)
_JOINED = (
    (re.compile(r"\d\s+(?=[\dA-Za-zµμ])"), Break.LOOSE),
    (re.compile(r"\d\s+(?:to|or)\s+(?=\d)"), Break.LOOSE),
    (re.compile(r"\d\s*[至到或—]\s*(?=\d)"), Break.LOOSE),
    (re.compile(r"\d[^\W\d_A-Za-z]"), Break.LOOSE),
    (re.compile(r"\d\s+(?=[^\s\w])"), Break.BOUND),
    (re.compile(r"[<>≤≥≦≧⩽⩾=≈~～＜＞﹤﹥±+−–×*/÷-]\s*(?=[\d.])"), Break.BOUND),
    (re.compile(r"(?<!\w)[xX]\s+(?=\d)"), Break.BOUND),
    (re.compile(r"\s+(?=[/／])|[/／]\s+"), Break.BOUND),
    (re.compile(r"[<>]\s*=|[<>≤≥≦≧＜＞]\s+(?=[-+−])"), Break.BOUND),
)

_OPENING = frozenset("（【「『《〈“‘([{〔")
_CLOSING = frozenset("，。、；：？！）】」』》〉”’％‰℃…·,.;:!?)]}〕%⟩")


def breaks(text: str) -> list[Break]:
    """For every index of `text`, how bad a line break before that character is."""
    found = [_plain_break(before, after) for before, after in zip(" " + text, text, strict=False)]
    for pattern, badness in _JOINED:
        for match in pattern.finditer(text):
            _worsen(found, match.start() + 1, match.end() + 1, badness)
    for match in _DOSE.finditer(text):
        for index in range(match.start() + 1, match.end()):
            found[index] = max(found[index], Break.BOUND if text[index - 1].isspace() else Break.TORN)
    for match in _DIGITS.finditer(text):
        _worsen(found, match.start() + 1, match.end(), Break.TORN)
    return found


def _plain_break(before: str, after: str) -> Break:
    if after.isspace() or before == "\u200d" or (after > "\x7f" and unicodedata.category(after) in ("Mn", "Me", "Cf")):
        return Break.NEVER
    if before in " \t":
        return Break.FREE
    if before <= "\x7f" and after <= "\x7f":
        return Break.FOLD
    wide = _is_wide(before) or _is_wide(after)
    return Break.FREE if wide and after not in _CLOSING and before not in _OPENING else Break.FOLD


def _is_wide(character: str) -> bool:
    return character > "\x7f" and unicodedata.east_asian_width(character) in "WF"


def _worsen(found: list[Break], start: int, stop: int, badness: Break) -> None:
    for index in range(start, min(stop, len(found))):
        found[index] = max(found[index], badness)


def parted(before: str, after: str) -> bool:
    """Whether a line break between these texts would part a number from its unit or a comparison from its number."""
    joined = f"{before[-40:]} {after[:40]}"
    return breaks(joined)[min(len(before), 40) + 1] >= Break.BOUND
