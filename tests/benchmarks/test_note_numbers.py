"""The benchmark of the number check runs on the first note of each language."""

import re
from pathlib import Path

import pytest

from benchmarks import note_numbers

NOTES = Path(__file__).parents[1] / "data" / "clinical" / "notes"


def test_note_numbers_counts_two_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in NOTES.glob("*.jsonl"):
        text = path.read_text("utf-8")
        (tmp_path / path.name).write_text(text[: text.index("\n") + 1], "utf-8")
    note_numbers.main(["--folder", str(tmp_path), "--ids"])
    out = capsys.readouterr().out
    assert "on texts written by us" in out
    assert re.search(r"both errors marked +\d of +2 ", out)
    assert re.search(r"both unchanged notes with a mark +\d of +2 ", out)
