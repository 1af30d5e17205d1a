"""Reasoning is parted from the answer, also while it arrives, and nothing else is."""

from __future__ import annotations

import pytest

from edgemed.chat.reasoning import count_words, parts


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("", "", ""),
        ("Take 5 mg.", "", "Take 5 mg."),
        ("<think>500 mg? No.</think>\n\nTake 5 mg.", "500 mg? No.", "Take 5 mg."),
        ("\n<Think>\n500 mg?", "500 mg?", ""),
        ("<think></think>Rest.", "", "Rest."),
        ("<reasoning>a</think>b</reasoning>c", "a</think>b", "c"),
        ("500 mg?</think>Take 5 mg.", "500 mg?", "Take 5 mg."),
        ("Write <think>x</think> so.", "", "Write <think>x</think> so."),
        ("x <think> y", "", "x <think> y"),
    ],
)
def test_parts(text: str, reasoning: str, answer: str) -> None:
    assert parts(text) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("Take 2.5 mg, don't stop", 5), ("胸痛伴大汗2小时", 8), ("**bold** - x", 2)],
)
def test_words_are_counted_in_both_languages(text: str, words: int) -> None:
    assert count_words(text) == words
