"""No number is parted from its unit or its comparison at the end of a line, at any width, in either language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.tui.markdown import Drawing
from edgemed.tui.markdown.binding import Break, breaks
from edgemed.tui.markdown.wrapping import wrapped
from edgemed.tui.widgets.bound_lines import LONGEST, wrap_offsets
from tests.tui.held_out import ANSWERS

WIDTHS = range(40, 201)

# Written without looking at `binding`: what follows a number and may not begin a line.
_UNITS = (
    "mg mcg µg g kg mL ml L IU units mmol mmol/L mg/dL mg/kg mg/kg/day mL/min mL/min/1.73m² mmHg bpm % °C mEq ng/mL "
    "hours h days weeks months years tablets puffs drops times min kPa U/L cells/µL ×10⁹/L"
)
_UNITS_ZH = "毫克 微克 克 毫升 片 粒 次 天 小时 周 个月 岁 毫摩尔/升 单位 公斤 毫米汞柱 mg mmol/L 滴 支"
UNITS, UNITS_ZH = _UNITS.split(), _UNITS_ZH.split()
STARTS_WITH_UNIT = re.compile(
    "|".join(sorted(map(re.escape, {unit.split("/")[0] for unit in UNITS + UNITS_ZH}), key=len, reverse=True))
)
COMPARISON = re.compile(r"[<>≤≥=±×]\s*$")
NUMBER_END, NUMBER_START = re.compile(r"\d[\d.,]*\s*$"), re.compile(r"\s*[\d.]")


def torn(text: str, parts: list[str]) -> Iterator[tuple[str, str]]:
    """The line ends that part a number from its unit or comparison, or from its own digits."""
    assert "".join(parts) == text
    for before, after in pairwise(parts):
        if (
            (NUMBER_END.search(before) and STARTS_WITH_UNIT.match(after.lstrip()))
            or (COMPARISON.search(before) and NUMBER_START.match(after))
            or (re.search(r"\d$", before) and re.match(r"[.,]?\d", after))
        ):
            yield before[-20:], after[:20]


def torn_in_drawing(source: str, width: int) -> list[tuple[str, str]]:
    rows: dict[int, list[str]] = {}
    for line in Drawing(source).lines(width):
        if not line.row.filled:
            rows.setdefault(line.number, []).append(line.row.text[line.start : line.end])
    return [ends for parts in rows.values() for ends in torn("".join(parts), parts)]


def torn_in_composer(text: str, width: int) -> list[tuple[str, str]]:
    found = []
    for line in text.split("\n"):
        cuts = [0, *wrap_offsets(line, width, 4), len(line)]
        found += torn(line, [line[start:end] for start, end in pairwise(cuts)])
    return found


NUMBER = st.sampled_from(["5", "2.5", "500", "0.125", "1,000", "12", "10 000", "1-2", "7.35", "120/80"])
DOSE = st.builds("{}{}{}".format, NUMBER, st.sampled_from(["", " "]), st.sampled_from(UNITS)).filter(
    lambda dose: not re.match(r".*\d×", dose)
)
DOSE_ZH = st.builds("{}{}{}".format, NUMBER, st.sampled_from(["", " "]), st.sampled_from(UNITS_ZH))
LIMIT = st.builds(
    "{}{}{}".format, st.sampled_from(["<", ">", "≤", "≥", "=", "±", "> =", "<="]), st.sampled_from(["", " "]), DOSE
)
WORD = st.sampled_from(["amoxicillin", "if", "eGFR", "then", "a", "potassium", "(NSTEMI),", "every", "for", "not", "-"])
WORD_ZH = st.sampled_from(["口服", "阿莫西林", "如果", "每日", "，", "体重", "（慎用）", "不得超过", "eGFR", "。"])
ENGLISH = st.lists(st.one_of(WORD, WORD, DOSE, LIMIT), min_size=5, max_size=60).map(" ".join)
CHINESE = st.lists(st.one_of(WORD_ZH, WORD_ZH, DOSE_ZH), min_size=5, max_size=60).map("".join)
TEXT = ENGLISH | CHINESE


@given(TEXT, st.integers(40, 200))
def test_no_drawn_line_parts_a_number_from_its_unit(text: str, width: int) -> None:
    assert torn_in_drawing(text, width) == []
    assert torn_in_drawing(f"1. {text}\n   - **{text}**\n", width) == []


@given(st.lists(ENGLISH | CHINESE, min_size=4, max_size=4), st.integers(40, 200))
def test_no_table_parts_a_number_from_its_unit(cells: list[str], width: int) -> None:
    first, second, third, fourth = cells
    table = f"| Drug | Dose |\n|---|---|\n| {first} | {second} |\n| {third} | {fourth} |"
    assert torn_in_drawing(table, width) == []


@given(TEXT, st.integers(40, 200))
def test_no_line_of_the_composer_parts_a_number_from_its_unit(text: str, width: int) -> None:
    assert torn_in_composer(text, width) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_held_out_answers_at_every_width(name: str) -> None:
    for width in WIDTHS:
        assert torn_in_drawing(ANSWERS[name], width) == [], width
        assert torn_in_composer(ANSWERS[name], width) == [], width


@given(st.text(alphabet="a 5.胸\t，-", max_size=80), st.integers(1, 30), st.booleans())
def test_wrapping_loses_nothing_and_fits(text: str, width: int, hanging: bool) -> None:
    cells = [2 if character in "胸，" else 1 for character in text]
    lines = wrapped(text, width, cells=cells, hanging=hanging)
    assert [start for start, _ in lines[1:]] == [end for _, end in lines[:-1]]
    assert (lines[0][0], lines[-1][1]) == (0, len(text))
    for start, end in lines:
        shown = text[start:end].rstrip() if hanging else text[start:end]
        assert sum(cells[start : start + len(shown)]) <= width or len(shown) == 1


@pytest.mark.parametrize(
    ("text", "at", "bad"),
    [
        ("take 5 mg", 7, Break.BOUND),
        ("if < 30", 5, Break.BOUND),
        ("7 fast heart beats", 2, Break.LOOSE),
        ("10 000", 3, Break.LOOSE),
        ("a b", 2, Break.FREE),
        ("胸痛，伴", 1, Break.FREE),
        ("胸痛，伴", 2, Break.FOLD),
        ("每日3次", 2, Break.FREE),
        ("每日3次", 3, Break.TORN),
        ("12500", 2, Break.TORN),
    ],
)
def test_how_bad_a_break_is(text: str, at: int, bad: Break) -> None:
    assert breaks(text)[at] is bad


def test_the_longest_lines_are_left_to_textual() -> None:
    line = "5 mg " * (LONGEST // 4)
    assert wrap_offsets(line, 52, 4)[0] == 52
    assert wrap_offsets(line[:LONGEST], 52, 4)[0] == 50


def test_the_composer_measures_tabs() -> None:
    sections = [("a", 3), ("b", 3), ("c 5", 1), ("mg", 0)]
    assert wrap_offsets("a\tb\tc 5\tmg", 12, 4, precomputed_tab_sections=sections) == [6]
