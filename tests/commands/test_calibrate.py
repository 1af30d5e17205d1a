"""`edgemed calibrate` on a tiny model: its counts, its output, and its refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgemed.calibration.collect import Margins, empty, statistics_bytes, usual_sample
from edgemed.cli import main
from edgemed.convert import convert
from edgemed.model_file import open_model
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.calibration import read_calibration
from edgemed.quant.plan import Plan
from edgemed.quant.statistics import Statistics
from edgemed.quant.types import Type
from edgemed.sizes import parse_size
from testing.checkpoints import Shape, make_checkpoint

Jsonl = Callable[..., Path]
SMALL = ("--passage", "64", "--threads", "1", "--json")
TEXTS = [{"text": f"The patient has had a cough for {number} days and takes 5 mg of it."} for number in range(6)]
QUESTIONS = [{"question": f"发热{number}天怎么办？", "answer": "多喝水，休息，必要时就医。"} for number in range(6)]


def calibrate(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    assert main(["calibrate", *map(str, arguments), *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_every_token_is_counted_once_per_layer(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, h = tmp_path / "s.npz", open_model(reference).hparams
    found = calibrate(
        capsys, reference, jsonl("notes", *TEXTS), jsonl("zh", *QUESTIONS), "-o", out, "--tokens", "100000"
    )
    statistics = Statistics.load(out)
    assert statistics.domains == ("notes", "zh")
    assert statistics.layers == (1, 2)
    assert found["domains"] == dict(
        zip(statistics.domains, statistics.tokens[:, 0].sum(1) / h.n_expert_used, strict=True)
    )
    tokens = found["tokens"]
    assert isinstance(tokens, int)
    assert tokens > 300
    np.testing.assert_array_equal(statistics.tokens.sum(axis=(0, 2)), tokens * h.n_expert_used)
    # Routing weights are normalised, then scaled.
    np.testing.assert_allclose(statistics.share.sum(axis=(0, 2)), tokens * h.weights_scale, rtol=1e-4)
    np.testing.assert_array_equal(statistics.margins.sum(axis=(0, 2)), tokens)
    assert (statistics.sample.key[:, :tokens] != statistics.sample.key.max()).any()
    seen = statistics.tokens.sum(axis=0) > 0
    for sums in (statistics.input_squares, statistics.inner_squares):
        assert (sums[seen] > 0).any(axis=-1).all()
        assert (sums[~seen] == 0).all()


@pytest.mark.slow
def test_routing_is_read_before_its_memory_is_reused(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With this many experts and groups, libllama reuses the memory of the chosen experts' ids for a layer's result."""
    shape = Shape(
        num_hidden_layers=2, hidden_size=512, moe_intermediate_size=32, num_experts=256, n_group=8, topk_group=4
    )
    model, out = tmp_path / "wide.gguf", tmp_path / "s.npz"
    convert(str(make_checkpoint(tmp_path / "wide", shape)), model, Plan.uniform(Type.F16))
    calibrate(capsys, model, jsonl("notes", *TEXTS), "-o", out, "--effects", "0")
    statistics = Statistics.load(out)
    np.testing.assert_array_equal(statistics.tokens.sum(axis=0) > 0, statistics.input_squares.any(axis=2))
    assert (statistics.tokens.sum(axis=0) > 0).sum() > 20


