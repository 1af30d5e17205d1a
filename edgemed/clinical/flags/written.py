"""Every value with a name that a text has, English and Chinese. NOT CLINICALLY REVIEWED.

Whether a value is a current result of this patient is for `edgemed.clinical.flags.results` to say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from edgemed.clinical.flags import current
from edgemed.clinical.flags.analytes import BY_KEY, NAME, UNIT, Analyte, named, unit_named

LONGEST = 120_000
"""Characters of a text that are looked at: all of a shorter text, the two ends of a longer one."""
VITALS = ("sbp", "dbp", "hr", "rr", "spo2", "temp")


@dataclass(frozen=True, slots=True)
class Result:
    """One value of one analyte. `unit` is spelled as in `BY_KEY[analyte].units`; None if the text has none.

    `start` and `end` delimit name and value in the text; `shown` is that stretch. `upper`: the upper end of the
    reference range printed beside it. `day`: the day or time of day named beside it.
    """

    analyte: str
    value: float
    unit: str | None
    comparator: str
    start: int
    end: int
    shown: str
    when: current.When = ""
    upper: float | None = None
    day: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A value with the words between name and value, its comparator as written, and the end of the first of a trend."""

    result: Result
    link: str
    comparator: str
    first_end: int


_TIME = f"{current.NOW}|{current.RECENT}|{current.PAST}"
# What may stand between a name and its value. Possessive quantifiers: no backtracking on hostile text.
_LINK = re.compile(
    r"(?P<link>(?:\(\d+(?:\.\d+)?\s?[-–~]\s?\d+(?:\.\d+)?\)|\d+(?:\.\d+)?\s?[-–~]\s?\d+(?:\.\d+)?(?=\s?\t)"
    rf"|[\s:=)\[\]~≈|*'\"-]{{1,8}}+|\(|\.{{2,}}+|at \d{{1,2}} ?h(?:ours?|rs?)?\b|{_TIME}"
    r"|\b(?:of|is|was|are|at|levels?|conc(?:entration)?|counts?|results?|reading|values?|came|comes|back|as|down|up"
    r"|to|gone|went|climbed|jumped|crept|rose|risen"
    r"|rises|fell|fallen|falls|dropped|drops|increased|decreased|from|around|about|approx(?:imately)?|only|just|has"
    r"|been|had|still"
    r"|again|high|low|raised|elevated|critical(?:ly)?|on|the|venous|arterial|serum|plasma|blood|lab|vbg|abg|gas"
    r"|show(?:s|ed|ing)|h|l"
    r"|measured|reported|severely|very|markedly|peaked|hs|quantitative)\b"
    r"|约?为|是|达到?|约|仅|升高?[至到]|降低?[至到]|上升[至到]|下降[至到]|高达|低至|由|从|浓度|水平|测得|检[查测]"
    r"|结果|回报|值|提示|示|急查|偏[高低]|只有|已经?"
    r"|升高|降低|明显|仍|[,，](?=\s?(?:[<>]|\d))"
    r"|\(?(?:mmol|[uμ]mol|nmol|m?g|[uμ]g|ng|pg|meq|i?u)/d?m?l\)?"
    r"|\(?(?:[x×*]\s?)?10\^?9/l\)?"
    r"){0,12}+)"
    r"(?P<cmp>[<>≤≥]=?|(?:less|lower|greater|more|higher) than|above|below|over|under|at least|大于|小于|超过|低于"
    r"|高于|不足)?\s{0,2}"
    r"(?P<num>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,7}(?:[.,]\d{1,3})?)(?!\d)",
)
_NOT_VALUE = re.compile(
    r"\s?[-–—~]\s?\d|\s?/\s?\d|:\d|\+|[.,]\d|\s?至\s?\d|\s(?:to|and)\s\d[\d.]*\s?(?:mmol|mg|g|[uμ]mol|%)"
    r"|\s?-?(?:days?|hours?|hrs?(?!\s?\d)|weeks?|wks?|months?|years?|yrs?|yo\b|y/o|times|tabs?\b|tablets?|doses?"
    r"|kgs?\b|cm\b|mm\b|mls?\b|st\b|nd\b"
    r"|rd\b|th\b|x\b|fold|units?\b(?!\s?/)|[天日月年周岁片支袋瓶倍个粒]|小时|分钟|毫升|公斤|毫克(?!/)|克(?!/)"
    r"|次(?!/))",
)
_SLASHED = re.compile(r"\s?(?:/|over)\s?(?P<low>\d{2,3})(?![\d.])")
_RANGE = re.compile(
    r"[\s(\[,;hl↑↓*]{0,6}(?:ref(?:erence)?(?: range| interval)?|normal(?: range)?|nr|n|参考(?:值|范围|区间)?"
    r"|正常(?:值|范围)?)?[\s:]{0,3}"
    r"(?:<\s?=?|≤|(?:uln|99th (?:per)?centile|cut-?off)[\s:=]{1,3}(?:of )?"
    r"|(?P<least>\d+(?:\.\d+)?)\s?[-–~]\s?)(?P<upper>\d+(?:\.\d+)?)\)?",
)


