"""What a text says about who its patient is: labelled names, numbers and birth dates, and age and sex at its beginning.

Relatives and colleagues are left out. Rules for English and Chinese; they were written without the texts that
`benchmarks.wrong_patient` counts them on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgemed.clinical import patient_patterns as patterns
from edgemed.clinical.dates import Dates, dates_of

Kind = Literal["name", "number", "born", "age", "sex"]

LONGEST = 100_000
"""Characters of a text that are looked at."""
_OPENING = 240
"""Characters at most in which age and sex are looked for."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing said. `value` is comparable (`edgemed.clinical.wrong_patient`), `shown` is how the text says it.

    `label` tells numbers of different registers apart. `years`: the age.
    """

    kind: Kind
    value: str
    shown: str
    label: str = ""
    years: float = 0.0
    dates: Dates = frozenset()


def mentioned(text: str) -> list[Item]:
    """Everything that `text` says about who its patient is, in no particular order."""
    text = normal(text)
    items = [*_names(text), *_numbers(text), *_births(text), *_labelled(text), *_opening(text)]
    return list(dict.fromkeys(items))


def normal(text: str) -> str:
    """The beginning of `text`, without variants of characters and runs of white space, which are slow to match."""
    text = unicodedata.normalize("NFKC", text[:LONGEST])
    return "\n".join(re.sub(r"[^\S\n]{3,}", "  ", line.strip()) for line in text.splitlines() if line.strip())


def another_patient(text: str) -> str:
    """The words with which `text` begins, if they say that it is about another patient; empty otherwise."""
    match = patterns.ANOTHER.match(text[:80])
    return match[0].strip() if match else ""


def _before(text: str, at: int, most: int = 32) -> str:
    """What stands before `at` on its line and in its sentence."""
    return re.split(r"[\n。.;；!?|]", text[max(0, at - most) : at])[-1]


def _others(text: str, at: int) -> bool:
    """Whether what stands at `at` is said of a relative or a colleague."""
    return bool(patterns.NOT_PATIENT.search(_before(text, at)))


def _names(text: str) -> Iterator[Item]:
    for match in patterns.NAME.finditer(text):
        value = patterns.NEXT_FIELD.split(match["latin"] or match["han"] or match["short"])[0].strip(" .,-")
        end = text.find("\n", match.end())
        line = text[match.start() : end if end >= 0 else None][:120]
        # After "patient:" or "re:" may stand anything; after "name:" stands a name.
        if not patterns.NAME_WORD.search(match[0]) and not (match["short"] or patterns.WRITTEN_NAME.match(value)):
            continue
        if value and not _others(text, match.start()) and not patterns.ROLE.search(line.replace("patient", "")):
            yield Item("name", _normal_name(value), value)
    first = patterns.TITLED.match(text)
    if first is None or patterns.ACTS.match(first["after"]):
        return
    value = first["title"] or first["full"] or first["comma"] or first["han"]
    if not (first["han"] and patterns.NO_NAME.search(value)) and not patterns.NOT_PATIENT.search(value):
        yield Item("name", _normal_name(value), value)
    if title := re.search(r"\b(mr|mrs|ms|miss)\b\.?\s", first[0].lower()):
        yield Item("sex", "M" if title[1] == "mr" else "F", first[0].strip())


def _normal_name(value: str) -> str:
    bare = re.sub(r"^(?:mr|mrs|ms|miss|mx|master)\.?\s+", "", value.casefold())
    bare = re.sub(r"(?:先生|女士|小姐)$", "", bare)
    return " ".join(re.findall(r"[^\W\d_]+", bare))


def _numbers(text: str) -> Iterator[Item]:
    for match in patterns.NUMBER.finditer(text):
        value = re.sub(r"[^0-9a-z]", "", match["value"].casefold())
        label = next(name for name, rule in patterns.NUMBERS if re.fullmatch(rule, match["label"].strip(), re.I))
        if len(value) >= 4 and not patterns.OF_RELATIVE.search(_before(text, match.start())):
            yield Item("number", value, match[0].strip(), label)


def _births(text: str) -> Iterator[Item]:
    for match in patterns.BORN.finditer(text):
        dates = dates_of(match["latin"] or match["han"])
        before = _before(text, match.start(), 60)
        if dates and not patterns.OF_RELATIVE.search(before):
            yield Item("born", " ".join(sorted(map(str, dates))), match[0].strip(), dates=dates)


def _labelled(text: str) -> Iterator[Item]:
    for match in patterns.LABELLED_AGE.finditer(text):
        if not patterns.OF_RELATIVE.search(_before(text, match.start())):
            yield age_item(match["n"] or match["hn"], match["u"] or match["hu"] or "", match[0].strip())
    for match in patterns.LABELLED_SEX.finditer(text):
        if not patterns.OF_RELATIVE.search(_before(text, match.start())):
            yield sex_item(match["s"] or match["hs"], match[0].strip())


def age_item(number: str, unit: str, shown: str) -> Item:
    """The age in years. Without a unit, `number` is in years."""
    unit = unit.lower()
    if unit.startswith(("mo", "mth", "个月", "月")) or unit == "m":
        years = int(number) / 12
    elif unit.startswith("w"):
        years = int(number) / 52
    elif unit.startswith(("d", "天", "日")):
        years = int(number) / 365
    elif unit.startswith(("h", "小时")):
        years = 0.0
    else:
        years = float(number)
    return Item("age", f"{years:.3f}", shown, years=years)


def sex_item(word: str, shown: str) -> Item:
    """ "M" or "F" for a word of either language."""
    return Item("sex", patterns.SEX_WORDS[word.lower()], shown)


def opening_of(text: str) -> str:
    """The first sentence; the second one as well if the first is a heading or says neither age nor sex."""
    start = text.lstrip()[:_OPENING]
    ends = [match.end() for match in re.finditer(r"[。！？!?]|\.(?=\s|$)|\n\s*\n|\n", start)]
    for end in ends:
        if patterns.AGES.search(start[:end]) or patterns.SEX.search(start[:end]) or end > 120:
            return start[:end]
    return start if len(ends) <= 2 else start[: ends[2]]


def _opening(text: str) -> Iterator[Item]:
    opening = opening_of(text)
    if not patterns.IF.match(opening):
        yield from ages_in(opening)


def ages_in(text: str) -> Iterator[Item]:
    """The first age and the first sex in `text` that are the patient's."""
    for match in patterns.AGES.finditer(text):
        groups = {name: value for name, value in match.groupdict().items() if value}
        number = next((value for name, value in groups.items() if name[0] == "n"), "")
        if (
            not number
            or int(number) > 115
            or _relative(text, match)
            or patterns.PAST.search(_before(text, match.start()))
        ):
            continue
        unit = next((value for name, value in groups.items() if name[0] == "u"), "")
        yield age_item(number, unit, match[0].strip(" ,，-"))
        sex = next((value for name, value in groups.items() if name[0] == "s"), "")
        if sex:
            yield sex_item(sex, match[0].strip(" ,，-"))
            return
        break
    for match in patterns.SEX.finditer(text):
        if not _relative(text, match):
            yield sex_item(match["s"] or match["hs"], match[0])
            return


def _relative(text: str, match: re.Match[str]) -> bool:
    """Whether a match is about somebody else: "his mother, 72", "72-year-old brother", "mother of a 3-year-old"."""
    after = patterns.RELATIVE_AFTER.match(text, match.end())
    return bool(after) or bool(patterns.NOT_PATIENT.search(_before(text, match.start(), 28)))
