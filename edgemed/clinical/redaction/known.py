"""What the case header says of who the patient is, found in a text in every form in which people write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.dates import dates_of
from edgemed.clinical.redaction.folding import folded, lowered
from edgemed.clinical.redaction.identifier import Identifier
from edgemed.clinical.redaction.known_names import known_names

_MONTHS = (
    *("jan(?:uary)?", "feb(?:ruary)?", "mar(?:ch)?", "apr(?:il)?", "may", "june?", "july?", "aug(?:ust)?"),
    *("sept?(?:ember)?", "oct(?:ober)?", "nov(?:ember)?", "dec(?:ember)?"),
)
_DIGITS = "〇一二三四五六七八九"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NEAR = 30
"""No form of a birth date is longer."""


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
    yield from known_names(text, low, folded(header.initials))


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
