"""The glossary's lint finds a refused phrase in every spelling, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "glossary_lint.py"
spec = importlib.util.spec_from_file_location("glossary_lint", TOOL)
assert spec is not None
assert spec.loader is not None
lint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lint)

REFUSED = {"look away": "stop_watching", "guess*": "prefetch", "that is none": "is not a"}  # glossary: allow


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Look away now", [1]),  # glossary: allow
        ("x = 1\nclass LookAway:\n    def look_away(self): ...", [2, 3]),  # glossary: allow
        ("// it may look\n    // away", [1]),
        ("guesses_used, kGuessedNow, guessing", [1, 1, 1]),  # glossary: allow
        ("a file that is none", [1]),  # glossary: allow
        ("take that; is None here, or that is None: look at Guam, a way", []),
        ("a phrase: guess  # glossary: allow", []),
    ],
)
def test_refused_phrases_are_found_in_every_spelling(text: str, lines: list[int]) -> None:
    assert sorted(number for number, _, _ in lint.findings(text, REFUSED)) == lines


def test_phrases_come_from_the_last_column_of_the_glossary() -> None:
    table = "| term | meaning | not |\n|---|---|---|\n| matmul | a `product` | `old name*`, `own x`; products |"
    assert lint.phrases(table) == {"old name*": "matmul", "own x": "matmul"}
    assert lint.phrases(lint.GLOSSARY.read_text(encoding="utf-8"))["guess*"] == "prefetch"  # glossary: allow
