"""HTML pages are well-formed, escape what they quote, and load nothing from elsewhere."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.quant import html
from edgemed.quant.heat_map import FEWEST_BITS, MOST_BITS, colour

VOID = {"meta"}


class Balanced(HTMLParser):
    """A parser that fails on badly nested tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        assert tag in ("rect", "path")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(page: str) -> None:
    """The page is well-formed and contains no address and no script."""
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert "<script" not in page
    assert not re.search(r"(?:https?:)?//|url\(|@import|src=|href=", page)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


@given(st.text())
def test_any_text_is_only_text(value: str) -> None:
    written = html.text(value)
    assert not set("<>\"'\u202e\u0000\u001b") & set(written)
    check = Balanced()
    check.feed(f"<p>{written}</p>")
    assert check.open == []


def test_directions_are_shown() -> None:
    assert html.text("a\u202eb\x07") == "a⟨U+202E⟩b⟨U+0007⟩"


def test_a_page_with_hostile_names() -> None:
    check_page(
        html.page("<script>alert(1)</script>", [html.table(("<b>",), [f"<tr><td>{html.text('</table>')}</td></tr>"])])
    )


@given(st.floats(0.5, 32), st.floats(0.5, 32))
def test_more_bits_are_brighter(one: float, other: float) -> None:
    low, high = sorted((one, other))

    def light(bits: float) -> float:
        red, green, blue = colour(bits)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert light(low) <= light(high) + 1  # channels are rounded
    assert colour(FEWEST_BITS - 1) == colour(FEWEST_BITS)
    assert colour(MOST_BITS + 9) == colour(MOST_BITS)


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (0.1388, "0.139"), (0.00003, "3.0e-05"), (12345.6, "12,346")])
def test_numbers(value: float, shown: str) -> None:
    assert html.number(value) == shown
