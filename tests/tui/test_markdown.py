"""Every character of an answer survives in the parser, in the frozen renderable and in the live widget."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll

from edgemed.tui.markdown import FaithfulParser, FrozenMarkdown
from edgemed.tui.markdown.faithful import displayed
from edgemed.tui.widgets.live_markdown import LiveMarkdown

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
    "first line\nsecond line",
]


def spoken(text: str) -> Counter[str]:
    """Counts of the characters that must survive. Their order may change, because tables set text side by side."""
    return Counter(character for character in text if character.isalnum() or character in "<%=&()[]/!")


def printed(text: str, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(FrozenMarkdown(text))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(MARKDOWN)
def test_the_parser_loses_nothing(text: str) -> None:
    assert spoken(displayed(FaithfulParser().parse(text))) == spoken(text)


@given(MARKDOWN, st.sampled_from([56, 76, 120]))
def test_the_frozen_picture_loses_nothing(text: str, width: int) -> None:
    assert spoken(printed(text, width)) == spoken(text)


@pytest.mark.parametrize("text", DANGEROUS)
def test_known_dangers(text: str) -> None:
    assert spoken(printed(text, 60)) == spoken(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.5*70*2", "0.5*70*2"),
        ("Weight\n> 50 kg: 500 mg", "> 50 kg: 500 mg"),
        ("7. seventh", "7. seventh"),
        ("+ 5 mmol", "+ 5 mmol"),
        ("**5** mg", "5 mg"),
        ("aspirin 75 mg\nbisoprolol 5 mg", "aspirin 75 mg\nbisoprolol 5 mg"),
    ],
)
def test_what_a_reader_sees(text: str, shown: str) -> None:
    lines = [line.strip() for line in printed(text, 60).splitlines() if line.strip()]
    assert shown in "\n".join(lines)


class OneAnswer(App[None]):
    """One live widget on a tall screen."""

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield LiveMarkdown("")


async def live_text(texts: list[str], *, streamed: bool, width: int) -> list[str]:
    """What the live widget shows for each of `texts`, set at once or streamed first and then set."""
    app = OneAnswer()
    seen = []
    async with app.run_test(size=(width, 80)) as pilot:
        widget = app.query_one(LiveMarkdown)
        for text in texts:
            await widget.update("")
            if streamed:
                stream = LiveMarkdown.get_stream(widget)
                for start in range(0, len(text), 7):
                    await stream.write(text[start : start + 7])
                    await pilot.pause()
                await stream.stop()
            await widget.update(text)
            await pilot.pause()
            seen.append("".join(strip.text for strip in app.screen._compositor.render_strips()))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("streamed", "width"), [(False, 100), (True, 60)], ids=["at once", "streamed"])
async def test_the_live_widget_loses_nothing(streamed: bool, width: int) -> None:
    shown = await live_text(DANGEROUS, streamed=streamed, width=width)
    for text, seen in zip(DANGEROUS, shown, strict=True):
        assert spoken(seen) == spoken(text), text


async def test_streaming_alone_shows_the_code_block_and_the_table() -> None:
    """Code fences and tables are right even before the end of the answer."""
    text = "Dose:\n\n```\n5 mg\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nEnd."
    app = OneAnswer()
    async with app.run_test(size=(60, 40)) as pilot:
        stream = LiveMarkdown.get_stream(app.query_one(LiveMarkdown))
        for character in text:
            await stream.write(character)
        await stream.stop()
        await pilot.pause()
        seen = "".join(strip.text for strip in app.screen._compositor.render_strips())
        assert spoken(seen) == spoken(text)
        assert len(app.query("MarkdownFence")) == 1
        assert len(app.query("MarkdownTable")) == 1
