"""The header's name or initials, found in a text in every form in which people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.redaction.folding import folded
from edgemed.clinical.redaction.han_names import DOUBLE
from edgemed.clinical.redaction.identifier import Identifier
from edgemed.clinical.redaction.latin_patterns import EPONYM_AFTER
from edgemed.clinical.redaction.words import ABBREVIATIONS, HAN_WORDS, ORDINARY, STOP

_PERSON_BEFORE = (
    r"\((?=[A-Z]{2,4}\))|(?:[Rr]e|ID|[Ss]een|[Rr]eviewed|[Mm]et|[Rr]eferred|[Bb]orn)(?:: ?| )"
    r"|[:：](?=[A-Z]{2,4}[，,。])"
    r"|^[ \t]*(?=[A-Z]{2,4}[ \t]*$)"
)
_PERSON_AFTER = (
    r",? ?\(?\d{1,3} ?(?:[MF]\b|y|岁)|, (?:aged?|born|DOB)| ?\((?:b\.|born|DOB)|[，,](?:男|女)"
    r"|,? (?:is an? |was (?:seen|admitted|reviewed|born)|presented|presents|reports?|denies|attended|lives|came"
    r"|says|told"
    r"|has a (?:history|past))"
)
"""What stands beside initials that are an abbreviation, too, where they are a person's: TB, 54M; (TB); TB reports."""
_BORN_AFTER = r",? ?\(?(?:born |b\. ?\d|DOB\b|(?:19|20)\d\d[-/.年])"
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

_LETTER = r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]"


def _named(field: str) -> list[str]:
    """The words of the header's field if it holds a name in Latin letters, not initials."""
    words = re.findall(rf"{_LETTER}+(?:['-]{_LETTER}+)*", field)
    written_out = any(len(word) > 3 or (len(word) > 1 and word[0].isupper() and word[1].islower()) for word in words)
    return words if written_out else []


def known_names(text: str, low: str, field: str) -> Iterator[Identifier]:
    """The name or the initials of the header's `field`, in every form. All three are folded."""
    words = _named(field)
    for start, end in (*_han(text, field), *(_latin(text, low, words) if words else _initials(text, field))):
        yield Identifier(start, end, "name", True)


def _han(text: str, field: str) -> Iterator[tuple[int, int]]:
    """张伟: 张 伟, 张某, 老张, 小张, and 建国 for 周建国."""
    field = "".join(re.findall(r"[\u4e00-\u9fff]", field))
    name = field.replace("某", "")
    if not name:
        return
    surname = name[:2] if name[:2] in DOUBLE else name[0]
    forms = [rf"{surname}[某×xX*＊]{{1,2}}", rf"(?<![\u4e00-\u9fff])[老小阿]{surname}(?![\u4e00-\u9fff]{{2}}[,，])"]
    if len(name) >= 2:
        forms.insert(0, r"\s?".join(name))
    given = name[len(surname) :]
    if len(given) >= 2 and given not in HAN_WORDS:
        forms.append(given)
    yield from (match.span() for match in re.finditer("|".join(forms), text))


def _latin(text: str, low: str, words: list[str]) -> Iterator[tuple[int, int]]:
    """The whole name in any order and case, Smith, J., and each word of it alone where it is written as a name."""
    small = [re.escape(word.lower()) for word in words]
    gap = r"[\W_]{1,3}"
    whole = [gap.join(small), gap.join([small[-1], *small[:-1]]), gap.join([*small[1:], small[0]])]
    yield from (match.span() for match in re.finditer(rf"(?<![a-z])(?:{'|'.join(whole)})(?![a-z])", low))
    if len(words) > 1:
        first, last = words[0][0].upper(), rf"(?i:{re.escape(words[-1])})"
        short = rf"(?<![A-Za-z])(?:{last}, ?{first}\b\.?|{first}\.? ?{last}(?![A-Za-z]))"
        yield from (match.span() for match in re.finditer(short, text))
    for word in words:
        if len(word) < 3 and len(words) > 1 and word.lower() in ABBREVIATIONS:
            continue
        if word.lower() in STOP | ORDINARY or len(word) < 2:
            continue
        alone = (
            rf"(?<![A-Za-z])(?:{re.escape(word.capitalize())}|{re.escape(word)}|{re.escape(word.upper())})(?![A-Za-z])"
        )
        for match in re.finditer(alone, text):
            if not EPONYM_AFTER.match(text, match.end()):
                yield match.span()


def _initials(text: str, field: str) -> Iterator[tuple[int, int]]:
    letters = "".join(re.findall(r"[A-Za-z]+", field))
    if len(letters) < 2:
        return
    upper = letters.upper()
    alone = r"(?<![A-Za-z\d])"
    dotted, spaced = r"\. ?".join(upper), " ".join(upper)
    patterns = [
        rf"(?<![A-Za-z.])(?P<v>{dotted}\b\.?)",
        rf"(?<![^A-Za-z][A-Z] )(?<![A-Za-z.])(?P<v>{spaced})(?![A-Za-z]| [A-Z]\b)",
        rf"(?<![A-Za-z])(?i:{_NAME_BEFORE})(?P<v>(?i:{letters}))(?![A-Za-z])",
        rf"{alone}(?P<v>(?i:{letters}))(?={_BORN_AFTER})",
    ]
    if letters.lower() not in ABBREVIATIONS:
        patterns.append(rf"{alone}(?P<v>{upper})(?![A-Za-z\d]|-\d|\.[A-Za-z])")
    else:
        patterns.append(rf"(?:^|[.。!?] ?)(?P<v>{upper})(?=[,，])")
        patterns.append(rf"(?:{_PERSON_BEFORE}){alone}(?P<v>{upper})(?![A-Za-z\d])")
        patterns.append(rf"{alone}(?P<v>{upper})(?={_PERSON_AFTER})")
    for pattern in patterns:
        yield from (match.span("v") for match in re.finditer(pattern, text, re.M))


def fits(name: str, header: CaseHeader) -> bool:
    """Whether a name can have the initials of the header."""
    field = folded(header.initials)
    han, letters = (
        "".join(re.findall(r"[\u4e00-\u9fff]", field)).replace("某", ""),
        "".join(re.findall(r"[A-Za-z]", field)).lower(),
    )
    if words := _named(field):
        return {word.lower() for word in words} <= set(re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", name.lower()))
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
