"""Units of measurement: how they are written in English and Chinese, and the exact factors between them."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Dimension -> spellings -> factor to the dimension's first unit. Conversions that are not exact are not here:
# months are not days, degrees Fahrenheit are not degrees Celsius, pounds are not kilograms.
_TABLE: dict[str, dict[str, float]] = {
    "mass": {
        "mg|milligrams?|milligrammes?|mgs|毫克": 1,
        "g|gm|gms|grams?|grammes?|克": 1000,
        "kg|kgs|kilos?|kilograms?|kilogrammes?|公斤|千克": 1e6,
        "mcg|ug|µg|μg|mcgs|micrograms?|microgrammes?|微克": 1e-3,
        "ng|nanograms?|纳克": 1e-6,
        "pg|picograms?|皮克": 1e-9,
        "斤": 5e5,
    },
    "pound": {"lb|lbs|pounds?|磅": 1},
    "stone": {"st|stones?": 1},
    "volume": {
        "ml|mls|cc|millilitres?|milliliters?|毫升": 1,
        "l|litres?|liters?|升(?![至到高为])": 1000,
        "dl|decilitres?|deciliters?|分升": 100,
        "ul|µl|μl|microlitres?|microliters?|微升|mm3|mm\\^3": 1e-3,
        "fl|飞升": 1e-12,
    },
    "length": {
        "cm|centimetres?|centimeters?|厘米|公分": 1,
        "mm|millimetres?|millimeters?|毫米": 0.1,
        "m|metres?|meters?|米": 100,
        "km|kilometres?|kilometers?|公里": 1e5,
    },
    "foot": {"ft|feet|foot|英尺": 1, "inch|inches|英寸": 1 / 12},
    "area": {"m2|m\\^2|sq m|平方米": 1, "cm2|cm\\^2|平方厘米": 1e-4},
    "amount": {
        "mmol|millimoles?|毫摩尔": 1,
        "umol|µmol|μmol|mcmol|micromoles?|微摩尔": 1e-3,
        "nmol|纳摩尔": 1e-6,
        "pmol|皮摩尔": 1e-9,
        "mol": 1000,
    },
    "equivalent": {"meq|毫当量": 1},
    "activity": {"units?|u|iu|i\\.u\\.|国际单位|单位": 1},
    "miu": {"miu|mu": 1},
    "hour": {
        "h|hr|hrs|hours?|个小时|小时": 1,
        "min|mins|minutes?|分钟": 1 / 60,
        "s|sec|secs|seconds?|秒钟?": 1 / 3600,
        "ms|msec|milliseconds?|毫秒": 1 / 3.6e6,
        "days?|d|天|日": 24,
        "weeks?|wks?|w|周|个?星期": 168,
    },
    "month": {"months?|mo|mos|mths?|个月|月(?=[龄大男女来前后余内])": 1, "years?|yrs?|y|岁|年": 12},
    "pressure": {"mmhg|mm hg|毫米汞柱": 1},
    "kpa": {"kpa|千帕": 1},
    "cmh2o": {"cmh2o|cm h2o|厘米水柱": 1},
    "celsius": {"°c|deg c|degrees? c|degrees? celsius|degrees? centigrade|celsius|摄氏度": 1},
    "fahrenheit": {"°f|deg f|degrees? f|degrees? fahrenheit|fahrenheit|华氏度": 1},
    "percent": {"%|percent|per cent|个百分点": 1},
    "energy": {"kcal|千卡": 1, "kj": 1e6},
    "joule": {"joules?|j|焦耳": 1},
    "gray": {"gy": 1, "cgy": 0.01},
    "pack year": {"pack[- ]?years?|pack[- ]?yrs?|pk[- ]?yrs?|pyh?|包年|年包": 1},
    "osmole": {"mosm|mosmol": 1},
    "count": {
        "x ?10\\^9|\\* ?10\\^9|10\\^9|×10\\^9|10\\*9": 1e9,
        "x ?10\\^12|10\\^12|×10\\^12": 1e12,
        "k": 1e3,
        "x ?10\\^3|10\\^3|×10\\^3": 1e3,
        "x ?10\\^6|10\\^6|×10\\^6": 1e6,
        "cells|copies|拷贝": 1,
    },
    "beat": {"beats|breaths|次": 1},
}
_PER_MINUTE = "bpm|beats per minute|breaths per minute|次/分钟?|次每分钟?"

IMPLIED = frozenset(
    {
        "/hour", "pressure", "celsius", "percent", "length", "amount/volume", "volume/hour/area", "mass", "mass/volume",
        "volume/hour", "activity/volume", "/volume", "amount/amount", "volume", "length/hour", "volume/mass", "area",
        "kpa", "mass/area", "joule", "energy", "cmh2o", "activity", "activity/hour", "mass/amount", "mass/mass",
        "mass/mass/hour",
    }
)  # fmt: skip
"""Dimensions that a number is often given without a unit: results, and doses in mg or mcg (`implied`)."""

_FACTORS: list[tuple[re.Pattern[str], str, float]] = [
    (re.compile(names), dimension, factor) for dimension, units in _TABLE.items() for names, factor in units.items()
]
_ALL = "|".join(
    sorted((name for units in _TABLE.values() for names in units for name in names.split("|")), key=len, reverse=True)
)
_LATIN_END = r"(?:(?<=[\u4e00-\u9fff])|(?![a-z]))"
_TIME = r"(?:day|d|h|hr|hour|min|minute|week|wk|month|mo|year|yr|s|sec|天|日|小时|分钟|分|周|月|年)"
_UNIT = re.compile(
    rf"(?:(?P<rate>{_PER_MINUTE}){_LATIN_END}"
    rf"|(?P<first>{_ALL}){_LATIN_END}"
    rf"|(?=/(?:min|hr?|l|ul|µl|μl|mm)))"
    rf"(?P<rest>(?: ?(?:/| per |每(?![日天晚周早])| an? (?={_TIME})) ?(?:1\.73 ?)?(?:{_ALL}|分){_LATIN_END}){{0,3}})"
)
_DENOMINATOR = re.compile(rf"(?:/|per|每|an?) ?(?:1\.73 ?)?(?P<unit>{_ALL}|分)")
_SEPARATOR = re.compile(r" ?-?(?: (?=[a-z])(?:of )?)?")


@dataclass(frozen=True, slots=True)
class Unit:
    """`dimension` names what is measured, such as "mass/volume"; `factor` leads to the dimension's first units."""

    dimension: str
    factor: float
    per: int = 0  # hours in the last denominator, if it is a day or a week


