"""Every character of an answer survives in the parser and in the drawn lines, at once or streamed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.pilot import Pilot

from edgemed.tui.markdown import Drawing, plain_text
from edgemed.tui.markdown.faithful import FaithfulParser, displayed
from edgemed.tui.widgets.drawn import Drawn
from tests.tui.driving import screen_text

PIECES = [
    *("aspirin", "5", "10", "mg", "剂量", "é", "x", " ", "  ", "    ", "\n", "\n\n", "\t"),
    *("*", "**", "_", "`", "```", "~~~", "~~", ">", "> ", "<", "- ", "+ ", "1. ", "7) ", "# ", "---", "===", "\\"),
    *("|", "| a | b |\n|---|--:|\n", "[x]: ", "[a](b)", "![", "<b>", "<!--", "&lt;", "http://a.b", "(", ")", ":", "="),
]
MARKDOWN = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)

DANGEROUS = [
    "x<y and z>w: dose<max",
    "For <PERSON>: 5 mg",
    "[1]: http://x 'y'\n\ntext",
    "0.5*70*2 = 70",
    "2**3**4",
    "Weight\n> 50 kg: 500 mg\n>= 60 kg: 1 g",
    "| a | b |\n|---|---|\n| 1 | 2 | 3 |",
    "```5 mg twice\ncode\n```",
    "3. third\n7. seventh\n",
    "- 5 mmol\n\n+ 5 mmol\n\n* 5 mmol",
    "&lt;5 and &#x202E;",
    "[read](http://x 'title') ![scan](y)",
    "~~5 mg~~",
    "<!-- 5 mg -->",
    "1. a\n\n   ```\n   b < c\n   ```\n2. d",
    "| `a|b` | c |\n|---|---|\n| [/] [bold]d | e |",
    ">" * 30 + " deep",
    "    four spaces\n\ttab",
    "| a \\| x | b |\n|---|---|\n| 1 | 2 | 5 mg \\|",
    "text | more\n--- | --- | ---\n1 < 2 | 3",
    "first line\nsecond line",
]


def spoken(text: str) -> Counter[str]:
    """Counts of the characters that must survive. Their order may change, because tables set text side by side."""
    return Counter(character for character in text if character.isalnum() or character in "<%=&()[]/!")


def printed(text: str, width: int) -> str:
    return "\n".join(line.text for line in Drawing(text).lines(width))


@given(MARKDOWN)
def test_the_parser_loses_nothing(text: str) -> None:
    assert spoken(displayed(FaithfulParser().parse(text))) == spoken(text)


@given(MARKDOWN, st.sampled_from([70, 76, 120]))
def test_the_drawn_lines_lose_nothing(text: str, width: int) -> None:
    assert spoken(printed(text, width)) == spoken(text)


@given(MARKDOWN, st.integers(20, 65))
def test_records_lose_nothing(text: str, width: int) -> None:
    """They repeat the headings of a table in each record."""
    assert spoken(printed(text, width)) >= spoken(text)


@given(MARKDOWN, st.sampled_from([50, 90]))
def test_a_copy_holds_what_is_drawn(text: str, width: int) -> None:
    assert spoken(plain_text(text, width)) == spoken(printed(text, width))


@given(MARKDOWN, st.integers(1, 120))
def test_no_line_is_wider_than_it_may_be(text: str, width: int) -> None:
    for line in Drawing(text).lines(width):
        if len(line.row.text[line.start : line.end].rstrip()) > 1:  # a margin or a wide character may exceed one column
            assert cell_len(line.text) <= max(width, cell_len(line.lead) + 2)


@given(MARKDOWN, st.integers(1, 9), st.sampled_from([50, 90]))
def test_streamed_text_is_drawn_like_the_whole(text: str, step: int, width: int) -> None:
    drawing = Drawing()
    for start in range(0, len(text), step):
        drawing.append(text[start : start + step])
        drawing.lines(width)
    assert [line.text for line in drawing.lines(width)] == [line.text for line in Drawing(text).lines(width)]


@pytest.mark.parametrize("text", DANGEROUS)
def test_known_dangers(text: str) -> None:
    assert spoken(printed(text, 70)) == spoken(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.5*70*2", "0.5*70*2"),
        ("Weight\n> 50 kg: 500 mg", "> 50 kg: 500 mg"),
        ("7. seventh", "7. seventh"),
        ("+ 5 mmol", "+ 5 mmol"),
        ("**5** mg", "5 mg"),
        ("aspirin 75 mg\nbisoprolol 5 mg", "aspirin 75 mg\nbisoprolol 5 mg"),
        ("Dose: 2.5\nmg", "Dose: 2.5 mg"),
        ("Amlodipine 5\nBisoprolol 2.5", "Amlodipine 5\nBisoprolol 2.5"),
        ("no\u00a0break 5\u202fmg", "no break 5 mg"),
    ],
)
def test_what_a_reader_sees(text: str, shown: str) -> None:
    lines = [line.strip() for line in printed(text, 60).splitlines() if line.strip()]
    assert shown in "\n".join(lines)


TABLE = "| Drug | Dose |\n|---|---|\n| Amoxicillin | 1 g |\n| 多西环素 | 100 mg |"
GRID = ["Drug         Dose", "───────────  ──────", "Amoxicillin  1 g", "多西环素     100 mg"]
RECORDS = ["Drug: Amoxicillin", "Dose: 1 g", "─", "Drug: 多西环素", "Dose: 100 mg"]


def test_a_table_is_a_grid_where_its_rows_fit_and_records_elsewhere() -> None:
    assert printed(TABLE, 66).splitlines() == GRID
    assert printed(TABLE, 65).splitlines() == RECORDS
    assert printed(TABLE.replace("1 g", "1 g " * 20), 80).splitlines()[0] == RECORDS[0]


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("| a | b | c |\n|---|---|---|\n| 1 | 2 |\n| 1 | 2 | 3 |", ["a  b  c", "─  ─  ─", "1  2", "1  2  3"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 1 | 2 | 3 mg |", ["a  b", "─  ─  ────", "1  2", "1  2  3 mg"]),
        ("| a | b |\n|---|\n| 1 | 2 |", ["a  b", "─  ─", "1  2"]),
        ("a | b\n---|---|---\n1 | 2 | 3", ["a  b", "─  ─  ─", "1  2  3"]),
        ("| a \\| b |\n|---|\n| 1 | 2 |", ["a | b", "─────  ─", "1      2"]),
        ("x\n\n| a |\n|---|\n| 1 | 2 |\n\ny", ["x", "", "a", "─  ─", "1  2", "", "y"]),
    ],
)
def test_a_table_with_rows_of_different_lengths_is_a_table(text: str, grid: list[str]) -> None:
    assert printed(text, 80).splitlines() == grid


def test_a_line_break_in_a_cell_begins_a_line() -> None:
    table = "| Drug | Dose |\n|---|---|\n| A | **1** g<br>2 g <BR /> 5<br/>mg |\n| `x<br>y` | <b> |"
    lines = ["Drug: A", "Dose: 1 g", "  2 g", "  5 mg", "─", "Drug: x<br>y", "Dose: <b>"]
    assert printed(table, 80).splitlines() == lines
    assert plain_text(table).splitlines() == [line.replace("─", "") for line in lines]
    assert printed("a<br>b", 80) == "a<br>b", "outside a table it is text"


class OneAnswer(App[None]):
    """One widget on a tall screen."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Drawn(self._text)


