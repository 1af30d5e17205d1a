"""When: dates, times of day, and how often."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.numbers.quantity import DATE, MONTH, PER_DAY, TIME, YEAR, Part, Quantity, key
from edgemed.clinical.numbers.units import Unit

_MONTHS = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
}
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DATE = re.compile(
    r"(?<![\d.])(?:(?P<y1>(?:19|20)\d\d) ?(?:[-/.]|年) ?(?P<m1>\d{1,2}) ?(?:[-/.]"
    r"|月) ?(?P<d1>\d{1,2})(?!\d| ?[毫厘次个级%.])(?: ?[日号])?"
    r"|(?P<y2>(?:19|20)\d\d) ?年 ?(?P<m2>\d{1,2}) ?月"
    r"|(?P<d3>\d{1,2})(?P<s3>[-/.])(?P<m3>\d{1,2})(?P=s3)(?P<y3>(?:19|20)?\d\d)(?!\.?\d"
    r"| ?(?:wks?|weeks?|months?|mo|m|y|yrs?)\b|周|个?月)"
    r"|(?P<m4>\d{1,2}) ?月 ?(?P<d4>\d{1,2}) ?[日号]"
    rf"|(?P<d5>\d{{1,2}})(?:st|nd|rd|th)?[ -](?:of )?(?P<m5>{_MONTH})(?:,?[ -](?P<y5>(?:19|20)\d\d))?"
    r")"
    rf"|\b(?P<m6>{_MONTH}) (?P<d6>\d{{1,2}})(?:st|nd|rd|th)?(?![\d%:]|\.\d| ?(?:mg|ml|g|mcg"
    rf"|units?)\b)(?:,? (?P<y6>(?:19|20)\d\d))?"
    rf"|\b(?P<m7>{_MONTH}),? (?P<y7>(?:19|20)\d\d)"
)
_GESTATION = re.compile(
    r"(?<![\d.+])(?P<weeks>[1-4]\d) ?(?:weeks?|wks?|周)? ?\+ ?(?P<days>[0-6])(?![\d.]) ?(?:/40|weeks|wks|days?|天|周)?"
)
_CONTRACTIONS = re.compile(r"(?P<n>\d)(?:-\d)?(?::| in )10(?: ?min(?:ute)?s?)?(?![\d.])")
_CONTRACTING = re.compile(r"contract|ctx|宫缩")
_NOON = re.compile(
    r"\b(?:(?P<noon>noon|midday|lunchtime)|midnight)\b|\b12 ?(?P<n>n)(?![a-z])|(?P<han>中午|正午)(?!\d|1)|午夜"
)
_CLOCK = re.compile(
    r"(?<![\d.])(?:(?P<h1>[01]?\d|2[0-4]):(?P<n1>[0-5]\d)(?!\d|[,.]\d)(?::\d\d)? ?(?P<ap1>[ap]\.?m\b\.?)?"
    r"|(?P<h2>1?\d) ?(?P<ap2>[ap]\.?m\b\.?)"
    r"|(?P<h3>[01]?\d|2[0-4]) ?[点时](?!间) ?(?:(?P<n3>[0-5]?\d) ?分|(?P<half>半))?"
    r"|(?P<h5>1?\d)\.(?P<n5>[0-5]\d) ?(?P<ap5>[ap]\.?m\b\.?)"
    r"|(?P<h4>[01]\d|2[0-3])(?P<n4>[0-5]\d) ?(?:hrs|hours|h)\b)"
)
_AFTERNOON = re.compile(r"(?:下午|晚上|傍晚|晚|中午) ?$")

_PERIODS = {"d": 24.0, "w": 168.0, "h": 1.0, "m": 720.0, "y": 8640.0, "n": 1 / 60}
_PERIOD = (
    r"(?:days?|daily|d|24 ?h(?:ours?|rs?)?|weeks?|weekly|wks?|w|hours?|hourly|hr|h|months?|monthly|years?|minutes?|min"
    r"|天|日|小时|周|月|晚|分钟)"
)
_N = r"\d{1,3}(?:\.\d)?"
_FREQUENCY = re.compile(
    rf"(?:\b(?P<n1>{_N})(?: ?(?:-|to) ?(?P<n1b>{_N}))? ?(?:x|×|times?)(?: ?/ ?| per | an? | each | every "
    rf"| )(?P<p1>{_PERIOD})(?![a-z])"
    rf"|\b(?:every|each|q\.? ?) ?(?P<n2>{_N})(?: ?(?:-|to) ?(?P<n2b>{_N}))? ?(?P<p2>{_PERIOD})(?![a-z])"
    rf"|\b(?P<n3>{_N})(?: ?(?:-|to) ?(?P<n3b>{_N}))?[- ]?(?P<p3>hourly|weekly|monthly)\b"
    r"|(?<![a-z0-9])(?P<latin>b\.?d\.?s?|b\.?i\.?d|t\.?i\.?d|t\.?d\.?s|q\.?i\.?d|q\.?d\.?s|q\.?d|o\.?d|q\.?o\.?d|e\.?o\.?d|qw|biw|tiw)(?![a-z0-9])\.?"
    r"|\b(?P<other>every other day|alternate days?|on alternate days?)\b"
    r"|(?P<other2>隔日|隔天)(?:1次)?"
    rf"|(?:每|1)(?P<p5>天|日|周|月|晚)(?P<n5>{_N})(?:[-~至到](?P<n5b>{_N}))? ?次"
    rf"|(?<!\d)日(?P<n6>{_N}) ?次"
    rf"|(?P<n7>{_N}) ?次 ?(?:/|每) ?(?P<p7>天|日|d|周|月|w)"
    rf"|(?:每隔?|q) ?(?P<n8>{_N}) ?(?P<p8>个?小时|h|天|日|周)(?:1次)?"
    r")"
)
_SOFT_FREQUENCY = re.compile(
    r"\b(?P<day>daily|nightly|every (?:day|night|morning|evening)|each (?:day|night|morning)|at night|nocte|mane"
    r"|qn|qhs|hs|qam|qpm|(?P<bare>om|on)"
    r"|in the (?:morning|evening)|at bedtime|a day|per day)\b|(?P<week>\bweekly|\b(?:every|each|a|per) week\b|每周)"
    r"|(?P<han>每天|每日|每晚|每早|睡前|晨起|日)"
)
_LATIN = {
    "bd": 2, "bds": 2, "bid": 2, "tid": 3, "tds": 3, "qid": 4, "qds": 4, "qd": 1, "od": 1, "qod": 0.5, "eod": 0.5,
    "qw": 1 / 7, "biw": 2 / 7, "tiw": 3 / 7,
}  # fmt: skip
_INTERVALS = {"d": Unit("hour", 24), "h": Unit("hour", 1), "w": Unit("hour", 168), "m": Unit("month", 1)}
_AMOUNT = re.compile(r"\d")
EYE = re.compile(r"\b(?:va|eyes?|visual|vision|acuity|iop|retina|fundus|os|ou|cornea|drops?)\b|眼|视力")


def _date(match: re.Match[str]) -> Quantity | None:
    groups = {name[0]: value for name, value in match.groupdict().items() if value and name[0] != "s"}
    month = _MONTHS.get(groups["m"][:3]) or int(groups["m"])
    day = int(groups["d"]) if "d" in groups else 0
    year = groups.get("y", "")
    if (month > 12 and day > 12) or month == 0 or day > 31 or month > 31:
        return None
    years = (Part("20" + year if len(year) == 2 else year, YEAR),) if year else ()
    orders = [(month, day)] if not match["m3"] else [(month, day), (day, month)]
    readings = [
        ((Part(key(m * 100 + d), DATE),) if d else (Part(key(m), MONTH),)) + years for m, d in orders if 1 <= m <= 12
    ]
    if day > 20 and not year and match["m6"]:  # Nov 26: the day, or the year
        readings.append((Part(key(month), MONTH), Part(f"20{day}", YEAR)))
    return Quantity(*match.span(), tuple(readings), clock=True) if readings else None


def _gestation(match: re.Match[str]) -> Quantity:
    """38+2: weeks and days of a pregnancy."""
    weeks = Part(match["weeks"], Unit("hour", 168))
    return Quantity(*match.span(), ((weeks, Part(match["days"], Unit("hour", 24))),))


def _contractions(match: re.Match[str]) -> Quantity | None:
    """3:10 is 3 contractions in 10 minutes."""
    if not _CONTRACTING.search(match.string, max(0, match.start() - 30), match.end() + 30):
        return None
    return Quantity(*match.span(), ((Part(match["n"]), Part("10", Unit("hour", 1 / 60))),))


_RECENT = re.compile(
    r"\b(?:(?P<weekday>mon|tues?|wed|thur?s?|fri|sat|sun)(?:day|nesday|urday|sday)?(?! ?\d|s)"
    r"|(?P<day>yesterday|last night|overnight)"
    r"|(?P<week>last week)|(?P<fortnight>fortnight)|(?P<month>last month)|(?P<year>last year))\b"
    r"|(?P<zhday>周[一二三四五六日](?!次)|星期[一二三四五六日])|(?P<zhone>昨[日天晚])"
    r"|(?P<zhtwo>前天)|(?P<zhweek>上周)|(?P<zhmonth>上个?月)|(?P<zhyear>去年)"
)
_AGO = {
    "day": (1, "d"), "zhone": (1, "d"), "zhtwo": (2, "d"), "week": (1, "w"), "zhweek": (1, "w"), "fortnight": (2, "w"),
    "month": (1, "m"), "zhmonth": (1, "m"), "year": (12, "m"), "zhyear": (12, "m"),
}  # fmt: skip


def _recent(match: re.Match[str]) -> Quantity:
    """Yesterday: 1 day; Monday: one of 1 to 7 days."""
    if match["weekday"] or match["zhday"]:
        readings = tuple((Part(str(n), _INTERVALS["d"]),) for n in range(1, 8))
    else:
        count, letter = _AGO[match.lastgroup or "day"]
        readings = ((Part(str(count), _INTERVALS[letter]),),)
    return Quantity(*match.span(), readings, soft=True)


def _noon(match: re.Match[str]) -> Quantity:
    at = Part("720" if match["noon"] or match["han"] or match["n"] else "0", TIME)
    return Quantity(*match.span(), ((at,),), soft=True, clock=True)


def _clock(match: re.Match[str]) -> Quantity | None:
    groups = {name[0]: value for name, value in match.groupdict().items() if value}
    hour, minute = int(groups["h"]), 30 if match["half"] else int(groups.get("n", 0))
    if match["ap2"] and not 1 <= hour <= 12:
        return None
    half = groups.get("a", "")
    if half:
        hour = hour % 12 + (12 if half[0] == "p" else 0)
    elif hour < 12 and _AFTERNOON.search(match.string, max(0, match.start() - 4), match.start()):
        hour += 12
    value = Part(key(hour * 60 + minute), TIME)
    return Quantity(*match.span(), ((value,),), clock=True)


def _period(name: str) -> float:
    name = name.removeprefix("个")
    if name.startswith("min") or name == "分钟":
        return _PERIODS["n"]
    letter = {"天": "d", "日": "d", "晚": "d", "小": "h", "周": "w", "月": "m", "2": "d"}.get(name[0], name[0])
    return _PERIODS[letter]


def _frequency(match: re.Match[str]) -> Quantity | None:
    groups = {name[0]: value for name, value in match.groupdict().items() if value and not name.endswith("b")}
    second = next((value for name, value in match.groupdict().items() if value and name.endswith("b")), "")
    if match["latin"]:
        name = match["latin"].replace(".", "")
        dosed = _DOSE.search(match.string, max(0, match.start() - 12), match.start())
        if name == "od" and not dosed and EYE.search(match.string, max(0, match.start() - 80), match.end() + 80):
            return None
        if name == "od" and not _AMOUNT.search(match.string, max(0, match.start() - 10), match.start()):
            return None  # "paracetamol OD": an overdose
        return Quantity(*match.span(), ((per_day(_LATIN[name]),),))
    if match["other"] or match["other2"]:
        return Quantity(*match.span(), ((per_day(0.5),),))
    numbers = [float(number) for number in (groups["n"], second) if number]
    if not all(numbers):
        return None
    hours = _period(groups.get("p", "d"))
    interval = match["n2"] or match["n3"] or match["n8"]
    parts = tuple(per_day(24 / (n * hours) if interval else n * 24 / hours) for n in numbers)
    counts = () if interval else tuple(Part(key(n)) for n in numbers)
    readings = [parts]
    if interval and len(numbers) == 1:  # every 3 months, or in 3 months
        letter = (match["p2"] or match["p3"] or match["p8"] or "d").removeprefix("个")
        if unit := _INTERVALS.get({"天": "d", "日": "d", "小": "h", "周": "w", "月": "m"}.get(letter[0], letter[0])):
            readings.append((Part(key(numbers[0]), unit),))
    return Quantity(*match.span(), tuple(readings), support=counts)


def per_day(value: float) -> Part:
    """How often in a day."""
    return Part(key(value), PER_DAY)


_DOSE = re.compile(r"(?:mg|mcg|g|ml|units?|iu|tabs?|tablets?|capsules?|puffs?|µg|μg|po) ?$")


def soft_frequencies(text: str, taken: bytearray) -> Iterator[Quantity]:
    """Words that say how often without a number: "daily", "nocte", 每晚."""
    for match in _SOFT_FREQUENCY.finditer(text):
        if match["bare"] and not _DOSE.search(text, max(0, match.start() - 12), match.start()):
            continue  # "on warfarin"; but "20 mg on": every night
        if not taken[match.start()]:
            yield Quantity(*match.span(), ((per_day(1 / 7 if match["week"] else 1),),), soft=True)


READERS = (
    (_GESTATION, _gestation),
    (_CONTRACTIONS, _contractions),
    (_DATE, _date),
    (_NOON, _noon),
    (_RECENT, _recent),
    (_CLOCK, _clock),
    (_FREQUENCY, _frequency),
)
"""Each pattern with what makes a quantity of a match; None where the words mean something else."""
