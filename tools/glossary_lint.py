"""Refuse the phrases that docs/glossary.md replaces, in code and documents. Part of `make lint`.

The phrases come from the glossary itself: everything in backticks in the last column of its tables. A `*` at the end
stands for any ending. Words may be separated by spaces, underscores, a line break or a change of case, so that
`look away` also finds `look_away` and `LookAway`. A line that says "glossary: allow" is exempt.

Prints one line per finding and exits with 1 if there is any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
FOLDERS = ("benchmarks", "convert", "docs", "edgemed", "quant", "recipes", "testing", "tests", "tools", "tui")
SUFFIXES = {".py", ".cpp", ".h", ".inc", ".md"}
EXCLUDED = (GLOSSARY, ROOT / "docs" / "log", Path(__file__).resolve())
ALLOWED = "glossary: allow"

# What may separate the words of a phrase: blanks, underscores, and comment marks on the next line.
_GAP = r"[\s_/#>*\"]+"


def phrases(glossary: str) -> dict[str, str]:
    """Return each refused phrase and the term to use instead."""
    found = {}
    for line in glossary.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[2]), cells[0])
    return found


def pattern(phrase: str) -> re.Pattern[str]:
    """Match the phrase; its first letter may have either case, the others may not (`none` is not `None`)."""
    words = [re.escape(word) for word in phrase.removesuffix("*").split()]
    words[0] = f"[{phrase[0].upper()}{phrase[0].lower()}]{words[0][1:]}"
    tail = "[a-z]*" if phrase.endswith("*") else ""
    return re.compile(f"(?<![A-Za-z]){_GAP.join(words)}{tail}(?![A-Za-z])")


def findings(text: str, refused: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Yield line number, phrase and the term to use for each refused phrase in `text`."""
    lines = text.splitlines()
    words = re.sub(r"(?<=[a-z])[A-Z](?=[a-z])", lambda letter: "_" + letter[0].lower(), text)  # LookAway: Look_away
    for phrase, term in refused.items():
        for match in pattern(phrase).finditer(words):
            number = words.count("\n", 0, match.start())
            if ALLOWED not in lines[number]:
                yield number + 1, phrase, term


def pages() -> Iterator[Path]:
    """Yield every file to check. `rglob` does not follow the links edgemed/convert, edgemed/quant and edgemed/tui."""
    yield from sorted(ROOT.glob("*.md"))
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and not any(path.is_relative_to(place) for place in EXCLUDED):
                yield path


def main() -> int:
    refused = phrases(GLOSSARY.read_text(encoding="utf-8"))
    count = 0
    for path in pages():
        for number, phrase, term in sorted(findings(path.read_text(encoding="utf-8"), refused)):
            print(f"{path.relative_to(ROOT)}:{number}: {phrase!r}; write: {term} (docs/glossary.md)", file=sys.stderr)
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