# The next number of the sentence, and what makes it a newer value: "6.8 -> 4.9", "6.8, after treatment now 4.9",
# "6.8 yesterday, 4.9 today".
_NEXT = re.compile(r"(?P<gap>[^\d\n。;]{0,60})(?P<num>\d{1,6}(?:[.,]\d{1,3})?)(?![\d/:])")
_NEXT_PRESSURE = re.compile(r"(?P<gap>[^\d\n。;]{0,30})(?P<num>\d{2,3})\s?/\s?(?P<low>\d{2,3})(?![\d/.])")
_ARROW = re.compile(r"\s{0,2}(?:-{1,2}>|→|=>|➔|⟶|~>|>|to|then|后为|变为)[\s:]{0,2}(?:is |was )?")
_NOW_IS = re.compile(
    rf"(?:{current.NOW}|\b(?:down|up|improved|normali[sz]ed|corrected|recovered|back|fell|rose"
    rf"|settled)\s(?:down )?(?:to|at)\b"
    r"|[降升][至到]|恢复[至到]|纠正[至到]|出院时?|(?<![当如至])今)"
    r"[\s:]{0,3}(?:(?:is|of|it is|it['’]s|at|up to|down to|back to) "
    r"|[为至到])?$"
)
_NEW = (
    re.compile(
        rf"[^.!?\n。]{{0,40}}?[;,]\s?(?:but |and |then )?(?:{current.NOW}|(?:cleared|improved|corrected|settled|fell"
        r"|normali[sz]ed|recovered|down|back|up) to)[\s:]{0,3}(?:(?:is|of|at|up to|down to|back to) )?"
        r"(?P<num>\d{1,6}(?:[.,]\d{1,3})?)(?![\d/:])"
    ),
    re.compile(
        r"[^.!?\n。\d]{0,40}?[;,]\s?(?P<num>\d{1,6}(?:\.\d{1,3})?)"
        r"(?= ?[\w/^%]{0,8} ?\b(?:now|today|(?:on|at|by|before) discharge)\b)"
    ),
)
"""A newer value of the same analyte in the same sentence: "0.2 on day 10, now 2.9", "6 at first; 25 on discharge"."""
_WAS = re.compile(rf"\s?[\w/^%]{{0,8}}\s?(?:{current.RECENT}|{current.PAST})")
_IS_NOW = re.compile(rf"\s?[\w/^%]{{0,8}}\s?(?:{current.NOW})")
_DAY = (
    r"(?:(?:on )?(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b|(?:on )?day ?\d{1,2}\b|(?:at "
    r"|on )?\d{4}-\d{1,2}-\d{1,2}"
    r"|(?:on )?\d{1,2}/\d{1,2}(?:/\d{2,4})?|(?:at )?\d{1,2}:\d\d|\d{1,2}月\d{1,2}日|第[\d一二三四五六七]{1,2}[天日]"
    r"|周[一二三四五六日])"
)
_NEXT_DAY = re.compile(
    rf"[\s(]{{1,2}}{_DAY}[\s,;)，]{{1,3}}(?:and |but |then "
    rf"|to )?(?P<num>\d{{1,6}}(?:[.,]\d{{1,3}})?)(?![\d/:])(?=\s?[\w/^%]{{0,8}}[\s(]{{1,2}}{_DAY})"
)
DATED = re.compile(_DAY)