def test_the_widget_paints_the_lines() -> None:
    import asyncio

    async def paint() -> str:
        app = OneAnswer("\n\n".join(DANGEROUS))
        async with app.run_test(size=(100, 120)) as pilot:
            await pilot.pause()
            return screen_text(pilot)

    painted = asyncio.run(paint())
    assert spoken(painted) == spoken("\n\n".join(DANGEROUS))
    assert [line.rstrip() for line in painted.splitlines()][:3] == ["x<y and z>w: dose<max", "", "For <PERSON>: 5 mg"]


@pytest.mark.parametrize(
    ("text", "start", "end", "selected"),
    [
        ("Take amoxicillin 500 mg three times a day for 5 days.", (5, 0), (8, 1), "amoxicillin 500 mg three tim"),
        ("1. one **5** mg\n2. two", (0, 0), (5, 1), "1. one 5 mg\n2. two"),
    ],
)
async def test_selected_text_has_the_line_ends_of_its_source(
    text: str, start: tuple[int, int], end: tuple[int, int], selected: str
) -> None:
    app = OneAnswer(text)
    async with app.run_test(size=(28, 10)) as pilot:
        await drag(pilot, start, end)
        assert app.screen.get_selected_text() == selected


async def drag(pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.pause()
    await pilot.mouse_down(offset=start)
    await pilot.hover(offset=end)
    await pilot.mouse_up(offset=end)
    await pilot.pause()
