"""What the case header says of who the patient is, found in a text in every form in which people write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.dates import dates_of
from edgemed.clinical.redaction.folding import folded, lowered
from edgemed.clinical.redaction.identifier import Identifier
from edgemed.clinical.redaction.words import ABBREVIATIONS

_MONTHS = (
    *("jan(?:uary)?", "feb(?:ruary)?", "mar(?:ch)?", "apr(?:il)?", "may", "june?", "july?", "aug(?:ust)?"),
    *("sept?(?:ember)?", "oct(?:ober)?", "nov(?:ember)?", "dec(?:ember)?"),
)
_DIGITS = "〇一二三四五六七八九"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NEAR = 30
"""No form of a birth date is longer."""
_PERSON_BEFORE = (
    r"\((?=[A-Z]{2,4}\))|(?:[Rr]e|ID|[Ss]een|[Rr]eviewed|[Mm]et|[Rr]eferred|[Bb]orn)(?:: ?| )"
    r"|[:：](?=[A-Z]{2,4}[，,。])"
    r"|^[ \t]*(?=[A-Z]{2,4}[ \t]*$)"
)
_PERSON_AFTER = (
    r",? ?\(?\d{1,3} ?(?:[MF]\b|y|岁)|, (?:aged?|born|DOB)|[，,](?:男|女)"
    r"|,? (?:is an? |was (?:seen|admitted|reviewed|born)|presented|presents|reports?|denies|attended|lives|came"
    r"|says|told"
    r"|has a (?:history|past))"
)
"""What stands beside initials that are an abbreviation, too, where they are a person's: TB, 54M; (TB); TB reports."""
_NAME_BEFORE = r"(?:(?:mr|mrs|ms|miss|dr|patient|pt|initials|name)\b\.?[ \t]{0,2}:?[ \t]{0,2}|患者|病人|缩写:?)"
# The first letter of a character's pinyin: GB 2312 orders its 3,755 common characters by pinyin.
_PINYIN = (
    (0xB0A1, "a"), (0xB0C5, "b"), (0xB2C1, "c"), (0xB4EE, "d"), (0xB6EA, "e"), (0xB7A2, "f"), (0xB8C1, "g"), (0xB9FE,
    "h"),
    (0xBBF7, "j"), (0xBFA6, "k"), (0xC0AC, "l"), (0xC2E8, "m"), (0xC4C3, "n"), (0xC5B6, "o"), (0xC5BE, "p"), (0xC6DA,
    "q"),
    (0xC8BB, "r"), (0xC8F6, "s"), (0xCBFA, "t"), (0xCDDA, "w"), (0xCEF4, "x"), (0xD1B9, "y"), (0xD4D1, "z"), (0xD7FA,
    ""),
)  # fmt: skip
_READ_OTHERWISE = {
    "单": "s",
    "曾": "z",
    "解": "x",
    "仇": "q",
    "查": "z",
    "翟": "z",
    "朴": "p",
    "覃": "q",
    "区": "o",
    "盖": "g",
    "冼": "x",
}


def known_values(text: str, low: str, header: CaseHeader) -> Iterator[Identifier]:
    """The number, the birth date and the initials of the header. `text` is folded, `low` the same in lower case."""
    for number in _parts(header.number):
        wanted = _number(number) if set(number) - {"0"} <= set(low) else None
        if wanted:
            yield from (Identifier(*match.span(), "record", True) for match in re.finditer(wanted, low))
    years, patterns = _birth(header.born)
    for start, end in _around(low, years):
        for pattern in patterns:
            yield from (Identifier(*match.span(), "date", True) for match in pattern.finditer(low, start, end))
    yield from _initials(text, low, folded(header.initials))


# --- the number ---


def _parts(number: str) -> list[str]:
    """The numbers in the field, which may hold several: each as it is, and without the letters before it."""
    parts = [re.sub(r"[^0-9a-z]", "", part) for part in re.split(r"[,;、，；\n]+", lowered(folded(number)))]
    return list(dict.fromkeys(each for part in parts for each in (part, part.lstrip(_LETTERS)) if each))


