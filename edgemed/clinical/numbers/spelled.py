"""Numbers in words, English and Chinese, turned into digits."""

from __future__ import annotations

import re

from edgemed.clinical.folded import Folded
from edgemed.clinical.numbers import dictated

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_SCALE = re.compile(r"hundred|thousand|million")
_PARTS = {"half": 0.5, "third": 1 / 3, "quarter": 0.25, "halves": 0.5, "thirds": 1 / 3, "quarters": 0.25}

_WORD = "|".join(sorted((*_VALUES, *_SCALES), key=len, reverse=True))
_COUNTED = (
    r"(?=[- ](?:of (?:milk|water)|to (?:two|three)\b"
    r"|times?|days?|weeks?|months?|years?|hours?|hrs?|minutes?|tablets?|tabs?"
    r"|capsules?|puffs?|drops?"
    r"|doses?|episodes?|units?|litres?|liters?|grams?|milligrams?|mg|pack|sachets?|sprays?|per cent|percent"
    r"|stones?|pints?|cups?)\b)"
)
_ENGLISH = re.compile(
    rf"\b(?:(?P<mixed>(?:{_WORD})|\d+) and (?:a |one )?(?P<part>half|quarter)\b"
    rf"|(?P<count>an?|one|two|three) ?-?(?P<fraction>thirds?|quarters?|half|halves)\b(?! line| time)"
    r"|half an? (?P<halved>hour|day|year|minute|week|month|tablet|litre|liter|teaspoon|dose)\b"
    r"|half(?= (?:the|tablet|of|his|her|their|its|all|that|this|strength|dose)\b|-(?:life|hour)s?\b)"
    r"|(?P<dozen>a|one|two|half a|half) dozen|a (?P<scale>hundred|thousand|million)\b"
    rf"|(?P<words>(?:{_WORD})(?:(?:[ -]"
    rf"| and )(?:{_WORD})){{0,7}})\b(?:(?P<point> point)(?P<digits>(?: (?:{_WORD})){{1,3}})\b)?"
    r"|twice\b|thrice\b|once(?= (?:a|per|every|each|daily|weekly|monthly|in)\b)"
    r")"
)
_LONE_ONE = re.compile(rf"one{_COUNTED}")

_HAN_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000}
_HAN = "零〇一二两三四五六七八九十百千"
_MEASURE = (
    "毫克|微克|毫升|毫米|厘米|毫摩尔|千克|公斤|公分|克|升|斤|次|天|日|周|星期|个|月|年|岁|片|粒|颗|支|枚|袋|滴|喷|吸|包|瓶|丸|贴"
    "|小时|分钟|秒|分(?!之|比|数)|度|倍|级|期|型|种|处|根|条|剂|例|型|项|单位|国际单位|成|杯|两|点"
)
_CHINESE = re.compile(
    rf"(?P<of>[{_HAN}]{{1,6}})分之(?P<n>[{_HAN}\d]{{1,6}})"
    r"|半(?P<halved>片|粒|支|小时|天|年|个月|个小时|月|量|袋|包|升|斤)"
    rf"|(?P<wan>[{_HAN}]{{1,6}}|\d{{1,6}}(?:\.\d{{1,4}})?)(?P<scale>万|亿)(?!古|艾|能)"
    rf"|(?<![\d.])(?P<whole>[{_HAN}]{{1,9}})(?:点(?P<digits>[零〇一二三四五六七八九]{{1,4}}))?(?=(?:余|多)?(?:{_MEASURE})|[到至~-][{_HAN}\d]{{1,3}}(?:{_MEASURE}))(?!(?:点))"
)
_ONE_PERIOD = re.compile(
    r"\b(?P<before>for|over|within|in|after|last|past|next|further|another) (?:an?|one) (?=(?:hour|day|week"
    r"|fortnight|month|year)s?\b(?! of age))"
)
_HOURS_MINUTES = re.compile(
    r"(?<![\d.:])(?P<h>\d{1,2}) ?(?:个?小时|hours?|hrs?|h)(?: and |,? )?(?P<m>\d{1,2}) ?(?:分钟?|minutes?|mins?"
    r"|m)(?![a-z])"
)
# "0 admissions" says no more than "no admissions"; "0 hours" is a time.
_ZERO = re.compile(
    r"(?<![\d.,/:+-])\b0 (?=(?!hours?\b|degrees?\b|minutes?\b|points?\b|units?\b|days?\b|weeks?\b|out of\b)[a-z]{4})"
)
_VULGAR = re.compile(r"(?<![\d.])(\d{0,4}) ?([½¼¾⅓⅔])")
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}
_MORE_THAN = re.compile(r"(?P<n>\d{1,3})(?:[多余]|个多|多个|余个)(?P<unit>个?月|年|天|周|个?小时|次|岁|日|分钟)")
_HALF_MORE = re.compile(r"(?P<n>\d{1,3}) ?(?P<unit>个小时|个月|小时|天|年|岁|周|片)半(?![片天年月])")
_NOT_COUNTS = re.compile(
    r"一(?!天|日|周|星期|个月|个小时|月|年|小时|分钟|片|粒|支|袋|包|滴|喷|吸|次(?!性)|倍|级(?!亲属)|期|度|剂|瓶|丸|岁|两|杯|公|千|毫|微|厘|[到至~-])"
    r"|(?:十二指|四肢|三角|一线|二线|三尖瓣|二尖瓣)"
)


