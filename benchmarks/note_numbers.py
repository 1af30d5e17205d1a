"""Counts what the number check marks in notes written by us: `python -m benchmarks.note_numbers [--ids]`.

The notes (`tests/data/clinical/notes`) were written apart from the rules. Each was reworded from its source and is
checked twice: once as it is, once with a single error. An error counts as marked if a mark in the note overlaps the
changed place, or lies at most 3 characters from it; of a negation that the note lost, a mark in the source at the lost
words counts as well. An unchanged note counts as falsely marked with any mark in the note. Facts that the check lists
as dropped are counted apart.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real_questions import read_rows
from benchmarks.red_flags import counted
from edgemed.clinical.numbers import Checked, Mark, check

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "clinical" / "notes"
NEAR = 3


def near(marks: Iterable[Mark], start: int, end: int) -> bool:
    """Whether a mark overlaps start to end, widened by NEAR characters on each side."""
    return any(mark.start < end + NEAR and start - NEAR < mark.end for mark in marks)


def marked(row: dict[str, Any], checked: Checked) -> bool:
    """Whether the check of the wrong note marks the error in its place."""
    error = row["error"]
    if near(checked.added, error["start"], error["start"] + len(error["changed"])):
        return True
    if error["kind"] != "dropped_negation":
        return False
    start = error["source_start"]
    return near(checked.dropped, start, start + len(error["source"]))


def texts_of(marks: Iterable[Mark]) -> str:
    return ", ".join(f"{mark.kind} {mark.text!r}" for mark in marks)


def count(rows: Iterable[dict[str, Any]], language: str, ids: bool) -> dict[str, list[int]]:
    """(hits, all) by name; prints each wrongly judged note if `ids`."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(name: str, hit: bool) -> None:
        for key in (f"{language} {name}", f"both {name}"):
            counts[key][0] += hit
            counts[key][1] += 1

    for row in rows:
        right, wrong = check(row["source"], row["note"]), check(row["source"], row["wrong"])
        hit, kind = marked(row, wrong), row["error"]["kind"]
        add("errors marked", hit)
        add(f"errors marked, {kind}", hit)
        add("wrong notes with any mark", bool(wrong.added))
        add("unchanged notes with a mark", bool(right.added))
        add("unchanged notes with a dropped mark", bool(right.dropped))
        if ids and not hit:
            error = row["error"]
            print(f"   missed {row['id']} {kind}: {error['original']!r} -> {error['changed']!r}")
        if ids and right.added:
            print(f"   falsely marked {row['id']}: {texts_of(right.added)}")
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", action="store_true", help="name the errors missed and the notes falsely marked")
    parser.add_argument("--folder", type=Path, default=TEXTS, help="folder of notes.en.jsonl and notes.zh.jsonl")
    args = parser.parse_args(arguments)
    print("number check, on texts written by us")
    total: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for language in ("en", "zh"):
        for name, (hits, of) in count(read_rows(args.folder / f"notes.{language}.jsonl"), language, args.ids).items():
            total[name][0] += hits
            total[name][1] += of
    for name in sorted(total, key=lambda name: (name.startswith("both"), name)):
        counted(name, *total[name])


if __name__ == "__main__":
    main()
