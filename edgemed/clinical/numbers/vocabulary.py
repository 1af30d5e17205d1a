"""The words of `words.toml`, put into canonical form in one pass over a text."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from edgemed.clinical.folded import Folded
from edgemed.clinical.spellings import any_of

_HAN = re.compile(r"[\u4e00-\u9fff]")


def to_canonical(folded: Folded) -> None:
    """Replaces each spelling by its canonical form between spaces, the longest spelling first."""
    pattern, forms, _ = _table()
    folded.replace(pattern, lambda match: f" {forms[match[0]]} ")


def symptoms() -> frozenset[str]:
    """Canonical words that are findings by themselves."""
    return _table()[2]


@cache
def listed(name: str) -> frozenset[str]:
    """A list of words."""
    return frozenset(_stored()["lists"][name].split())


@cache
def _stored() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("words.toml").read_text("utf-8"))


@cache
def _table() -> tuple[re.Pattern[str], dict[str, str], frozenset[str]]:
    stored = _stored()
    forms = {
        spelling.strip(): canonical
        for name, group in stored.items()
        if name != "lists"
        for canonical, many in group.items()
        for spelling in many
    }
    latin = [spelling for spelling in forms if not _HAN.search(spelling)]
    words = [spelling for spelling in latin if spelling[0].isalnum()]
    others = [spelling for spelling in latin if not spelling[0].isalnum()]
    han = [spelling for spelling in forms if _HAN.search(spelling)]
    pattern = rf"(?<![a-z0-9-]){any_of(words)}(?![a-z0-9])|{any_of(han)}|{any_of(others)}"
    return re.compile(pattern), forms, frozenset(stored["symptom"])


@cache
def canonical_words() -> frozenset[str]:
    """Every word of a canonical form; no ending is taken from them."""
    return frozenset(word for form in _table()[1].values() for word in form.split())