def _number(bare: str) -> str | None:
    """The pattern of a number in any spacing, with or without zeros before it; None if it is too short to tell."""
    digits = re.sub(r"^0+(?=.{4})", "", bare)
    if len(digits) < 3:
        return None
    zeros = r"(?:0[ \t-]{0,2}){0,8}" if digits[0].isdigit() else ""
    gap = r"[ \t\-/._·]{0,3}"
    alone, ends = r"(?<![0-9a-z])", r"(?![0-9a-z])"
    if len(digits) == 3:  # it could be a blood pressure or a dose
        alone, ends = r"(?<![0-9a-z./:,-])", r"(?![0-9a-z/%:-]|[.,]\d| ?(?:mg|ml|kg|mmol|cm|mm|bpm))"
    elif len(digits) > 5 and digits.isdigit():  # behind a label without a space: NHS9434765919
        alone = r"(?<![0-9])"
    return alone + zeros + gap.join(map(re.escape, digits)) + ends


# --- the birth date ---


def _birth(born: str) -> tuple[str, list[re.Pattern[str]]]:
    """A pattern of which a match is in every form of the birth date, and the patterns of these forms."""
    plain = lowered(folded(born)).strip()
    found = dates_of(_with_digits(plain))
    if found:
        years = {f"{each.year % 100:02}" for each in found} | {_han_year(each)[-2:] for each in found}
        return "|".join(sorted(years)).replace("〇", "[〇零○]"), [
            re.compile(pattern) for each in found for pattern in _written(each)
        ]
    if len(plain) >= 4 and any(map(str.isalnum, plain)):
        return re.escape(plain), [re.compile(rf"(?<![\da-z]){re.escape(plain)}(?![\da-z])")]
    return "", []


def _around(low: str, anchor: str) -> Iterator[tuple[int, int]]:
    """The parts of a text that are near a match of `anchor`."""
    start = end = 0
    for match in re.finditer(anchor, low) if anchor else ():
        if match.start() - _NEAR > end:
            yield start, end
            start = match.start() - _NEAR
        end = match.end() + _NEAR
    yield max(0, start), end


def _written(day: date) -> Iterator[str]:
    year, short = f"{day.year}", f"{day.year % 100:02}"
    years, months, days = rf"(?:{year}|'?{short})", f"0?{day.month}", f"0?{day.day}"
    name = rf"{_MONTHS[day.month - 1]}\.?"
    ordinal = rf"{days}(?:st|nd|rd|th)?"
    mark = r"(?:[ \t]{0,2}[-/.,_][ \t]{0,2}|[ \t]{1,3})"
    loose = r"(?:[ \t]{0,2}[-/.,_]{0,2}[ \t]{0,3}(?:of[ \t]{1,2})?)"
    ends = r"(?![\d])"
    for numbers in ((days, months, years), (months, days, years), (years, months, days)):
        yield rf"(?<!\d)(?<!\d[./-]){mark.join(numbers)}{ends}"
    for words in ((ordinal, name, years), (name, ordinal, years), (years, name, ordinal)):
        yield rf"(?<![\da-z]){loose.join(words)}{ends}"
    two = f"{day.day:02}", f"{day.month:02}"
    for compact in (
        (year, two[1], two[0]),
        (two[0], two[1], year),
        (two[1], two[0], year),
        (short, two[1], two[0]),
        (*two, short),
        (two[1], two[0], short),
    ):
        yield rf"(?<!\d){''.join(compact)}{ends}"
    han_year = _han_year(day)
    years = rf"(?:{year}|{short}|{han_year}|{han_year[-2:]})".replace("〇", "[〇零○]")
    months, days = rf"(?:{months}|{_han(day.month)})", rf"(?:{days}|{_han(day.day)})"
    yield rf"(?<!\d){years} ?年 ?{months} ?月 ?{days} ?(?:[日号]|(?!\d))"


def _han_year(day: date) -> str:
    return "".join(_DIGITS[int(digit)] for digit in f"{day.year}")


def _han(number: int) -> str:
    tens, ones = divmod(number, 10)
    said = ("" if tens == 1 else _DIGITS[tens]) + "十" if tens else ""
    said += _DIGITS[ones] if ones else ""
    return f"(?:廿{_DIGITS[ones] if ones else ''}|{said})" if tens == 2 else said


