"""`edgemed doctor` and `edgemed bench` as a user runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.architectures import bailing_moe_v2
from edgemed.cli import main
from edgemed.convert.pipeline import convert
from edgemed.engine.process import launch
from edgemed.forecast import survey
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    convert(str(make_checkpoint(folder / "checkpoint")), folder / "m.gguf", Plan.uniform(Type.Q4_K))
    return folder / "m.gguf"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the forecast for a smaller model, write less to the disk, and measure every rate for a shorter time."""
    smaller = {"n_layer": 8, "n_embd": 1024, "n_ff": 1024, "n_ff_exp": 256, "n_ff_shexp": 256, "n_vocab": 4096}
    shape = replace(bailing_moe_v2.ANTANGELMED, **smaller, n_head=8, n_head_kv=2)
    monkeypatch.setattr(bailing_moe_v2, "ANTANGELMED", shape)
    monkeypatch.setattr(survey, "PROBE_BYTES", 96 << 20)
    monkeypatch.setattr(survey, "SAMPLE_SECONDS", 0.05)
    monkeypatch.setattr(survey, "measure_memory", partial(survey.measure_memory, seconds=0.05))
    monkeypatch.setattr(survey, "measure_compute", partial(survey.measure_compute, seconds=0.05))
    pretend_busy(monkeypatch, 0.0)


def pretend_busy(monkeypatch: pytest.MonkeyPatch, *shares: float) -> None:
    """Let other programs use these shares of the cores, one after the other; the last one lasts."""
    left = list(shares)
    told = lambda *_: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731
    monkeypatch.setattr(survey, "measure_busy", told)
    monkeypatch.setattr(survey, "Others", lambda: SimpleNamespace(share=told))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_doctor_measures_and_predicts_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--folder", str(tmp_path), "--ram", "20GiB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["installation"]["engine_fault"] is None
    assert all(lock["passed"] for lock in told["locks"])
    assert len(told["models"]) == 4
    for model in told["models"].values():
        worst, likely = model["predictions"]
        assert 0 < worst["tokens_per_s"] <= likely["tokens_per_s"]
    assert "runs here, " in told["verdict"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_doctor_text_says_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--folder", str(tmp_path), "--ram", "200MiB"]) == 0
    printed = capsys.readouterr()
    assert "does not fit; needs at least" in printed.out
    assert "offline     proved: 8 of 8" in printed.out
    assert "does not run here: it needs at least" in printed.out.splitlines()[-1]
    assert printed.err.splitlines()[0] == "looking at this computer ..."
    assert "measuring the engine on small models, 2 of 3 ..." in printed.err.splitlines()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("shares", [(0.6,), (0.1, 0.6)], ids=["before", "meanwhile"])
def test_doctor_trusts_no_figure_from_a_busy_machine(
    shares: tuple[float, ...],
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_busy(monkeypatch, *shares)
    assert main(["doctor", str(model), "--folder", str(tmp_path), "--ctx", "256"]) == 0
    out = capsys.readouterr().out
    assert "speed       not measured, because other programs use 60% of the cores" in out
    assert out.endswith("too low. Run this again when the computer is idle.\n")
    for figure in ("/s", "word", "GB"):
        assert figure not in out
    pretend_busy(monkeypatch, *shares)
    main(["doctor", str(model), "--folder", str(tmp_path), "--ctx", "256", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["machine"] is told["verdict"] is None
    assert [each["predictions"] for each in told["models"].values()] == [None]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_doctor_waits_for_a_short_burst_of_work(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_busy(monkeypatch, 0.6, 0.6, 0.0)
    assert main(["doctor", str(model), "--folder", str(tmp_path), "--ctx", "256"]) == 0
    printed = capsys.readouterr()
    assert "waiting: other programs use 60% of the cores ..." in printed.err
    assert "runs here" in printed.out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_doctor_uses_the_size_of_a_given_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(model), "--folder", str(tmp_path), "--ctx", "256"]) == 0
    assert "100% of the experts in memory" in capsys.readouterr().out


def test_doctor_reports_a_broken_engine(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('there is no llama here')")
    monkeypatch.setattr(launch, "environment", lambda: {"PYTHONPATH": str(tmp_path)})
    assert main(["doctor", str(model), "--ctx", "256"]) == 1
    printed = capsys.readouterr()
    assert "engine      cannot start\n" in printed.out
    assert printed.err.splitlines()[-1].startswith(
        "edgemed: llama-cpp-python cannot be loaded (there is no llama here). If it was built"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("folder", ["/proc/self", "nowhere/at all"])
def test_unwritable_folder_is_one_sentence(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--folder", folder]) == 1
    *stages, sentence = capsys.readouterr().err.splitlines()
    assert all(stage.endswith(" ...") for stage in stages)
    assert sentence.startswith("edgemed: ")
    assert "name another folder" in sentence


@pytest.mark.slow
def test_bench_measures_with_the_engine(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(model), "--ctx", "512", "--tokens", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answers"] >= 1
    assert told["tokens_per_s"] > 0
    assert told["prompt_tokens_per_s"] > 0
    assert told["peak_bytes"] > 1 << 20
    assert main(["bench", str(model), "--ctx", "512", "--tokens", "4"]) == 0
    assert "tokens/s, first word after" in capsys.readouterr().out


def test_bench_watch_needs_a_terminal(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(model), "--watch"]) == 2
    assert capsys.readouterr().err == "edgemed: --watch needs a terminal to draw on.\n"
