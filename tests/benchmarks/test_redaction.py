"""The benchmark of the redaction runs on the first text of each language, and draws dialogues by hash."""

import re
from pathlib import Path

import pytest

from benchmarks import redaction

TEXTS = Path(__file__).parents[1] / "data" / "clinical" / "redaction"


def test_redaction_counts_two_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for language in ("en", "zh"):
        name = f"redaction.{language}.jsonl"
        text = (TEXTS / name).read_text("utf-8")
        (tmp_path / name).write_text(text[: text.index("\n") + 1], "utf-8")
    redaction.main(["--folder", str(tmp_path), "--data", str(tmp_path / "none"), "--ids"])
    out = capsys.readouterr().out
    assert "on texts written by us" in out
    for language in ("en", "zh"):
        assert re.search(rf"{language} known found +\d of +\d ", out)
        assert re.search(rf"{language} innocent left alone +\d of +\d ", out)


def test_an_identifier_is_covered_only_if_all_its_letters_are() -> None:
    text = "MRN 44 71, seen"
    assert redaction.covered(text, 4, 9, [(4, 6), (7, 9)])
    assert not redaction.covered(text, 4, 9, [(4, 8)])
    assert redaction.touched(4, 9, [(8, 12)])
    assert not redaction.touched(4, 9, [(9, 12)])


def test_the_dialogues_are_drawn_by_hash_whatever_their_order() -> None:
    rows = [{"id": str(number)} for number in range(200)]
    assert redaction.drawn(rows) == redaction.drawn(rows[::-1])
    assert len(redaction.drawn(rows)) == redaction.DIALOGUES
    assert redaction.dialogue_text({"turns": [{"speaker": "doctor", "text": "Hi."}]}) == "doctor: Hi."
