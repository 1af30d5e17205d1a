"""The committed texts of the clinical checks: unchanged, complete and well formed."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

TEXTS = Path(__file__).parents[1] / "data" / "clinical"
SECOND = TEXTS / "second"
KINDS = {
    "negated",
    "past",
    "family",
    "ruled_out",
    "exam",
    "threshold",
    "target",
    "reference_range",
    "old_value_normal",
    "other_person",
}


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def read_conditions() -> set[str]:
    return {row["id"] for row in json.loads((TEXTS / "conditions.json").read_text(encoding="utf-8"))}


@pytest.mark.parametrize("folder", [TEXTS, SECOND], ids=["first", "second"])
def test_the_texts_have_not_been_edited(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    present = {path.name for path in folder.glob("*.json*")}
    assert set(listed) == present
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("folder", "positives", "near_misses"), [(TEXTS, 10, 25), (SECOND, 3, 6)], ids=["first", "second"]
)
def test_every_condition_and_kind_has_its_texts(folder: Path, positives: int, near_misses: int, language: str) -> None:
    conditions = read_conditions()
    assert len(conditions) == 40
    rows = read_rows(folder / f"positives.{language}.jsonl")
    assert Counter(row["condition"] for row in rows) == dict.fromkeys(conditions, positives)
    rows = read_rows(folder / f"near_misses.{language}.jsonl")
    assert Counter(row["kind"] for row in rows) == dict.fromkeys(KINDS, near_misses)


def test_ids_and_texts_are_distinct() -> None:
    rows = [row for path in TEXTS.rglob("*.jsonl") for row in read_rows(path)]
    written = [row for row in rows if "text" in row]
    assert len(written) == 2 * (400 + 250 + 120 + 60) + 200
    assert len({row["id"] for row in written}) == len(written)
    assert len({(row["text"], str(row.get("header"))) for row in written}) == len(written)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_real_questions_hold_no_text_and_250_ordinary_ones(language: str) -> None:
    rows = read_rows(TEXTS / f"real_questions.{language}.jsonl")
    assert all(set(row) == {"file", "id", "label"} for row in rows)
    assert len({(row["file"], row["id"]) for row in rows}) == len(rows)
    labels = Counter(row["label"] for row in rows)
    assert set(labels) <= {"ordinary", "emergency"}
    assert labels["ordinary"] == 250


def test_half_of_the_pastes_are_of_another_patient() -> None:
    rows = read_rows(TEXTS / "patients.jsonl")
    counts = Counter((row["language"], row["kind"]) for row in rows)
    assert counts == {(language, kind): 50 for language in ("en", "zh") for kind in ("one_patient", "two_patients")}
    assert all({"age", "sex"} <= set(row["header"]) for row in rows)
