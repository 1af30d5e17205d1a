"""A text with identifiers replaced by what kind they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgemed.clinical.language import Language
from edgemed.clinical.redaction.folding import folded
from edgemed.clinical.redaction.identifier import LABELS, Identifier, merged

_BESIDE = 8
"""Characters on each side that decide the language of a replacement that is not Chinese itself."""


def replaced(text: str, chosen: Iterable[Identifier]) -> str:
    """`text` with each of `chosen` as [NAME 1], [DATE], [姓名 1] ...

    The same name has the same number everywhere. Different forms of a name (Smith, John Smith) have different numbers:
    they may be two people. Nothing outside of `chosen` changes.
    """
    parts, at = [], 0
    for each, label in labels(text, chosen):
        parts += [text[at : each.start], f"[{label}]"]
        at = each.end
    return "".join([*parts, text[at:]])


def labels(text: str, chosen: Iterable[Identifier]) -> list[tuple[Identifier, str]]:
    """What stands in the brackets for each of `chosen`, in the order of the text. Overlapping ones are made one."""
    numbers: dict[str, int] = {}
    made = []
    for each in merged(chosen):
        label = LABELS[_language(text, each)][each.kind]
        if each.kind == "name":
            words = sorted(re.findall(r"\w+", folded(text[each.start : each.end]).casefold()))
            label += f" {numbers.setdefault(' '.join(words), len(numbers) + 1)}"
        made.append((each, label))
    return made


def _language(text: str, each: Identifier) -> Language:
    own = text[each.start : each.end]
    words = each.kind in ("name", "address", "place") and re.search(r"[A-Za-z]{2}", own)
    around = own if words else text[max(0, each.start - _BESIDE) : each.end + _BESIDE]
    return "zh-CN" if re.search(r"[\u4e00-\u9fff]", around) else "en"