def _with_digits(text: str) -> str:
    """Chinese numerals of a date as digits."""
    text = re.sub("[〇零○]", "0", text)
    text = re.sub(
        r"([一二三])?十([一二三四五六七八九])?",
        lambda match: str(
            10 * (_DIGITS.index(match[1]) if match[1] else 1) + (_DIGITS.index(match[2]) if match[2] else 0)
        ),
        text,
    )
    return text.translate({ord(character): str(digit) for digit, character in enumerate(_DIGITS)})


# --- the initials ---


def _initials(text: str, low: str, field: str) -> Iterator[Identifier]:
    han = "".join(re.findall(r"[\u4e00-\u9fff]", field)).replace("某", "")
    if len(han) >= 2:
        yield from (Identifier(*match.span(), "name", True) for match in re.finditer(re.escape(han), text))
    words = re.findall(r"[A-Za-z]+", field)
    if any(len(word) > 3 for word in words):  # a name
        yield from (
            Identifier(*match.span(), "name", True)
            for match in re.finditer(
                r"(?<![a-z])" + r"[\W_]{1,3}".join(word.lower() for word in words) + r"(?![a-z])", low
            )
        )
        return
    letters = "".join(words)
    if len(letters) < 2:
        return
    dotted = r"\. ?".join(letters.upper())
    yield from (Identifier(*match.span(), "name", True) for match in re.finditer(rf"(?<![A-Za-z.]){dotted}\b\.?", text))
    spaced = " ".join(letters.upper())
    yield from (
        Identifier(*match.span(), "name", True)
        for match in re.finditer(rf"(?<![^A-Za-z][A-Z] )(?<![A-Za-z.]){spaced}(?![A-Za-z]| [A-Z]\b)", text)
    )
    behind = re.compile(rf"(?<![a-z]){_NAME_BEFORE}(?P<v>{letters.lower()})(?![a-z])")
    yield from (Identifier(*match.span("v"), "name", True) for match in behind.finditer(low))
    if letters.lower() not in ABBREVIATIONS:
        alone = rf"(?<![A-Za-z\d]){letters.upper()}(?![A-Za-z\d]|-\d|\.[A-Za-z])"
        yield from (Identifier(*match.span(), "name", True) for match in re.finditer(alone, text))
    else:
        as_name = rf"(?P<before>{_PERSON_BEFORE})?(?P<v>{letters.upper()})(?![A-Za-z\d])(?P<after>{_PERSON_AFTER})?"
        for match in re.finditer(rf"(?<![A-Za-z\d]){as_name}", text, re.M):
            if match["before"] is not None or match["after"]:
                yield Identifier(*match.span("v"), "name", True)


def fits(name: str, header: CaseHeader) -> bool:
    """Whether a name can have the initials of the header."""
    field = folded(header.initials)
    han, letters = (
        "".join(re.findall(r"[\u4e00-\u9fff]", field)).replace("某", ""),
        "".join(re.findall(r"[A-Za-z]", field)).lower(),
    )
    if any(len(word) > 3 for word in re.findall(r"[A-Za-z]+", field)):  # a name
        return set(re.findall(r"[a-z]+", field.lower())) <= set(re.findall(r"[a-z]+", name.lower()))
    if han and "\u4e00" <= name[0] <= "\u9fff":
        return name.startswith(han) or han.startswith(name)
    if len(letters) < 2:
        return False
    firsts = (
        [_first(character) for character in name]
        if "\u4e00" <= name[0] <= "\u9fff"
        else [word[0].lower() for word in re.findall(r"[^\W\d_]+", name)]
    )
    orders = [firsts, [*firsts[-1:], *firsts[:-1]], [*firsts[1:], *firsts[:1]]]
    return len(firsts) >= 2 and any(
        _within(order, letters) or _within(list(letters), "".join(order)) for order in orders
    )


def _within(firsts: list[str], letters: str) -> bool:
    """Whether all of `letters` are among `firsts`, in this order."""
    rest = iter(firsts)
    return all(any(first in (letter, "") for first in rest) for letter in letters)


def _first(character: str) -> str:
    """The first letter of a Chinese character's pinyin; empty if it is not known, which fits every letter."""
    if character in _READ_OTHERWISE:
        return _READ_OTHERWISE[character]
    try:
        code = int.from_bytes(character.encode("gb2312"), "big")
    except UnicodeEncodeError:
        return ""
    return next((letter for (_, letter), (end, _) in pairwise(_PINYIN) if code < end), "")