_PAST_HOUR = re.compile(
    rf"\b(?P<part>half|quarter) (?P<way>past|to) (?P<hour>\d{{1,2}}|{_WORD})\b"
    r"(?: in the (?P<late>afternoon|evening))?"
)
_EACH_KILO = re.compile(
    r"(?:每[日天])?每(?:公斤|千克|kg)(?:体重)? ?(?P<n>\d+(?:\.\d+)?) ?(?P<unit>毫克|毫升|微克|千卡|kcal|mg|ml|ug|g|克)"
)
_EACH_HOUR = re.compile(r"每小时(?P<what>[^\d，,。；;\n]{0,4})(?P<n>\d{1,4}(?:\.\d)?) ?(?:ml|毫升)(?!/)")
_AN_HOUR = re.compile(r"(?<=\d)(?P<unit> ?ml)(?P<what> of (?:urine|feed|fluid|saline)) (?:an|per|each|every) hour\b")
_PER_DAY = re.compile(r"/ ?24 ?h(?:ours?|rs?)?\b")
_TIMES_A_DAY = re.compile(r"(?<![a-z])[x×] ?(?P<n>\d{1,2}) ?/ ?(?:day|d)\b")
_EVERY = re.compile(r"(?<![a-z])q(?P<n>\d{1,2})-(?P<m>\d{1,2}) ?h\b")
_SEVERAL = re.compile(
    r"(?<![零〇一二三四五六七八九十百千点])(?P<n>[一二三四五六七八])(?P<m>[二三四五六七八九])(?=[次天个岁年口])"
)
_PLUSES = re.compile(
    r"(?<![+\w])\(?(?P<pluses>\+{2,4})\)?(?![+\d])|(?<=[\u4e00-\u9fff])\(?(?P<more>\+{2,4})\)?(?![+\d])"
)


def _past_hour(match: re.Match[str]) -> str:
    """half past ten in the evening: 22:30."""
    hour = int(match["hour"]) if match["hour"].isdigit() else _VALUES.get(match["hour"], 0)
    minutes = 60 * hour + (30 if match["part"] == "half" else 15 if match["way"] == "past" else -15)
    minutes += 720 if match["late"] and hour < 12 else 0
    return f"{minutes // 60:02}:{minutes % 60:02}"


_QUARTERS = re.compile(r"\b(?:(?P<three>three|3)[- ]quarters|a quarter) of an hour\b")
_FRACTURE = re.compile(r"(?<=[a-z ?(])#(?=$|[\s,.;:)]|[a-z])")


_DIGIT = re.compile(r"\d")


