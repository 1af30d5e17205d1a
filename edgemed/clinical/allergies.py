"""Marks where an answer names something that the case header's allergies name, or a drug of its class.

The mark says that a name was found, also where the answer advises against it. That nothing was marked says nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from edgemed.clinical.folded import Folded
from edgemed.clinical.spellings import any_of


@dataclass(frozen=True, slots=True)
class AllergyMark:
    """`found`: the answer's words. `allergy`: the header's. `drug_class` is empty if both are the same word.

    `note`: why a class other than the allergy's own is marked; empty otherwise.
    """

    found: str
    allergy: str
    drug_class: str
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Class:
    name: str
    source: str
    read: bool
    pattern: re.Pattern[str]
    cross: dict[str, str]


_TABLE: dict[str, Any] = tomllib.loads(files("edgemed.clinical").joinpath("allergy_classes.toml").read_text("utf-8"))

_SEPARATORS = re.compile(r"[,;，；、\n/|+]|\.(?!\d)|\band\b|\bexcept\b|\bbut\b|和|及|除外?")
_NOTHING = re.compile(
    r"^\W*(?:no\b|nil\b|none\b|nkd?a\b|nka\b|not known|unknown|denies|not allergic|negative|n/?a$|-+$"
    r"|无|否认|没有|未发现|不详|未知)"
)
_ASIDE = re.compile(
    r"[(（\[【].{0,80}?[)）\]】]|[:：=-]\s*(?:rash|anaphyla|hives|urticaria|swelling|皮疹|休克|荨麻疹).{0,40}$"
)
_NO_NAMES = frozenset(_TABLE["no_names"].split())
_LATIN_NAME = re.compile(r"[a-z][a-z-]{3,}")
_HAN_NAME = re.compile(r"[\u4e00-\u9fff]{2,10}")
_HAN_NO_NAME = re.compile(
    r"药物|过敏史?|过敏性|皮疹|休克|荨麻疹|反应|史|对|曾|类|等|有|严重|轻度|注射液?|针剂?|口服|制剂|食物|不耐受|既往"
)


def named(answer: str, allergies: str, *, unread: bool = False) -> list[AllergyMark]:
    """The names in `answer` that belong to one of `allergies`, each once, in the order of the answer.

    unread: also use classes whose source was not read here.
    """
    folded = Folded.of(answer)
    marks: dict[tuple[str, str], tuple[int, AllergyMark]] = {}
    for item, words in _items(allergies):
        for pattern, drug_class, source, note in _patterns(words, unread):
            for match in pattern.finditer(folded.text):
                start, end = folded.span(*match.span())
                mark = AllergyMark(answer[start:end], item, drug_class, source, note)
                marks.setdefault((match[0], item), (start, mark))
    return [mark for _, mark in sorted(marks.values(), key=lambda entry: entry[0])]


def _items(allergies: str) -> Iterator[tuple[str, str]]:
    """Each allergy of the field as it is written, and in the form that is compared; none from "NKDA", "none", 无."""
    plain = Folded.of(" ".join(allergies.split()))
    start = 0
    for match in [*_SEPARATORS.finditer(plain.text), None]:
        stop = match.start() if match else len(plain.text)
        words = plain.text[start:stop].strip()
        if words and not _NOTHING.match(words):
            first = start + plain.text[start:stop].index(words)
            i, j = plain.span(first, first + len(words))
            yield plain.original[i:j], _ASIDE.sub(" ", words)
        start = match.end() if match else stop


def _patterns(words: str, unread: bool) -> Iterator[tuple[re.Pattern[str], str, str, str]]:
    """What to look for in an answer for one allergy: its own name, its class, the classes that cross-react."""
    classes = _classes()
    own = [one for one in classes.values() if one.pattern.search(words) and (one.read or unread)]
    for one in own:
        yield one.pattern, one.name, one.source, ""
    for one in own:
        for other, note in one.cross.items():
            if other not in {mine.name for mine in own}:
                yield classes[other].pattern, other, one.source, note
    if own:
        return
    latin = [word.rstrip("s") for word in _LATIN_NAME.findall(words) if word not in _NO_NAMES]
    han = _HAN_NAME.findall(_HAN_NO_NAME.sub(" ", words))
    if latin or han:
        yield _pattern(latin, han, []), "", "", ""


def _pattern(latin: list[str], han: list[str], endings: list[str]) -> re.Pattern[str]:
    """Latin words stand alone, with a plural's s at most; Chinese ones may stand within longer names."""
    parts = [rf"(?<![a-z0-9]){any_of(latin)}s?(?![a-z0-9])"] if latin else []
    parts += [rf"(?<![a-z0-9])[a-z]{{2,20}}{any_of(endings)}(?![a-z0-9])"] if endings else []
    parts += [any_of(han)] if han else []
    return re.compile("|".join(parts))


@cache
def _classes() -> dict[str, _Class]:
    found = {}
    for one in _TABLE["class"]:
        words = [*one["allergy"], *one["drugs"]]
        han = [word for word in words if re.search(r"[\u4e00-\u9fff]", word)] + one["within"]
        pattern = _pattern([word for word in words if word not in han], han, one["endings"])
        source = f"{one['source']} ({one['edition']})"
        found[one["name"]] = _Class(one["name"], source, one["read"], pattern, one.get("cross", {}))
    return found
