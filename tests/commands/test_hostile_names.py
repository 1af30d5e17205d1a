"""Hostile names: file names that are not UTF-8, and control characters that would reach the terminal."""

import json
import os
import shutil
from pathlib import Path

import pytest

from edgemed.cli import main
from edgemed.errors import CalibrationError, PlanError, TextsError
from edgemed.evaluation.cards import read_card
from edgemed.model_file import open_model
from edgemed.quant.calibration import read_calibration
from edgemed.quant.plan import Plan
from testing.gguf_bytes import Kind, small_model

SMALL = ("--passage", "64", "--threads", "1")
HOSTILE = "\x1b]0;owned\x07\u202e"
ROW = {"text": "The patient has had a cough for ten days and takes 5 mg of it."}


def no_text(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.slow
def test_non_utf8_file_names_are_read_written_and_printed(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, texts, plain, card, page, statistics, imatrix = (
        no_text(tmp_path, b"\xff\xfe" + suffix)
        for suffix in (b".gguf", b".jsonl", b".txt", b".json", b".html", b".npz", b".im")
    )
    shutil.copy(reference, model)
    texts.write_text((json.dumps(ROW | {"domain": HOSTILE}) + "\n") * 3)
    plain.write_text(ROW["text"])
    for words in (
        ("calibrate", model, texts, plain, "-o", statistics, "--imatrix", imatrix, "--effects", "0", *SMALL),
        ("eval", model, "--reference", reference, "--data", texts, plain, "-o", card, "--html", page, *SMALL),
        ("inspect", model, "--card", card, "--html", page, "--overwrite", "--calibration", statistics),
        ("verify", model),
    ):
        assert main([*map(str, words)]) == 0, capsys.readouterr().err
        printed = capsys.readouterr()
        assert is_harmless(printed.out)
        assert printed.err == ""
    found = json.loads(card.read_text("utf-8"))
    assert set(found["domains"]) == {HOSTILE, "\\xff\\xfe"}
    assert found["method"]["data"] == [texts.name, plain.name]
    read_calibration(imatrix, open_model(model).hparams)
    assert main(["eval", str(model), "--reference", str(reference), "--data", str(texts), "--json", *SMALL]) == 0
    assert is_harmless(capsys.readouterr().out)


def test_control_characters_in_a_model_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gguf = small_model("edgemed")
    for key in ("general.name", "edgemed.source.repository", "edgemed.source.revision", "edgemed.source.digest"):
        gguf.set_key(key, Kind.STRING, HOSTILE)
    path = tmp_path / f"{HOSTILE}.gguf"
    path.write_bytes(gguf.encode())
    for verb in ("inspect", "verify"):
        assert main([verb, str(path)]) == 0
        printed = capsys.readouterr()
        assert is_harmless(printed.out)
        assert "\\x1b]0;owned\\x07\\u202e" in printed.out
        assert main([verb, str(path), "--json"]) == 0
        assert is_harmless(capsys.readouterr().out)


def test_special_files_are_refused_without_waiting(reference: Path, tmp_path: Path) -> None:
    pipe, model = tmp_path / "pipe", open_model(reference)
    os.mkfifo(pipe)
    with pytest.raises(PlanError, match="it is not a regular file"):
        Plan.load(pipe)
    with pytest.raises(CalibrationError, match="it is not a regular file"):
        read_calibration(pipe, model.hparams)
    with pytest.raises(TextsError, match="it is not a regular file"):
        read_card(pipe, model)
