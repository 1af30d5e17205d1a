"""Every command takes any part of a split model, and keeps its outputs away from all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.cli import main
from testing.split_gguf import write_parts
from tests.commands.test_doctor import quick

__all__ = ["quick"]

pytestmark = pytest.mark.slow

SMALL = ("--passage", "64", "--threads", "1")
ROWS = [{"text": f"The patient has had a cough for {number} days and takes 5 mg of it."} for number in range(4)]


@pytest.fixture(scope="module")
def parts(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_parts(reference, tmp_path_factory.mktemp("parts"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main([*map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_inspect_and_verify(parts: list[Path], reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(run(capsys, "inspect", reference, "--json"))
    for part in parts:
        found = json.loads(run(capsys, "inspect", part, "--json"))
        assert [one["path"] for one in found["parts"]] == list(map(str, parts))
        same = set(whole) - {"path", "parts", "size_bytes"}
        assert {key: found[key] for key in same} == {key: whole[key] for key in same}
        checked = json.loads(run(capsys, "verify", part, "--json"))
        assert (checked["verified"], checked["damaged"]) == (True, [])
        assert checked["checked"] == json.loads(run(capsys, "verify", reference, "--json"))["checked"]
    assert "bits per weight, in 3 parts\n" in run(capsys, "inspect", parts[1])


def test_verify_names_what_is_damaged(reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = write_parts(reference, tmp_path / "parts")
    content = parts[2].read_bytes()
    parts[2].write_bytes(content[:-9] + bytes(9))
    assert main(["verify", str(parts[0])]) == 1
    assert "(expert 15 of layer 2)" in capsys.readouterr().err


def test_calibrate_eval_and_bench(
    parts: list[Path], coarse: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "calibrate", parts[2], texts, "-o", tmp_path / "s.npz", "--effects", "64", *SMALL)
    run(capsys, "calibrate", parts[0], texts, "-o", tmp_path / "t.npz", "--effects", "64", *SMALL)
    assert (tmp_path / "s.npz").read_bytes() == (tmp_path / "t.npz").read_bytes()
    card = json.loads(run(capsys, "eval", coarse, "--reference", parts[1], "--data", texts, "--json", *SMALL))
    assert card["overall"]["kl_mean"] > 0
    told = json.loads(run(capsys, "bench", parts[1], "--tokens", "4", "--ctx", "512", "--threads", "1", "--json"))
    assert told


@pytest.mark.usefixtures("quick")
def test_doctor(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "100% of the experts in memory" in run(capsys, "doctor", parts[1], "--folder", tmp_path, "--ctx", "256")


def test_generate_and_chat(parts: list[Path], reference: Path) -> None:
    greedy = ("--temperature", "0", "--max-tokens", "8", "--threads", "1")
    answers = {edgemed("generate", path, "-p", "What is a fever?", *greedy) for path in (*parts, reference)}
    assert len(answers) == 1
    assert edgemed("chat", parts[2], "--plain", "--threads", "1", typed="What is a fever?\n").strip()


def edgemed(*words: str | Path, typed: str = "") -> str:
    command = [sys.executable, "-m", "edgemed.cli", *map(str, words)]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("named", [0, 1])
def test_no_output_replaces_a_part(
    named: int, parts: list[Path], texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ("inspect", parts[named], "--html", parts[2]),
        ("calibrate", parts[named], texts, "-o", parts[2], *SMALL),
        ("eval", parts[named], "--reference", parts[named], "--data", texts, "-o", parts[2], *SMALL),
    ):
        assert main([*map(str, words), "--overwrite"]) == 2
        assert "is also named as an input" in capsys.readouterr().err
