"""The quantities of a text: numbers with their units, ranges, ratios, dates, times of day, frequencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from edgemed.clinical.folded import Folded
from edgemed.clinical.numbers import times
from edgemed.clinical.numbers.quantity import DATE, FEW, FRACTION, MONTH, ORDINAL, TIME, YEAR, Part, Quantity, key
from edgemed.clinical.numbers.units import NONE, Unit, unit_at

MOST = 4_000
"""Quantities of a text that are read."""

_NUMBER = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?"
    r"|\d{1,3}(?: 000){1,2}(?= ?(?:units?|iu|u|mg|mcg|ng|ml)(?![a-z]))|\d+(?:\.\d+)?|(?<!\d)\.\d+)"
)
_NAME = re.compile(
    r"(?<![a-z0-9])(?:hba1c|a1c|spo2|sao2|sp02|p(?:a|v|et)?co2|pao2|fio2|co2|o2|vitamin [bdk]\d{1,2}"
    r"|b12|b6|ft?[34]|t[34]"
    r"|ca ?125|ca ?19-?9|ca ?15-?3"
    r"|covid-?19|sars-cov-2|h1n1|h2|5-?ht\d?|cyp\w+|fev1|p2y12|glp-?1|sglt-?2|dpp-?4|cha2ds2(?:-vasc)?|curb-?65|phq-?9|gad-?7"
    r"|news ?2|qtc|omega-?3|hco3|cd4|il-?6|igg4|her-?2|ki-?67|p53|5-?fu|5-?asa|2,3-dpg|25-?oh|o-2|h2o|po4|mg2|ca2"
    r"|ck-?mb"
    r"|10-point|12-lead|24-hour clock|1\.73)(?![\d])|\b(?:step|option|part|section|table|figure|tip) \d{1,2}\b"
    r"|第\d{1,2}(?:步|条|点|部分|节)"
    r"|\b4 (?:limbs|quadrants|extremities|valves)\b|\b2[- ](?:week wait|ww)\b|\b2ww\b|一秒率"
    r"|(?:(?<=\n)|^)[ *#>(_-]{0,8}\d{1,2}[.)、:](?=\D|$)"
)
_RANGE = re.compile(r" ?(?:-|~|to|至|到|or|或|->|→|=>|>>) ?$")
_RATIO = re.compile(r" ?(?:/|over|out of|of|of the) ?$")
_TIMES = re.compile(r" ?[x×*] ?|(?: by ) ?")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_SOFT = re.compile(
    r"\b(?P<ordinal>first|second|third|fourth|fifth)\b"
    r"|\b(?P<few>single|one|a couple|pair|both|double|a|an)\b|第(?P<han>[一二三四五])|(?P<one>一|双|单)"
)
_SOFT_VALUES = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "single": 1, "one": 1, "a": 1, "an": 1,
    "a couple": 2, "pair": 2, "both": 2, "double": 2, "一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "双": 2, "单": 1,
}  # fmt: skip
_ROMAN = re.compile(
    r"\b(?:class|grade|stage|nyha(?: class)?|killip(?: class)?|mallampati|asa|fontaine|forrest|type"
    r"|nyha心功能)[ -]?(?P<before>i{1,3}|iv|vi{0,3})(?:[ab]?)\b"
    r"|(?<![a-z])(?P<after>i{1,3}|iv|vi{0,3})(?P<minor>[ab]?)(?= ?(?:级|期|度|型|/vi|/6))"
)
_BARE_ROMAN = re.compile(r"(?<![a-z])i{2,3}(?![a-z])|(?<=[\u4e00-\u9fff])iv(?![a-z])")
_ROMANS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8}
_GROUP = re.compile(r"[, ](?=\d{3})")
_EXPONENT = re.compile(r"(?<![a-z])[ckdm]?m\^[23]|(?:(?<=[\d/])|(?<=\d ))[ckdm]?m[23](?!\.?\d)")
"""Of m², cm3: part of a unit. An M2 that follows neither a number nor a slash is a stage or a type."""


def read(folded: Folded) -> list[Quantity]:
    """The quantities, in the order of the text. `folded` has its numbers in digits (`spelled.to_digits`)."""
    text = folded.text
    taken = bytearray(len(text) + 1)
    exponents = {match.end() - 1 for match in _EXPONENT.finditer(text)}
    found: list[Quantity] = []
    for pattern, reader in (*times.READERS, (_ROMAN, _roman), (_BARE_ROMAN, _bare_roman)):
        for match in pattern.finditer(text):
            i, j = match.span()
            if taken[i] or taken[j - 1] or i in exponents:  # "m² 时" holds no 2 o'clock
                continue
            if quantity := reader(match):
                found.append(quantity)
                taken[i:j] = b"\1" * (j - i)
    for match in _NAME.finditer(text):
        taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    found += islice(_plain(text, taken, exponents), MOST)
    found += times.soft_frequencies(text, taken)
    found += _soft(text)
    return sorted(found, key=lambda quantity: quantity.start)[:MOST]


def _raw(digits: str) -> str:
    digits = _GROUP.sub("", digits)
    return key(float(digits)) if len(digits) <= 15 else digits


def _roman(match: re.Match[str]) -> Quantity:
    group = "before" if match["before"] else "after"
    return Quantity(*match.span(group), ((Part(key(_ROMANS[match[group]])),),))


def _bare_roman(match: re.Match[str]) -> Quantity:
    """III without a word such as "grade" can support a grade; it is never marked."""
    return Quantity(*match.span(), ((Part(key(_ROMANS[match[0]])),),), soft=True)


def _plain(text: str, taken: bytearray, exponents: set[int]) -> Iterator[Quantity]:
    """Numbers with units; then ranges and ratios out of pairs of them."""
    run: list[tuple[int, int, str, Unit]] = []  # numbers joined by "-", "to", "/": one quantity
    end = -1
    joints = ""
    for match in _NUMBER.finditer(text):
        i, j = match.span("number")
        if taken[i] or i in exponents:
            continue
        raw = _raw(match["number"])
        glued = not text[j : j + 1].isspace()
        unit, after = unit_at(text, j, float(raw) if len(raw) < 16 else 0.0, glued)
        if unit is NONE and text[j : j + 1] in (" ", "-"):
            unit, after = unit_at(text, j + 1, float(raw) if len(raw) < 16 else 0.0, False)
        if unit is NONE:
            after = j
            unit = ORDINAL if _ORDINAL.match(text, j) else _bare_temperature(text, j, raw)
        if taken[after - 1]:
            unit, after = NONE, j
        if unit.dimension == "volume" and text[i - 1 : i] == "/" and text[j:after] == " l":
            unit, after = NONE, j  # power 4/5 L
        if unit.dimension == "length" and text[i - 1 : i] == "/":  # 8/12 m: months, male
            unit, after = NONE, j
        joint = _joint(text[end:i], unit) if run and i - end <= 9 else ""
        if joint and "of" in text[end:i] and run[-1][3] is not NONE:
            joint = ""  # 1 litre of 0.9%
        if run and (not joint or len(run) > 3):
            yield _joined(run, joints, text)
            run, joints, joint = [], "", ""
        joints += joint
        run.append((i, after, raw, unit))
        end = after
    if run:
        yield _joined(run, joints, text)


def _joint(gap: str, unit: Unit) -> str:
    """ "-" for a range or "12 x 8 cm", "/" for a ratio; empty if the text between two numbers does not join them."""
    if _RANGE.fullmatch(gap) or (unit.dimension in ("", "length") and _TIMES.fullmatch(gap)):
        return "-"
    return "/" if _RATIO.fullmatch(gap) else ""


def _bare_temperature(text: str, at: int, raw: str) -> Unit:
    """38.5 c, 38.5度, 101 f."""
    match = _BARE_DEGREE.match(text, at)
    if match and len(raw) < 6:
        if match["f"] and float(raw) >= 90:
            return Unit("fahrenheit", 1)
        if not match["f"] and 30 <= float(raw) <= 45:
            return Unit("celsius", 1)
    return NONE


_BARE_DEGREE = re.compile(r" ?(?:(?P<f>f)|c|度|°|degrees)(?![a-z])")
# In notes, 5/7 is 5 days, 2/52 two weeks, 3/12 three months.
_NOTE_TIMES = {"7": Unit("hour", 24), "52": Unit("hour", 168), "12": Unit("month", 1), "40": Unit("hour", 168)}
_AGE_BEFORE = re.compile(
    r"(?:(?P<day>(?<![a-z])(?:day|pod|d))|(?P<week>\b(?:week|wk)|孕|妊娠)|(?P<year>\b(?:age|aged|f|m|male|female|man|woman|year)|年龄|男性?|女性?))"
    r"[ ,:，：、]{0,2}$"
)
_DAY_BEFORE = re.compile(r"(?<![a-z])d(?:ays?)? ?$")
_AGE_AFTER = re.compile(r" ?(?:m|f|male|female|yo)(?![a-z])|男|女")
_AGE_UNITS = {"day": Unit("hour", 24), "week": Unit("hour", 168), "year": Unit("month", 12)}
_YEARS = {"24", "25", "26", "27", "28", "29", "30"}
_SCALES = {"5", "6", "10", "15", "30", "100"}


def _joined(run: list[tuple[int, int, str, Unit]], joints: str, text: str) -> Quantity:
    last = run[-1][3]
    parts = tuple(Part(raw, last if unit is NONE else unit) for _, _, raw, unit in run)
    readings = [parts]
    if last.dimension.endswith("/beat"):  # 200 g/次: 200 g each time
        readings.append(
            tuple(Part(raw, Unit(last.dimension.removesuffix("/beat"), last.factor)) for _, _, raw, _ in run)
        )
    if last.dimension and len(run) > 1:
        readings.append(tuple(Part(raw, unit) for _, _, raw, unit in run))
    if joints == "/":
        a, b = run[0][2], run[1][2]
        if b in _NOTE_TIMES and last is NONE and run[0][3] is NONE and float(a) <= 40:
            readings.append((Part(a, _NOTE_TIMES[b]),))
        if run[0][3] is NONE and float(b):
            if a == "1" or float(a) < float(b) <= 10:
                readings.append((Part(key(float(a) / float(b)), last),))
            if (
                last is NONE
                and "." not in a + b
                and 0 < float(a) <= 31
                and float(b) <= 31
                and min(float(a), float(b)) <= 12
            ):
                readings.append((Part(key(float(a) * 100 + float(b)), DATE),))
                readings.append((Part(key(float(b) * 100 + float(a)), DATE),))
        if last is NONE and len(run) == 2 and 1 <= float(a) <= 12 and b in _YEARS and "." not in a:  # AVS 1/27
            readings.append((Part(a, MONTH), Part("20" + b, YEAR)))
        if b in _SCALES and last is NONE:
            readings.append((Part(a),))
    if len(run) == 1 and last.dimension == "month" and last.factor == 12 and float(parts[0].raw) > 1900:
        readings = [(Part(parts[0].raw, YEAR),)]
    if len(run) == 1 and last.per:
        base = Unit(last.dimension.rpartition("/")[0], last.factor * last.per)
        readings.append((Part(parts[0].raw, base), times.per_day(24 / last.per)))
    if len(run) == 1 and last.dimension == "percent":
        readings.append((Part(key(float(parts[0].raw) / 100), FRACTION),))
    if last is NONE and joints == "-" and _DAY_BEFORE.search(text, max(0, run[0][0] - 6), run[0][0]):
        readings.append(tuple(Part(raw, _AGE_UNITS["day"]) for _, _, raw, _ in run))
    if len(run) == 1 and last.dimension == "length" and last.factor == 100 and text[run[0][1] - 1] == "m":
        readings.append((Part(parts[0].raw, Unit("month", 1)),))  # 12 m: 12 months
    if len(run) == 1 and last is NONE:
        readings += _unsaid(run[0], text)
    if joints == "/" and len(run) == 2 and last is NONE:
        a, b = run[0][2], run[1][2]
        if "." not in a + b and 12 < float(a) <= 31 and 1 <= float(b) <= 12 and b not in _SCALES | _NOTE_TIMES.keys():
            return Quantity(run[0][0], run[-1][1], ((Part(key(float(b) * 100 + float(a)), DATE),),), clock=True)
    ratio = (run[0][2], run[1][2]) if joints == "/" else None
    return Quantity(run[0][0], run[-1][1], tuple(readings), ratio=ratio)


def _unsaid(number: tuple[int, int, str, Unit], text: str) -> Iterator[tuple[Part, ...]]:
    """Readings of a number without a unit: an age, a day after surgery, a time of day (0930, 9.30)."""
    start, end, raw, _ = number
    if text[end : end + 1] == "月":
        yield (Part(raw, Unit("month", 1)),)
    before = _AGE_BEFORE.search(text, max(0, start - 10), start)
    if before or _AGE_AFTER.match(text, end):
        kind = before.lastgroup if before else None
        yield (Part(raw, Unit("month", 1) if text[end : end + 1] == "月" else _AGE_UNITS[kind or "year"]),)
    if float(raw) >= 4 and _TIMES_BEFORE.search(text, max(0, start - 3), start):  # BO x8
        yield (times.per_day(float(raw)),)
    if 0 < float(raw) < 1:  # an FiO2 of 0.45
        yield (Part(raw, FRACTION),)
    if course := _COURSE.search(text, max(0, start - 12), start):
        yield (Part(raw, _AGE_UNITS["week" if course["week"] else "day"]),)
    if _COUNTED_THING.search(text, max(0, start - 10), start):
        yield (Part(raw, ORDINAL),)
    if match := _TIME_DIGITS.fullmatch(text, start, end):
        yield (Part(key(int(match["h"]) * 60 + int(match["n"])), TIME),)


_TIMES_BEFORE = re.compile(r"(?<![a-z])[x×] ?$")
_COURSE = re.compile(r"(?:(?P<week>weekly|/wk|/week)|daily|\bod|\bbd|\btds|\bqds|nocte) ?[x×] ?$")
_COUNTED_THING = re.compile(r"(?:day|week|cycle|visit|course|pod|grade|degree|episode|number|no\.?|第) ?$")
_TIME_DIGITS = re.compile(r"(?P<h>[01]\d|2[0-3]|[1-9](?=\.))\.?(?P<n>[0-5]\d)")


def _soft(text: str) -> Iterator[Quantity]:
    """Words that can stand for a number, each once: they are not marked, so their places do not matter."""
    for match in {match[0]: match for match in _SOFT.finditer(text)}.values():
        word = match["ordinal"] or match["few"] or match["han"] or match["one"]
        unit = ORDINAL if match["ordinal"] or match["han"] else NONE if word in ("one", "single") else FEW
        yield Quantity(*match.span(), ((Part(key(_SOFT_VALUES[word]), unit),),), soft=True)
