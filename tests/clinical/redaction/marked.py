"""Texts in which ⟦these brackets⟧ mark what has to be found. Written for these tests; everybody in them is made up.

`marked.*.txt` has a line or two for each kind of identifier, `nothing.*.txt` what looks like one and is none.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def cases(name: str) -> list[str]:
    """The lines of one of the files, the end of a letter with the name below it."""
    return re.findall(r"(?:[^\n]*regards,\n)?[^\n]+", (HERE / f"{name}.txt").read_text(encoding="utf-8"))


def unmarked(case: str) -> tuple[str, list[tuple[int, int]]]:
    """The text, and where the marked parts are in it."""
    text, spans, start = "", [], 0
    for part in re.split("([⟦⟧])", case):
        if part == "⟦":
            start = len(text)
        elif part == "⟧":
            spans.append((start, len(text)))
        else:
            text += part
    return text, spans
