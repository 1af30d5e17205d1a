"""Honest rewordings stay unmarked, and each single error in them is marked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgemed.clinical.numbers import check

PAIRS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("pairs.toml").read_text("utf-8"))["pair"]
ERRORS = [
    pytest.param(pair["source"], pair["same"], old, new, id=f"{old}-{new}")
    for pair in PAIRS
    for old, new in pair["errors"]
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["same"][:40])
def test_an_honest_rewording_has_no_mark(pair: dict[str, Any]) -> None:
    checked = check(pair["source"], pair["same"])
    assert not checked.added
    assert not checked.dropped


@pytest.mark.parametrize(("source", "same", "old", "new"), ERRORS)
def test_one_error_is_marked(source: str, same: str, old: str, new: str) -> None:
    assert same.count(old) == 1 or old in same
    assert check(source, same.replace(old, new, 1)).added