NONE = Unit("", 1)
_known: dict[str, Unit] = {}


def unit_at(text: str, at: int, value: float, glued: bool) -> tuple[Unit, int]:
    """The unit that begins at `at`, behind a number, and its end; (NONE, at) if there is none."""
    match = _UNIT.match(text, at)
    if not match or match.end() == at:
        return NONE, at
    first = match["first"] or ""
    # "64m", "64f": a patient's age and sex. "38.5 c": a temperature. "5 m" is a length, "5 k" is nothing.
    if (
        not match["rest"]
        and (
            (first == "m" and glued and value > 3)
            or first in ("k", "st", "cells", "copies", "beats", "breaths", "次")
            or (first == "s" and glued and value > 10)  # "in his 50s"
            or (first == "w" and not glued)
            or (first == "d" and text[match.end() : match.end() + 1] == "-")
            or (first == "年" and value > 1000)
        )
    ):
        return NONE, at
    name = match[0]
    if name not in _known and len(_known) < 2000:
        _known[name] = _parsed(match)
    return _known.get(name) or _parsed(match), match.end()


def _parsed(match: re.Match[str]) -> Unit:
    if match["rate"]:
        return Unit("/hour", 60)
    dimension, factor = _base(match["first"]) if match["first"] else ("", 1.0)
    if dimension in ("beat", "count"):
        dimension = ""
    per = 0
    for part in _DENOMINATOR.finditer(match["rest"]):
        name, divisor = _base("min" if part["unit"] == "分" else part["unit"])
        dimension += f"/{name}"
        factor /= divisor
        per = {"day": 24, "d": 24, "天": 24, "日": 24, "week": 168, "wk": 168, "周": 168}.get(part["unit"], 0)
    return Unit(dimension, factor, per)


def _base(name: str) -> tuple[str, float]:
    for pattern, dimension, factor in _FACTORS:
        if pattern.fullmatch(name):
            return dimension, factor
    return ("month", 1.0) if name == "月" else (name, 1.0)


def implied(unit: Unit, value: float) -> bool:
    """Whether a source that has the number without a unit can mean this one."""
    if unit.dimension == "hour":
        return unit.factor < 1e-6 or (unit.factor == 168 and 20 <= value <= 42)  # ms; weeks of a pregnancy
    if unit.dimension == "month":
        return unit.factor == 12 and value >= 16  # an age
    if unit.dimension == "percent":
        return value >= 20  # a saturation, an ejection fraction; not the 9 of a bicarbonate
    if unit.dimension == "length":
        return unit.factor == 0.1 or (unit.factor == 1 and value >= 20)  # a height in cm
    return unit.dimension in IMPLIED and (
        unit.dimension != "mass" or unit.factor in (1e6, 1, 1e-3) or (unit.factor == 1000 and value <= 10)
    )