def to_digits(folded: Folded) -> None:
    """Replaces numbers in words. "one" and 一 that count nothing are left: they are seldom meant as a number."""
    if "past" in folded.text or "quarter" in folded.text:
        folded.replace(_PAST_HOUR, _past_hour)
        folded.replace(_QUARTERS, lambda match: "45 min" if match["three"] else "15 min")
    if "#" in folded.text:
        folded.replace(_FRACTURE, lambda _: " fracture ")
    if any(c.isascii() and c.isalpha() for c in folded.text[:2000]) or folded.text.isascii():
        folded.replace(_ENGLISH, _english)
        folded.replace(_ONE_PERIOD, lambda match: f"{match['before']} 1 ")
    if not folded.text.isascii():
        if not _DIGIT.search(folded.text):
            dictated.to_digits(folded)
        folded.replace(_SEVERAL, lambda match: f"{_HAN_DIGITS[match['n']]}-{_HAN_DIGITS[match['m']]}")
        folded.replace(_CHINESE, _chinese)
        folded.replace(_MORE_THAN, lambda match: match["n"] + match["unit"])
        folded.replace(_HALF_MORE, lambda match: f"{match['n']}.5{match['unit'].removeprefix('个')}")
    if not folded.text.isascii():
        folded.replace(_VULGAR, lambda match: _written(int(match[1] or 0) + _FRACTIONS[match[2]]))
    folded.replace(_EACH_KILO, lambda match: f"{match['n']} {match['unit']}/kg{'/d' if match[0][1] in '日天' else ''}")
    folded.replace(_EACH_HOUR, lambda match: f"{match['what']}{match['n']} ml/h")
    folded.replace(_AN_HOUR, lambda match: f"{match['unit']}/h{match['what']}")
    folded.replace(_PER_DAY, lambda _: "/day")
    folded.replace(_TIMES_A_DAY, lambda match: f" {match['n']} times a day")
    folded.replace(_EVERY, lambda match: f" every {match['n']} to {match['m']} h")
    if "++" in folded.text:
        folded.replace(_PLUSES, lambda match: f" {len(match['pluses'] or match['more'])}+ ")
    folded.replace(_ZERO, lambda _: "no ")
    folded.replace(_HOURS_MINUTES, lambda match: f"{60 * int(match['h']) + int(match['m'])} min")


def _english(match: re.Match[str]) -> str:
    if match["mixed"]:
        mixed = int(match["mixed"]) if match["mixed"].isdigit() else _value(match["mixed"])
        return _written(mixed + _PARTS[match["part"]])
    if match["fraction"]:
        return _written({"two": 2, "three": 3}.get(match["count"], 1) * _PARTS[match["fraction"]])
    if match["halved"]:
        return f"0.5 {match['halved']}"
    if match["dozen"]:
        return {"two": "24", "half": "6", "half a": "6"}.get(match["dozen"], "12")
    if match["scale"]:
        return str(_SCALES[match["scale"]])
    if not match["words"]:
        return {"half": "0.5", "twice": "2 times", "thrice": "3 times", "once": "1 times"}[match[0]]
    if match["words"] == "one" and not match["point"] and not _LONE_ONE.match(match.string, match.start()):
        return match[0]
    if match["words"] in _SCALES:  # "hundreds of", "a few thousand"
        return match[0]
    first, _, rest = match["words"].partition(" and ")
    if rest and not _SCALE.search(first):  # three, six and twelve months
        return f"{_value(first)} and {_value(rest)}"
    whole = _value(match["words"])
    if match["point"]:
        return f"{whole}." + "".join(str(_VALUES.get(word, 0)) for word in match["digits"].split())
    return str(whole)


def _value(words: str) -> int:
    total = group = 0
    for word in re.findall(r"[a-z]+", words):
        if word == "and":
            continue
        if word == "hundred":
            group = max(group, 1) * 100
        elif word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
        elif 0 < group < 10 <= _VALUES[word]:  # "one thirty six", as a blood pressure is dictated
            group = 100 * group + _VALUES[word]
        else:
            group += _VALUES[word]
    return total + group


def _chinese(match: re.Match[str]) -> str:
    if match["of"]:
        part = int(match["n"]) if match["n"].isdigit() else _han(match["n"])
        of = _han(match["of"])
        return f"{part}%" if of == 100 else _written(part / of if of else 0)
    if match["halved"]:
        return "0.5" + {"月": "个月", "个小时": "小时"}.get(match["halved"], match["halved"])
    if match["wan"]:
        number = float(match["wan"]) if match["wan"][0].isdigit() else float(_han(match["wan"]))
        return _written(number * (10_000 if match["scale"] == "万" else 100_000_000))
    if _NOT_COUNTS.match(match.string, match.start()):
        return match[0]
    whole = str(_han(match["whole"]))
    if match.string[match.end() : match.end() + 1] == "月" and match["whole"] == "两":
        return "2个"
    return whole + "." + "".join(str(_HAN_DIGITS[c]) for c in match["digits"]) if match["digits"] else whole


def _han(digits: str) -> int:
    if not any(c in _HAN_SCALES for c in digits):
        return int("".join(str(_HAN_DIGITS[c]) for c in digits))
    total, digit = 0, 0
    for c in digits:
        if c in _HAN_SCALES:
            total, digit = total + (digit or 1) * _HAN_SCALES[c], 0
        else:
            digit = _HAN_DIGITS[c]
    return total + digit


def _written(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
