"""No invisible character of a model's text takes effect."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.chat.visible import VisibleStream, visible

ANY_TEXT = st.text(st.characters() | st.sampled_from("\r\n\x1b\u202e\u200b\u200d"), max_size=60)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("10 \u202emg", "10 ⟨U+202E⟩mg"),
        ("\x1b[2J", "⟨U+001B⟩[2J"),
        ("a\u200bb\ufeff", "a⟨U+200B⟩b⟨U+FEFF⟩"),
        ("a\u2028b\x85c", "a⟨U+2028⟩b⟨U+0085⟩c"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("a\rb\r\nc", "a⟨U+000D⟩b\nc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f", "👨\u200d👩\u200d👧 ❤\ufe0f"),
        ("胸痛 3 天\n\t是", "胸痛 3 天\n\t是"),
    ],
)
def test_what_acts_is_spelt_out_and_the_rest_stays(written: str, shown: str) -> None:
    assert visible(written) == shown


@given(ANY_TEXT)
def test_no_acting_character_is_left(text: str) -> None:
    left = {unicodedata.category(character) for character in visible(text) if character not in "\n\t\u200c\u200d"}
    assert left.isdisjoint({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert visible(visible(text)) == visible(text)


@given(ANY_TEXT)
def test_every_line_end_that_is_left_is_one_for_every_reader(text: str) -> None:
    assert visible(text).splitlines() == visible(text).removesuffix("\n").split("\n")[: len(visible(text).splitlines())]


@given(ANY_TEXT, st.lists(st.integers(0, 60), max_size=8))
def test_pieces_show_what_the_whole_shows(text: str, cuts: list[int]) -> None:
    stream = VisibleStream()
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    shown = "".join(stream.feed(text[start:end]) for start, end in itertools.pairwise(edges))
    assert shown + stream.close() == visible(text)
