"""Dates in a text, all but a year that stands alone; ages over 89. English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.identifier import Identifier

UNITS = (
    r"mg|mcg|micrograms?|ug|µg|g|kg|ml|l|dl|units?|iu|mmol|meq|mm|cm|km|bpm|hz|%|tablets?|tabs?|caps?|puffs?"
    r"|drops?|times"
    r"|x|days?|weeks?|months?|years?|yrs?|hours?|hrs?|minutes?|mins?|doses?"
)
_NO_UNIT = rf"(?![ -]?(?:{UNITS})(?![a-z]))"
_MONTH = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
    "|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec"
)
_YEAR_FIRST = re.compile(r"(\d{4}) ?([-/.年]) ?(\d{1,2}) ?[-/.月] ?(\d{1,2})(?!\d)(?: ?[日号])?")
_YEAR_LAST = re.compile(rf"(\d{{1,2}}) ?([-/]|(?<! )\.(?! )) ?(\d{{1,2}}) ?\2 ?(\d{{4}}|\d{{2}})(?![\d]){_NO_UNIT}")
_COMPACT = re.compile(r"[12][90]\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)")
_MONTH_YEAR = re.compile(r"\d{1,2}[/.-](?:19|20)\d\d(?![\d/.-])|(?:19|20)\d\d[/.-](?:0[1-9]|1[0-2])(?![\d/.-])")
_CUED = re.compile(
    r"(?:on|dated?|admitted|seen|discharged|reviewed|clinic|due|appt|appointment|tci|edd|lmp|bloods?"
    r"|labs?|echo|ct|mri|cxr|xr|scan|uss|biopsy|f/u|ward round)[: ]{1,2}"
    rf"(?P<v>(\d{{1,2}})/(\d{{1,2}}))(?![\d/]| ?(?:ago|later|post|course|history|hx|pain|power|for)){_NO_UNIT}"
)
_DAY = re.compile(
    r"(?:on|until|till|by|from|before|after) the (?P<v>\d{1,2}(?:st|nd|rd|th))"
    r"(?=[.,;)\n]|$| at | of (?:this|next|last) )"
)
_NAMED = re.compile(rf"(?:{_MONTH})(?![a-z])")
_DAY_BEFORE = re.compile(
    r"(?<!\d)(?<![.,/:]\d)(?<![.,/:])(?P<day>\d{1,2})(?P<th>st|nd|rd|th)?(?:[ \t]{1,2}|[-/.,])?(?:of )?$"
)
_MORE_BEFORE = re.compile(
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?:the )?(?:\d{1,2}(?:st|nd|rd|th)? ?(?:-|/|to|and|&) ?)?"
    r"|(?<!\d)\d{1,2}(?:st|nd|rd|th)? ?(?:-|/|to|and|&) ?)$"
)
_YEAR_AFTER = re.compile(rf"(?:[.,]?[ ]{{1,2}}|[/.,-])?(?:(?:19|20)\d\d(?!\d)|'?\d\d(?!\d|[.,:/]\d){_NO_UNIT})")
_DAY_AFTER = re.compile(
    rf"\.?[ -]{{1,2}}(?:the )?\d{{1,2}}(?!\d|[.:/%]\d)(?P<th>st|nd|rd|th)?(?![a-z]){_NO_UNIT}"
    r"(?P<year>,? {1,2}(?:19|20)\d\d(?!\d))?"
)
_ONLY_YEAR = re.compile(r"(?:[.,]? {1,2}(?:of )?|[-/])(?:(?:19|20)\d\d(?!\d)|'\d\d(?!\d))")
_CUE_BEFORE = re.compile(
    r"(?:^|[^a-z])(?:in|since|last|next|until|till|this|early|late|mid|during|from|by|of|between|end of|start of)[ -]$"
)
_DIGITS = frozenset("0123456789")
_ORDINARY = frozenset({"may", "march", "mar", "dec", "sep", "jan", "jun"})
"""Words or abbreviations with other meanings: in lower case they need a year or an ordinal number beside them."""

_HAN = "〇零○一二三四五六七八九"
_HAN_MONTH = rf"(?:\d\d?|正|腊|冬|十[一二]?|[{_HAN[3:]}])"
_HAN_DAY = rf"(?:初?(?:\d\d?|[{_HAN[3:]}十廿卅][{_HAN[3:]}十]{{0,2}}))"
_HAN_DATE = re.compile(
    rf"[\d{_HAN}今去前明本当同][\d{_HAN}]{{0,3}} ?年(?:农历|阴历)? ?{_HAN_MONTH} ?月(?:份|[初底末]|[上中下]旬)?"
    rf"(?: ?{_HAN_DAY} ?[日号]?)?"
)
_HAN_DAY_OF = re.compile(
    rf"[\d正腊冬十{_HAN[3:]}][\d一二]? ?月(?:份(?!额)|[初底末]|[上中下]旬|(?: ?{_HAN_DAY} ?[日号])|(?:初"
    rf"|廿)[{_HAN[3:]}十]{{1,2}})"
)
_AGE = re.compile(
    r"(?:9\d|1[01]\d)(?:[ -]?(?:years?|yrs?|yr)[ -]?(?:old|of age)|[ -]?y[./ ]?o(?![a-z])|[ ]?(?:周)?岁)"
    r"(?! ?(?:or|and) (?:over|above|older|more)|及?以[上下])"
    r"|(?:aged?|age is|年龄|享年)[: ]{0,2}(?P<v>9\d|1[01]\d)(?![\d%/-]|\.\d)"
    r"|ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?[ -]year"
    r"|nonagenarian|centenarian|九十[一二三四五六七八九]?[多余]?岁|一百[一二三四五六七八九零〇十]{0,3}岁"
)
_THRESHOLD = re.compile(
    r"(?:[<>≥≤=]|over|above|than|under|below|least|beyond|until|to|for|-|超过|大于|小于|以上)[ =]{0,2}$"
)


def dates(text: str, low: str) -> Iterator[Identifier]:
    """Dates and ages over 89. `text` is folded, `low` the same in lower case."""
    for start, end in (*_numeric(low), *_named(text, low), *(() if low.isascii() else _chinese(low))):
        yield Identifier(start, end, "date")
    for match in _AGE.finditer(low):
        if not _touches(low, match.start()) and not _THRESHOLD.search(low[max(0, match.start() - 8) : match.start()]):
            group = "v" if match["v"] else 0
            yield Identifier(match.start(group), match.end(group), "age")


def _touches(text: str, at: int, also: str = ".") -> bool:
    """Whether a number at `at` continues something."""
    return at > 0 and ((text[at - 1].isascii() and text[at - 1].isalnum()) or text[at - 1] in also)


def _valid(day: str, month: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _numeric(low: str) -> Iterator[tuple[int, int]]:
    for match in _YEAR_FIRST.finditer(low):
        year, _, month, day = match.groups()
        if not _touches(low, match.start(), "./") and 1850 <= int(year) <= 2100 and _valid(day, month):
            yield match.span()
    for match in _YEAR_LAST.finditer(low):
        first, mark, second, year = match.groups()
        padded = len(first) == len(second) == 2
        if _touches(low, match.start(), "./-") or low[match.end() : match.end() + 1] in tuple("/%"):
            continue
        if mark == "." and " " in match[0]:
            continue
        short = len(year) == 2 and mark != "/" and not padded  # 1.2.10, 5-10-20: numbers of something
        if (not short and (_valid(first, second) or _valid(second, first))) or (
            padded and mark == "-" and len(year) == 2 and _valid(year, second)
        ):
            yield match.span()
    for match in _COMPACT.finditer(low):
        if not _touches(low, match.start()):
            yield match.span()
    for match in _MONTH_YEAR.finditer(low):
        first, second = re.split(r"[/.-]", match[0])
        month, year = (second, first) if len(first) == 4 else (first, second)
        span_of_years = len(first) == 4 and int(month) > int(year[2:])  # 2010-12: three years
        if not _touches(low, match.start(), "./-") and 1 <= int(month) <= 12 and not span_of_years:
            yield match.span()
    for match in _CUED.finditer(low):
        first, second = match[2], match[3]
        if (
            not _touches(low, match.start())
            and second not in ("7", "52", "10")
            and (_valid(first, second) or _valid(second, first))
        ):
            yield match.span("v")
    yield from (match.span("v") for match in _DAY.finditer(low))


def _named(text: str, low: str) -> Iterator[tuple[int, int]]:
    for match in _NAMED.finditer(low):
        start, end = match.span()
        if start and low[start - 1].isalpha() and low[start - 1].isascii():
            continue
        capital = text[start].isupper()
        plain = capital or match[0] not in _ORDINARY
        before = (
            None
            if _DIGITS.isdisjoint(low[max(0, start - 7) : start])
            else _DAY_BEFORE.search(low, max(0, start - 9), start)
        )
        if before and 1 <= int(before["day"]) <= 31:
            year = _YEAR_AFTER.match(low, end)
            if plain or before["th"] or (year and len(year[0].strip(" .,/-'")) == 4):
                more = _MORE_BEFORE.search(low, max(0, before.start() - 24), before.start())
                yield (more or before).start(), year.end() if year else end
            continue
        digits_after = not _DIGITS.isdisjoint(low[end : end + 8])
        after = _DAY_AFTER.match(low, end) if digits_after else None
        if after and (plain or after["th"] or after["year"]):
            yield start, after.end()
        elif plain and digits_after and (year := _ONLY_YEAR.match(low, end)):
            yield start, year.end()
        elif capital and (
            _CUE_BEFORE.search(low, max(0, start - 12), start) or (match[0] not in _ORDINARY and end - start > 3)
        ):
            yield start, end


def _chinese(low: str) -> Iterator[tuple[int, int]]:
    for match in _HAN_DATE.finditer(low):
        yield match.span()
    for match in _HAN_DAY_OF.finditer(low):
        if low[match.start() - 1 : match.start()] not in tuple("个0123456789."):
            yield match.span()
