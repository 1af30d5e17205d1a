"""Numbers and addresses of the network that have their own form, with or without a label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date

from edgemed.clinical.redaction.identifier import Identifier, Kind

Fits = Callable[[str, str], bool]
"""Whether a match is what it looks like: (the match, the 40 characters before it)."""


def nhs_number(text: str) -> bool:
    """Whether the last of ten digits is the check digit of the others (modulus 11)."""
    digits = [int(each) for each in text if each.isdigit()]
    check = 11 - sum(weight * digit for weight, digit in zip(range(10, 1, -1), digits, strict=False)) % 11
    return len(digits) == 10 and check != 10 and check % 11 == digits[9]


def id_card(text: str) -> bool:
    """Whether this is a Chinese ID card number: a real birth date, and the right check digit if it has 18."""
    bare = re.sub(r"[ -]", "", text).upper()
    born = bare[6:14] if len(bare) == 18 else f"19{bare[6:12]}"
    try:
        date(int(born[:4]), int(born[4:6]), int(born[6:]))
    except ValueError:
        return False
    if len(bare) == 15:
        return bare.isdigit()
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, bare, strict=False))
    return bare[17] == "10X98765432"[total % 11]


def _count(fewest: int, most: int) -> Fits:
    return lambda found, before: fewest <= sum(map(str.isdigit, found)) <= most


def _ip(found: str, before: str) -> bool:
    return len(found) >= 8 and all(int(part) <= 255 for part in found.split(".")) and not before.endswith("v")


def _long(found: str, before: str) -> bool:
    return not found.endswith("000000") and len(set(found)) > 1


def _code(found: str, before: str) -> bool:
    letters = re.match(r"[a-z]+", found)
    return bool(letters) and letters is not None and letters[0] not in _PUBLISHED


_PUBLISHED = frozenset({"pmc", "nct", "rs", "doi", "ng", "ta", "cg", "umin", "pmi", "e", "x"})
_PLATE_CUE = re.compile(r"car|vehicle|plate|van|taxi|driv|reg|lorry|motor")


def _plate(found: str, before: str) -> bool:
    return bool(_PLATE_CUE.search(before))


def _always(found: str, before: str) -> bool:
    return True


_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_RULES: tuple[tuple[Kind, re.Pattern[str], Fits], ...] = (
    ("url", re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"',;。()\[\]]{3,200}"), _always),
    ("ip", re.compile(r"(?<![\da-z])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]\d|\d)"), _ip),
    ("ip", re.compile(r"(?<![\da-z])[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}(?![0-9a-f:])"), _always),
    (
        "ip",
        re.compile(r"(?<![\da-z])[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5}::[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5}"),
        _always,
    ),
    ("device", re.compile(r"(?<![\da-z])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![0-9a-f:-])"), _always),
    ("id_card", re.compile(r"(?<![\da-z])\d{6}[ -]?(?:18|19|20)\d\d[ -]?\d{4}[ -]?\d{3}[\dx](?![\da-z])"), _always),
    ("id_card", re.compile(r"(?<![\da-z])\d{15}(?![\da-z])"), lambda found, before: id_card(found)),
    ("phone", re.compile(r"(?<![\da-z])(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)"), _always),
    (
        "phone",
        re.compile(r"(?:\+|(?<!\d)00)\d{1,3}[ .-]?(?:\(0\) ?)?\(?\d{1,5}\)?(?:[ .-]?\d{2,5}){1,5}(?!\d)"),
        _count(8, 15),
    ),
    ("phone", re.compile(r"(?<![\da-z])\(?0\d{2,5}\)?[ -]?\d{3,8}(?:[ -]\d{3,8}){0,2}(?![\d.]\d|\d)"), _count(10, 12)),
    ("phone", re.compile(r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\d-])"), _count(10, 11)),
    ("phone", re.compile(r"[48]00[- ]?\d{3}[- ]?\d{4}(?!\d)"), _always),
    (
        "nhs",
        re.compile(r"(?<![\da-z])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\d-]|\.\d)"),
        lambda found, before: nhs_number(found),
    ),
    ("phone", re.compile(r"\d{3} \d{3} \d{4}(?![\d-]|\.\d)"), _always),
    ("ssn", re.compile(r"(?!000|666|9)\d{3}-\d{2}-\d{4}(?![\d-])"), _always),
    ("ssn", re.compile(r"[a-ceghj-prtw-z][a-ceghj-nprtw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d](?![a-z0-9])"), _always),
    ("account", re.compile(r"\d{4}([ -])\d{4}\1\d{4}\1\d{3,4}(?:\1\d{1,4})?(?!\d)"), _always),
    (
        "account",
        re.compile(r"(?<![\da-z])[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){3,7}(?: ?[a-z0-9]{1,3})?(?![a-z0-9])"),
        _count(12, 34),
    ),
    ("number", re.compile(r"(?<![\da-z])\d{9,30}(?![\da-z]|\.\d)"), _long),
    ("record", re.compile(r"(?<![\da-z])[a-z]{1,3}-?\d{6,10}(?![\da-z])"), _code),
    ("vehicle", re.compile(r"(?<![\da-z])[a-hj-npr-z\d]{17}(?![a-z\d])"), _count(3, 16)),
    ("vehicle", re.compile(r"[a-z]{2}\d{2} ?[a-z]{3}(?![a-z\d])"), _plate),
    (
        "vehicle",
        re.compile(rf"[{_PROVINCES}][a-hj-z][·• ]?(?=[a-z]{{0,2}}\d)[a-hj-np-z\d]{{4,5}}[a-hj-np-z\d挂学警港澳]"),
        _always,
    ),
)
_AT: re.Pattern[str] = re.compile(r"@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5}")
_DOMAIN = re.compile(
    r"\.(?:com|org|net|edu|gov|int|info|nhs\.uk|ac\.uk|co\.uk|gov\.uk|cn|io|de|fr|eu)(?![a-z0-9-])"
    r"(?:/[^\s,;。)]{0,150})?"
)
_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._%+-")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")


def numbers(low: str) -> Iterator[Identifier]:
    """`low` is folded and in lower case."""
    for kind, pattern, fits in _RULES:
        for match in pattern.finditer(low):
            at = match.start()
            joined = at > 0 and (low[at - 1] == "." or (low[at - 1].isascii() and low[at - 1].isalnum()))
            if not joined and fits(match[0], low[max(0, at - 40) : at]):
                yield Identifier(at, match.end() - (match[0][-1] in ".:" and kind == "url"), kind)
    for kind, pattern, allowed in (("email", _AT, _LOCAL), ("url", _DOMAIN, _HOST)):
        end = 0
        for match in pattern.finditer(low):
            start, first = match.start(), max(end, match.start() - 64)
            while start > first and low[start - 1] in allowed:
                start -= 1
            end = match.end()
            if start < match.start():
                yield Identifier(start, end, kind)