@pytest.mark.slow
def test_merged_runs_equal_one_run(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl("notes", *TEXTS), jsonl("zh", *QUESTIONS)
    parts = [tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "both.npz"]
    for texts, out in zip(((data[0],), (data[1],), data), parts, strict=True):
        calibrate(capsys, reference, *texts, "-o", out, "--tokens", "100000", "--sample", "64")
    a, b, both = map(Statistics.load, parts)
    merged = a.merge(b)
    for name in ("tokens", "share", "output", "margins", "input_squares", "inner_squares"):
        np.testing.assert_allclose(getattr(merged, name), getattr(both, name), rtol=1e-9, err_msg=name)
    for moe_layer in range(len(both.layers)):
        for one, other in zip(merged.sample.of_layer(moe_layer, 64), both.sample.of_layer(moe_layer, 64), strict=True):
            np.testing.assert_array_equal(one, other)


def test_default_sample_size_follows_memory(reference: Path) -> None:
    small = open_model(reference).hparams
    assert usual_sample(small) == 65_536
    large = replace(small, n_embd=4096, n_head=4096 // small.head_dim, n_layer=32)
    assert usual_sample(large) == 4228
    assert 0.9 < usual_sample(large) * 2 * 4096 * 31 / 2**30 <= 1


@pytest.mark.slow
def test_sample_counts_against_the_memory_budget(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    h, needed = open_model(reference).hparams, []
    for sample in (0, 4_000_000):
        numbers = ("--sample", sample, "--tokens", 4_000_000, "--ram", "1MiB")
        arguments = (reference, jsonl("notes", *TEXTS), "-o", tmp_path / "s.npz", *numbers)
        assert main(["calibrate", *map(str, arguments), *SMALL]) == 1
        needed.append(parse_size(capsys.readouterr().err.split("--ram ")[1].rstrip(").\n")))
    more = 4_000_000 * (empty(h, ["all"], 1).nbytes - empty(h, ["all"], 0).nbytes)
    assert more > 4_000_000 * 2 * h.n_embd * 2
    assert needed[1] - needed[0] == pytest.approx(more, rel=0.1)  # the memory of the two commands differs slightly


def test_memory_estimate_includes_every_domain(reference: Path) -> None:
    h = open_model(reference).hparams
    one, many = (statistics_bytes(h, [str(number) for number in range(count)], 10) for count in (1, 1000))
    assert many == empty(h, ["all"] * 1000, 10).nbytes
    assert many > one + 999 * 3 * 8 * h.n_expert * h.n_moe_layers


@pytest.mark.slow
def test_effect_equals_the_gain_from_sparing_one_part(
    checkpoint: Path, reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The effects equal those of converted files: all experts in Q3_K with their importance, with and without layer 2;
    and all experts in Q3_K and dense matrices in Q6_K, with and without those of the attention's output."""
    data, out = jsonl("notes", *TEXTS), tmp_path / "s.npz"
    found = calibrate(capsys, reference, data, "-o", out, "--effects", "100000")
    assert not list(tmp_path.glob("edgemed-*"))
    calibrated = Calibrated.load(out, open_model(reference).hparams, compensated=False)
    layer = {(2, projection): Type.F16 for projection in range(3)}
    plans = [
        Plan((Type.Q3_K,) * 3, dense_default=Type.F16),
        Plan((Type.Q3_K,) * 3, layers=layer, dense_default=Type.F16),
        Plan((Type.Q3_K,) * 3, dense_default=Type.Q6_K),
        Plan((Type.Q3_K,) * 3, dense_default=Type.Q6_K, dense={"attn_output": Type.Q8_0}),
    ]
    lost = []
    for number, plan in enumerate(plans):
        model, card = tmp_path / f"{number}.gguf", tmp_path / f"{number}.json"
        convert(str(checkpoint), model, plan, calibrated=calibrated)
        arguments = (model, "--reference", reference, "--data", data, "-o", card, "--tokens", "100000", *SMALL)
        assert main(["eval", *map(str, arguments)]) == 0
        lost.append(json.loads(card.read_text())["overall"]["kl_mean"])
    np.testing.assert_allclose(found["effects"][1], lost[0] - lost[1], rtol=1e-3)  # type: ignore[index]
    won = max(lost[2] - lost[3], 0.0)
    np.testing.assert_allclose(found["dense"]["attn_output"], won, rtol=0.02, atol=1e-7)  # type: ignore[index]
    stored = Statistics.load(out)
    np.testing.assert_array_equal(stored.effects, found["effects"])
    np.testing.assert_array_equal(stored.dense, list(found["dense"].values()))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_effects_can_be_skipped(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = calibrate(capsys, reference, jsonl("notes", *TEXTS), "-o", tmp_path / "s.npz", "--effects", "0")
    assert found["effects"] == [0, 0]
    assert set(found["dense"].values()) == {0}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_imatrix_is_written_and_read_back(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, imatrix = tmp_path / "s.npz", tmp_path / "imatrix.gguf"
    calibrate(capsys, reference, jsonl("notes", *TEXTS), "-o", out, "--imatrix", imatrix)
    hparams = open_model(reference).hparams
    ours, theirs = read_calibration(out, hparams), read_calibration(imatrix, hparams)
    np.testing.assert_allclose(theirs.input_squares, ours.input_squares, rtol=1e-6)
    np.testing.assert_array_equal(theirs.tokens.sum(axis=0), ours.tokens.sum(axis=0))


def test_margins_match_a_brute_force_search(reference: Path) -> None:
    file = open_model(reference)
    h, random = file.hparams, np.random.default_rng(0)
    weight = np.frombuffer(file.read(file.tensors["blk.1.ffn_gate_inp.weight"]), np.float32).reshape(-1, h.n_embd)
    bias = np.frombuffer(file.read(file.tensors["blk.1.exp_probs_b.bias"]), np.float32)
    inputs = random.standard_normal((20, h.n_embd)).astype(np.float32)
    each = h.n_expert // h.n_group
    chosen, margins = [], []
    for x in inputs:
        score = 1 / (1 + np.exp(-(weight @ x))) + bias
        groups = sorted(range(h.n_group), key=lambda g: -sum(sorted(score[g * each : (g + 1) * each])[-2:]))
        candidates = [g * each + e for g in groups[: h.n_group_used] for e in range(each)]
        ranked = sorted(candidates, key=lambda e: -score[e])
        chosen.append(ranked[: h.n_expert_used])
        margins.append(score[ranked[h.n_expert_used - 1]] - score[ranked[h.n_expert_used]])
    np.testing.assert_allclose(Margins(file).of(0, inputs, np.array(chosen, np.int32)), margins, atol=1e-5)


@pytest.mark.slow
def test_refusals_are_sentences_and_leave_no_file(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, out = jsonl("notes", *TEXTS), tmp_path / "s.npz"
    choices = jsonl("mcq", {"question": "q", "options": ["x", "y"], "answer": 0})
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "fine"}\n{"text": \n')
    taken = tmp_path / "taken.npz"
    taken.touch()
    for arguments, sentence in (
        ((reference, choices, "-o", out), "only multiple-choice questions"),
        ((reference, broken, "-o", out), "Line 2 of"),
        ((reference, texts, "-o", taken), "exists already"),
        ((reference, texts, "-o", tmp_path / "no" / "s.npz"), "There is no folder"),
        ((reference, texts, "-o", out, "--passage", "9999"), "Passages of 9999 tokens are not possible"),
        ((reference, texts, "-o", out, "--tokens", "0"), "--tokens 0 is not possible"),
        ((texts, texts, "-o", out), "does not begin with the letters GGUF"),
        ((reference, texts, "-o", out, "--ram", "1MiB"), "at least"),
    ):
        capsys.readouterr()
        code = main(["calibrate", *map(str, arguments)])
        printed = capsys.readouterr()
        assert code in (1, 2)
        assert sentence in printed.err, printed.err
        assert (printed.err.count("\n"), printed.out) == (1, "")
        assert not out.exists()
        assert list(tmp_path.glob("*.partial")) == []
