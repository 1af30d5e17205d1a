"""Draw the real questions of the red-flag benchmark in seeded hash order.

    python -m benchmarks.real_questions --data ../shared/data --check
    python -m benchmarks.real_questions --data ../shared/data --list en

The repository holds only file, id and label of each question (tests/data/clinical/real_questions.*.jsonl).
The text is read from the data folder at run time.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = "edgemed red flags 1"
LABELS = Path(__file__).parents[1] / "tests" / "data" / "clinical"
# Ordinary questions wanted from each file: 250 a language.
QUOTAS = {
    "en": {"kqa": 60, "medquad": 70, "pubmedqa": 60, "dialogues": 60},
    "zh": {"zh_huatuo26m_test": 90, "zh_cmtmedqa": 70, "zh_toyhom_qa": 80, "zh_cmb_clin": 10},
}
# A dialogue is cut after this many turns: the opening of a visit is what a user would paste.
DIALOGUE_TURNS = 4


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a JSONL file, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def question_text(row: dict[str, Any]) -> str:
    """Return what a user would type or paste: the question, the case, or the opening of the dialogue."""
    if "turns" in row:
        turns: list[dict[str, str]] = row["turns"]
        if "department" in row:  # cmtmedqa: the patient's first message is the question
            return turns[0]["text"]
        return "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in turns[:DIALOGUE_TURNS])
    if "case" in row:
        return str(row["case"])
    return str(row["question"])


def hash_order(file: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows sorted by the SHA-256 of seed, file name and id."""

    def key(row: dict[str, Any]) -> str:
        return hashlib.sha256(f"{SEED}|{file}|{row['id']}".encode()).hexdigest()

    return sorted(rows, key=key)


def read_questions(data: Path, language: str, label: str = "ordinary") -> Iterator[tuple[str, str, str]]:
    """Yield (file, id, text) of the committed questions that carry this label.

    Raises KeyError when the data folder lacks a committed id.
    """
    texts = {
        (file, row["id"]): question_text(row) for file in QUOTAS[language] for row in read_rows(data / f"{file}.jsonl")
    }
    for row in read_rows(LABELS / f"real_questions.{language}.jsonl"):
        if row["label"] == label:
            yield row["file"], row["id"], texts[row["file"], row["id"]]


def check(data: Path, language: str) -> None:
    """Raise ValueError unless the committed ids are the first of each file in hash order, with the quota filled."""
    committed = read_rows(LABELS / f"real_questions.{language}.jsonl")
    for file, quota in QUOTAS[language].items():
        mine = [row for row in committed if row["file"] == file]
        order = [row["id"] for row in hash_order(file, read_rows(data / f"{file}.jsonl"))]
        if [row["id"] for row in mine] != order[: len(mine)]:
            raise ValueError(f"{file}: the committed ids are not the first {len(mine)} in hash order")
        ordinary = sum(row["label"] == "ordinary" for row in mine)
        if ordinary != quota:
            raise ValueError(f"{file}: {ordinary} ordinary questions, {quota} wanted")


def main() -> None:
    """Check the committed labels, or list questions in the order in which they are labelled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of JSONL files")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="compare the committed ids with the hash order")
    action.add_argument("--list", choices=sorted(QUOTAS), help="print the first questions of each file")
    parser.add_argument("--extra", type=int, default=15, help="questions beyond the quota to list")
    arguments = parser.parse_args()
    if arguments.check:
        for language in QUOTAS:
            check(arguments.data, language)
        print("the committed ids follow the hash order")
        return
    for file, quota in QUOTAS[arguments.list].items():
        rows = hash_order(file, read_rows(arguments.data / f"{file}.jsonl"))
        for number, row in enumerate(rows[: quota + arguments.extra]):
            print(f"{file}\t{number}\t{row['id']}\t{' / '.join(question_text(row).split(chr(10)))}")


if __name__ == "__main__":
    main()
