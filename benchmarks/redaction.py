"""Counts what the redaction finds in texts written by us: `python -m benchmarks.redaction [--ids]`.

The texts (`tests/data/clinical/redaction`) were written apart from the rules. An identifier counts as found if every
letter and digit of it lies in what was found, of any kind; known identifiers (values of the case header) are counted
apart from unknown ones. An innocent word (an eponym, a value, a dose) should not be touched. Names in simulated visits
(`dialogues.jsonl` holds only id, SHA-256 and spans) are read from `--data`, and left out if it is not there.

`--draw` prints the order in which the dialogues are drawn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real_questions import read_rows
from benchmarks.red_flags import counted
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.redaction import find

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "clinical" / "redaction"
SEED = "edgemed redaction 1"
DIALOGUES = 100


def drawn(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first dialogues in the order of the SHA-256 of seed, file and id."""
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{SEED}|dialogues|{row['id']}".encode()).hexdigest())
    return order[:DIALOGUES]


def dialogue_text(row: dict[str, Any]) -> str:
    """The whole dialogue, one turn a line. The committed spans count characters of this text."""
    return "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in row["turns"])


def marked_dialogues(data: Path) -> Iterator[tuple[str, str, list[tuple[int, int]]]]:
    """(id, text, spans of names) of each committed dialogue.

    Raises KeyError for an id that the data folder lacks and ValueError for a text that has changed.
    """
    texts = {row["id"]: dialogue_text(row) for row in read_rows(data / "dialogues.jsonl")}
    for row in read_rows(TEXTS / "dialogues.jsonl"):
        text = texts[row["id"]]
        if hashlib.sha256(text.encode()).hexdigest() != row["sha256"]:
            raise ValueError(f"the text of dialogue {row['id']} has changed")
        yield row["id"], text, [(start, end) for start, end in row["spans"]]


def covered(text: str, start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether every letter and digit from start to end lies in a span."""
    inside = {at for first, last in spans for at in range(max(first, start), min(last, end))}
    return all(at in inside for at in range(start, end) if text[at].isalnum())


def touched(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether a span overlaps start to end."""
    return any(first < end and start < last for first, last in spans)


class Tally:
    """Hits and totals by name, and the ids of the misses."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.misses: list[str] = []

    def add(self, names: Iterable[str], hit: bool) -> None:
        for name in names:
            self.counts[name][0] += hit
            self.counts[name][1] += 1

    def print(self, order: Sequence[str] = ()) -> None:
        for name in [*order, *sorted(self.counts.keys() - set(order))]:
            if name in self.counts:
                counted(name, *self.counts[name])


def count_rows(rows: Iterable[dict[str, Any]], language: str) -> Tally:
    """Identifiers found wholly, known and unknown, by kind; and innocent words left alone."""
    tally = Tally()
    for row in rows:
        text = row["text"]
        spans = [(one.start, one.end) for one in find(text, CaseHeader.of(row["header"]))]
        for one in row["identifiers"]:
            start, end = one["start"], one["start"] + len(one["text"])
            hit = covered(text, start, end, spans)
            known = "known" if one["known"] else "unknown"
            tally.add([f"{language} {known} found", f"{language} {known} {one['kind']}"], hit)
            if known == "unknown":
                tally.add([f"{language} unknown at least touched"], touched(start, end, spans))
            if not hit:
                tally.misses.append(f"{row['id']}:{known}:{one['kind']}:{one['text']}")
        for one in row["innocent"]:
            alone = not touched(one["start"], one["start"] + len(one["text"]), spans)
            tally.add([f"{language} innocent left alone"], alone)
            if not alone:
                tally.misses.append(f"{row['id']}:innocent:{one['text']}")
    return tally


def count_dialogues(data: Path) -> Tally:
    """Names found wholly in the dialogues, and the dialogues without a name in which something is found."""
    tally = Tally()
    for name, text, names in marked_dialogues(data):
        found = list(find(text, CaseHeader()))
        spans = [(one.start, one.end) for one in found]
        for start, end in names:
            hit = covered(text, start, end, spans)
            tally.add(["dialogues, names found"], hit)
            if not hit:
                tally.misses.append(f"{name}:{start}-{end}")
        if not names:
            tally.add(["dialogues without a name, no name found"], not any("name" in one.kind.lower() for one in found))
    return tally


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", action="store_true", help="name what was missed and which innocent words were touched")
    parser.add_argument("--draw", action="store_true", help="print the ids of the dialogues in their order and stop")
    parser.add_argument(
        "--folder", type=Path, default=TEXTS, help="folder of redaction.en.jsonl and redaction.zh.jsonl"
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the dialogues")
    args = parser.parse_args(arguments)
    if args.draw:
        print(json.dumps([row["id"] for row in drawn(read_rows(args.data / "dialogues.jsonl"))]))
        return
    print("redaction, on texts written by us")
    for language in ("en", "zh"):
        tally = count_rows(read_rows(args.folder / f"redaction.{language}.jsonl"), language)
        tally.print([f"{language} {name}" for name in ("known found", "unknown found", "unknown at least touched")])
        if args.ids:
            print("   wrong:", *tally.misses, sep="\n   ")
    if args.data.is_dir():
        print("names in simulated visits, marked by us")
        tally = count_dialogues(args.data)
        tally.print()
        if args.ids:
            print("   missed:", *tally.misses)


if __name__ == "__main__":
    main()