def normal(text: str) -> str:
    """`text` in lower case, with full-width digits, letters and signs replaced, each character by one.

    The comma of Chinese stays: between digits it separates, it is no decimal mark.
    """
    forms = ((c, unicodedata.normalize("NFKC", c).lower()) for c in set(text) if c != "，")
    return text.translate({ord(c): form for c, form in forms if len(form) == 1})


def ends(text: str) -> str:
    """`text`, without the middle of a very long one."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"


def values_in(text: str) -> Iterator[Written]:
    """The values of a text as `normal` returns it, in its order."""
    # Names are looked for in the characters before a digit only.
    begin, names = 0, 0
    for digit in _DIGITS.finditer(text):
        for name in NAME.finditer(text, max(begin, digit.start() - _REACH), digit.start() + _REACH):
            if name.start() >= digit.start():
                break
            names += 1
            begin = name.end()
            yield from _values(text, name)
            if names >= _MOST:
                return
        begin = max(begin, digit.start())


_DIGITS = re.compile(r"\d[\d.,:/-]*")
_REACH = 90
_MOST = 1500
"""Names that are looked at in one text."""


def _values(text: str, name: re.Match[str]) -> Iterator[Written]:
    match = _LINK.match(text, name.end())
    if match is None or _is_unit(text, name):
        return
    analyte = named(name)
    if analyte.key == "bp":
        yield from _pressures(text, name, match)
        return
    end, unit = _unit(text, match.end("num"), analyte)
    times = analyte.key in VITALS and text.startswith("次", match.end("num"))
    if unit is _WRONG or (not times and _NOT_VALUE.match(text, match.end("num"))):
        return
    unit = unit or _unit_in(match["link"], analyte)
    value = number(match["num"])
    if not _possible(analyte, value, unit, match):
        return
    if analyte.key == "temp" and (unit == "f" or value > 60):
        value, unit = (value - 32) / 1.8, "c"
    first_end, bound = end, _RANGE.match(text, end) if analyte.key == "trop" else None
    upper = number(bound["upper"]) if bound else None
    sign = _comparator(match["cmp"])
    first = Result(analyte.key, value, unit, sign, name.start(), bound.end() if bound else end, "", upper=upper)
    yield Written(_trend(text, first, analyte), match["link"], match["cmp"] or "", first_end)


def _trend(text: str, first: Result, analyte: Analyte) -> Result:
    """The last value of "6.8 -> 5.9 -> 4.9", which is the newest; `first` if there is no second."""
    last = first
    while match := _next(text, last.end):
        end, unit = _unit(text, match.end("num"), analyte)
        value, unit = number(match["num"]), unit or last.unit
        if unit is _WRONG or _NOT_VALUE.match(text, match.end("num")) or not _plausible(analyte, value, unit):
            break
        last = Result(last.analyte, value, unit, "", last.start, end, "", "now")
    return last


def _next(text: str, at: int) -> re.Match[str] | None:
    for newest in _NEW:
        match = newest.match(text, at)
        if match and not NAME.search(text, at, match.start("num")) and not NAME.match(text, match.end()):
            return match
    match = _NEXT.match(text, at)
    if match is None:
        return _NEXT_DAY.match(text, at)
    newer = _ARROW.fullmatch(match["gap"]) or _NOW_IS.search(match["gap"]) or _IS_NOW.match(text, match.end())
    if newer and not NAME.search(match["gap"]) and not _WAS.match(text, match.end()):
        return match
    return _NEXT_DAY.match(text, at)


def _pressures(text: str, name: re.Match[str], match: re.Match[str]) -> Iterator[Written]:
    slashed = _SLASHED.match(text, match.end("num"))
    if match["cmp"] or "." in match["num"]:
        return
    end, unit = _unit(text, slashed.end() if slashed else match.end("num"), BY_KEY["bp"])
    if unit is _WRONG or not (slashed or unit or text.startswith(" systolic", end)):
        return
    high, low, last = match["num"], slashed["low"] if slashed else "", end
    newness: current.When = ""
    if slashed and (newer := _newest_pressure(text, end)):
        high, low, last, newness = newer["num"], newer["low"], newer.end(), "now"
    for key, written in (("sbp", high), ("dbp", low)):
        if written and 20 <= number(written) <= 320:
            yield Written(
                Result(key, number(written), "mmhg", "", name.start(), last, "", newness), match["link"], "", end
            )


def _newest_pressure(text: str, at: int) -> re.Match[str] | None:
    """The last of the pressures that replace the one that ends here: "78/40, now 125/75"."""
    last = None
    while newer := _NEXT_PRESSURE.match(text, at):
        if not (_ARROW.fullmatch(newer["gap"]) or _NOW_IS.search(newer["gap"])):
            break
        last, at = newer, newer.end()
    return last


_WRONG = "wrong"
_SPACE = re.compile(r"[ \t\u00a0*↑↓]{0,3}(?:[hl][ \t]{1,2})?\(?")


def _unit(text: str, at: int, analyte: Analyte) -> tuple[int, str | None]:
    """Where the value ends, and its unit: None if there is none, `_WRONG` if it is no unit of `analyte`."""
    space = _SPACE.match(text, at)
    match = UNIT.match(text, space.end() if space else at)
    if match is None:
        return at, None
    name = unit_named(match[0])
    if name in analyte.units:
        return match.end(), name
    if name in ("mmol", "meq", "mm") and "mmol/l" in analyte.units:
        # "K 6.8 mmol" is a result written in haste; "K 10 mmol" is a dose.
        return (match.end(), "mmol/l") if "." in text[max(0, at - 3) : at] else (at, _WRONG)
    if name in ("l", "c", "f"):  # a flag of the laboratory, a word of one letter
        return at, None
    return at, _WRONG


def _unit_in(link: str, analyte: Analyte) -> str | None:
    """The unit in "Potassium (mmol/L) 6.8"."""
    names = (unit_named(match[0]) for match in UNIT.finditer(link))
    return next((name for name in names if name in analyte.units and name), None)


def _is_unit(text: str, name: re.Match[str]) -> bool:
    """Whether the name is a unit, as in "5 mg 2 tablets"."""
    return name[0] == "mg" and bool(re.search(r"\d\s?$", text[max(0, name.start() - 2) : name.start()]))


def _possible(analyte: Analyte, value: float, unit: str | None, match: re.Match[str]) -> bool:
    stated = unit or re.search(r"level|conc|浓度|水平|测|值", match["link"])
    if analyte.drug and not stated and not (analyte.key in ("li", "dig") and "." in match["num"] and value >= 1):
        return False
    return _plausible(analyte, value, unit)


def _plausible(analyte: Analyte, value: float, unit: str | None) -> bool:
    if unit is None or unit == "":
        return any(u.least <= value <= u.most for u in analyte.units.values())
    first = next(iter(analyte.units.values()))
    return unit == "f" or value * analyte.units[unit].factor <= first.most * 1.5


def _comparator(written: str | None) -> str:
    if not written:
        return ""
    return "<" if re.match(r"[<≤]|less|lower|below|under|小于|低于|不足", written) else ">"


def number(written: str) -> float:
    """The value of digits with a decimal point or comma, or with commas between thousands."""
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+", written):
        return float(written.replace(",", ""))
    return float(written.replace(",", "."))
