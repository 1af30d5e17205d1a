"""A source that is read once and compared with a note after each edit."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgemed.clinical.folded import LONGEST
from edgemed.clinical.numbers import Checked, Source, check
from edgemed.clinical.numbers.quantities import MOST

SOURCE = "Aspirin 75 mg, left knee pain.\nNo fever. BP 120/80."


def test_each_edit_is_checked_as_a_fresh_note_is() -> None:
    source = Source(SOURCE)
    note = "Left knee pain, no fever.\nBP 120/80.\nAspirin 75 mg."
    for end in range(len(note) + 1):
        assert source.check(note[:end]) == check(SOURCE, note[:end])


def test_marks_follow_a_line_that_moves() -> None:
    source = Source(SOURCE)
    for before in ("", "Seen today.\n", "\n\nSeen today.\n", ""):
        note = f"{before}Aspirin 57 mg."
        (mark,) = source.check(note).added
        assert (mark.text, note[mark.start : mark.end]) == ("57 mg", "57 mg")


def test_an_error_is_gone_when_it_is_corrected() -> None:
    source = Source(SOURCE)
    assert source.check("Right knee pain, fever, BP 120/80, aspirin 75 mg.").added
    assert not source.check("Left knee pain, no fever, BP 120/80, aspirin 75 mg.")


def test_the_same_line_twice_is_read_twice() -> None:
    assert [mark.start for mark in Source(SOURCE).check("BP 121/80\nBP 121/80").added] == [3, 13]


@pytest.mark.parametrize(
    ("source", "written", "cut"),
    [
        (SOURCE, SOURCE, False),
        ("a " * LONGEST, "a", True),
        ("a", "a " * LONGEST, True),
        ("a\n" * (LONGEST // 2), "a", False),
        ("5 a " * (MOST + 1), "5 a", True),
    ],
)
def test_a_text_that_is_not_read_to_its_end_says_so(source: str, written: str, cut: bool) -> None:
    assert check(source, written).cut is cut


def test_cut_alone_is_no_finding() -> None:
    assert not Checked([], [], cut=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "false", "missed"), [("shorthand", 2, 16), ("fresh", 6, 17)])
def test_shorthand_is_understood(name: str, false: int, missed: int) -> None:
    """Counts, since some of these pairs are known to be judged wrongly."""
    text = Path(__file__).with_name(f"{name}.toml").read_text("utf-8")
    pairs: list[dict[str, Any]] = tomllib.loads(text)["pair"]
    sources = [Source(pair["source"]) for pair in pairs]
    honest = [source.check(pair["same"]) for source, pair in zip(sources, pairs, strict=True)]
    errors = [
        (source, right, pair["same"].replace(old, new, 1))
        for source, right, pair in zip(sources, honest, pairs, strict=True)
        for old, new in pair["errors"]
    ]
    found = sum(
        len(source.check(wrong).added) > len(right.added) or (not right.added and bool(source.check(wrong).added))
        for source, right, wrong in errors
    )
    assert sum(bool(checked.added) for checked in honest) <= false
    assert len(errors) - found <= missed
