"""Notices when a text is about another patient than the case it is typed into.

Deterministic, and only a question: nothing found does not mean that the text fits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.dates import dates_of
from edgemed.clinical.mentioned import Item, ages_in, another_patient, mentioned, normal

_ADULT_YEARS = 1.01
"""A difference in age up to this may be a birthday."""
_LINE_START = 40
_SIMILAR = 0.8
_HAN = re.compile(r"[\u4e00-\u9fff]")
_LIST_MARK = re.compile(
    r"\s*(?:(?:bed|patient|pt|case|room|床|患者|病人|病例)?\s*\w{0,3}\s*[.):：、-]|\d+床[:：,，]?|[-*•])?\s*", re.I
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something in a text that does not fit. `known` is what the case says; empty if the text itself says that it is
    about another patient."""

    found: str
    known: str = ""


def of_header(header: CaseHeader) -> list[Item]:
    """What the header says about who the patient is."""
    items = []
    if header.initials:
        letters = " ".join(re.findall(r"[^\W\d_]", header.initials.casefold()))
        items.append(Item("name", letters, header.initials, "initials"))
    if header.number:
        items.append(Item("number", re.sub(r"[^0-9a-z]", "", header.number.casefold()), header.number))
    if dates := dates_of(header.born):
        items.append(Item("born", header.born, header.born, dates=dates))
    age, sex = header.given("age", "en"), header.sex
    labels = (f"{'年龄' if _HAN.search(age) else 'Age'}: {age}", f"{'性别' if _HAN.search(sex) else 'Sex'}: {sex}")
    read = [item for item in mentioned("\n".join(labels)) if item.kind in ("age", "sex")]
    return items + [replace(item, shown=", ".join(filter(None, (age, sex)))) for item in read]


def mismatches(header: CaseHeader, earlier: Sequence[str], text: str) -> list[Mismatch]:
    """What in `text` does not fit the header and the earlier texts of the case, or another part of `text`."""
    known = of_header(header)
    for each in earlier:
        known += _mentioned_earlier(each)
    new = mentioned(text)
    words = another_patient(text)
    found = [Mismatch(words)] if words and (known or earlier) else []
    found += _conflicts(known, new)
    found += _within(text, new)
    return list(dict.fromkeys(found))


@lru_cache(maxsize=512)
def _mentioned_earlier(text: str) -> tuple[Item, ...]:
    """Earlier texts are read again with every question of their chat; a long one takes a tenth of a second."""
    return tuple(mentioned(text))


def _conflicts(known: Sequence[Item], new: Sequence[Item]) -> list[Mismatch]:
    """For each kind: what is new fits nothing that is known of this kind."""
    fitting = {item.kind for item in new for other in known if item.kind == other.kind and _fits(item, other)}
    found = []
    for item in new:
        same = [other for other in known if _comparable(item, other)]
        if not same or any(_fits(item, other) for other in same):
            continue
        if item.kind == "number" and {"name", "born"} <= fitting:
            continue  # another register's or admission's number of the same person
        if item.kind in ("age", "sex") and fitting & {"number", "born"}:
            continue  # an older note of the same person
        found.append(Mismatch(item.shown, same[-1].shown))
    return found


def _within(text: str, items: Sequence[Item]) -> list[Mismatch]:
    """Two patients in one text: labelled values that contradict each other, or lines that begin with ages."""
    found = []
    labelled = [item for item in items if item.kind in ("name", "number", "born")]
    for number, item in enumerate(labelled):
        for other in labelled[:number]:
            if _comparable(item, other) and not _fits(item, other):
                found.append(Mismatch(item.shown, other.shown))
    people: list[tuple[Item, Item]] = []
    for line in normal(text).splitlines():
        mark = _LIST_MARK.match(line)
        start = line[mark.end() if mark else 0 :][:_LINE_START]
        said = {item.kind: item for item in ages_in(start)}
        if "age" in said and "sex" in said and start.find(said["age"].shown) in range(25):
            people.append((said["age"], said["sex"]))
    for age, sex in people[1:]:
        first = people[0]
        if not (_fits(age, first[0]) and _fits(sex, first[1])):
            found.append(Mismatch(age.shown, first[0].shown))
    # Whose number it is, is decided by name and birth date if both are there.
    kinds = {item.kind for item in labelled}
    births = [item for item in labelled if item.kind == "born"]
    if kinds == {"name", "number", "born"} and len(births) > 1 and all(_fits(births[0], each) for each in births):
        found = [each for each in found if not any(each.found == i.shown for i in labelled if i.kind == "number")]
    return found[:3]


def _comparable(item: Item, other: Item) -> bool:
    if item.kind != other.kind:
        return False
    if item.kind == "number":
        # A number of the header has no label: it is compared with numbers of its length.
        return item.label == other.label or ("" in (item.label, other.label) and len(item.value) == len(other.value))
    if item.kind == "name":
        return bool(item.value and other.value) and item.value.isascii() == other.value.isascii()
    return True


def _fits(item: Item, other: Item) -> bool:
    match item.kind:
        case "name":
            return _same_name(item, other)
        case "born":
            return bool(item.dates & other.dates)
        case "age":
            return _same_age(item.years, other.years)
        case _:
            return item.value == other.value


def _same_age(one: float, other: float) -> bool:
    if min(one, other) < 2:
        return abs(one - other) <= 0.25 + 0.25 * min(one, other)
    return abs(one - other) <= _ADULT_YEARS


def _same_name(item: Item, other: Item) -> bool:
    one, two = sorted((item.value.split(), other.value.split()), key=len)
    if "initials" in (item.label, other.label):
        initials, name = (item, other) if item.label == "initials" else (other, item)
        letters = initials.value.split()
        firsts = [word[0] for word in name.value.split()]
        if not name.value.isascii():  # surname first, written together
            return letters[0] in name.value
        fewer, more = sorted((letters, firsts), key=len)
        return all(letter in more for letter in fewer)
    if not item.value.isascii():
        shorter, longer = sorted(("".join(one), "".join(two)), key=len)
        return longer.startswith(shorter) or ("某" in shorter + longer and shorter[0] == longer[0])
    return all(any(_same_word(word, each) for each in two) for word in one)


def _same_word(one: str, other: str) -> bool:
    if min(len(one), len(other)) == 1:
        return one[0] == other[0]
    return one == other or SequenceMatcher(None, one, other).ratio() >= _SIMILAR
