"""The committed texts of the clinical checks: unchanged, complete and well formed."""

import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

TEXTS = Path(__file__).parents[1] / "data" / "clinical"
SECOND = TEXTS / "second"
NOTES = TEXTS / "notes"
REDACTION = TEXTS / "redaction"
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


@pytest.mark.parametrize("folder", [TEXTS, SECOND, NOTES, REDACTION], ids=lambda folder: folder.name)
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
    assert len(written) == 2 * (400 + 250 + 120 + 60) + 200 + 2 * 60
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


ERRORS = {"digit", "decimal", "unit", "side", "negation", "dropped_negation", "swap", "added_number"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_wrong_note_differs_from_the_right_one_in_the_stated_place_only(language: str) -> None:
    rows = read_rows(NOTES / f"notes.{language}.jsonl")
    assert len({row["id"] for row in rows}) == len({row["source"] for row in rows}) == 50
    counts = Counter(row["error"]["kind"] for row in rows)
    assert set(counts) == ERRORS
    assert counts["negation"] + counts["dropped_negation"] == 8
    assert all(counts[kind] == 7 for kind in ERRORS - {"negation", "dropped_negation"})
    for row in rows:
        error, note = row["error"], row["note"]
        start, end = error["start"], error["start"] + len(error["original"])
        assert error["original"] != error["changed"]
        assert note[start:end] == error["original"], row["id"]
        assert row["wrong"] == note[:start] + error["changed"] + note[end:], row["id"]
        if error["kind"] == "dropped_negation":
            assert row["source"].startswith(error["source"], error["source_start"]), row["id"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_marked_identifiers_lie_in_the_text_and_apart_from_innocent_words(language: str) -> None:
    rows = read_rows(REDACTION / f"redaction.{language}.jsonl")
    assert len(rows) == 60
    for row in rows:
        spans = [
            (one["start"], one["start"] + len(one["text"]), one["text"]) for one in row["identifiers"] + row["innocent"]
        ]
        assert all(row["text"][start:end] == text for start, end, text in spans), row["id"]
        ordered = sorted(spans)
        assert all(one[1] <= after[0] for one, after in itertools.pairwise(ordered)), row["id"]
        assert any(one["known"] for one in row["identifiers"]) == bool(row["header"]), row["id"]


def test_chinese_identity_numbers_carry_their_check_digit() -> None:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    numbers = [
        one["text"]
        for row in read_rows(REDACTION / "redaction.zh.jsonl")
        for one in row["identifiers"]
        if one["kind"] == "id_card"
    ]
    assert len(numbers) >= 9
    for number in numbers:
        total = sum(int(digit) * weight for digit, weight in zip(number[:17], weights, strict=True))
        assert number[17] == "10X98765432"[total % 11], number


def test_marked_dialogues_hold_no_text() -> None:
    rows = read_rows(REDACTION / "dialogues.jsonl")
    assert len({row["id"] for row in rows}) == 100
    assert all(set(row) == {"file", "id", "sha256", "spans"} for row in rows)
    assert sum(len(row["spans"]) for row in rows) == 58
    assert all(start < end for row in rows for start, end in row["spans"])
