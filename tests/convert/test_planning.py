"""Plans that meet a goal, and files made with calibration."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import Goal, convert, hparams_of, plan_for
from edgemed.convert.layout import LAYOUTS, LayoutName
from edgemed.errors import BudgetError, CalibrationError
from edgemed.model_file import keys, open_model
from edgemed.quant.calibrated import PALETTES, Calibrated
from edgemed.quant.compensate import row_damage
from edgemed.quant.imatrix import write_imatrix
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import dequantize
from edgemed.quant.sample import token_keys
from edgemed.quant.sensitivity import measure
from edgemed.quant.statistics import Statistics
from edgemed.quant.types import bits_per_weight
from tests.support.checkpoints import Shape, make_checkpoint

SHAPE = Shape(num_hidden_layers=3, num_experts=8, n_group=2, topk_group=1, num_experts_per_tok=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), SHAPE)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of invented inputs with unequal columns, on experts used unequally; expert 7 is never seen."""
    random, width, used = np.random.default_rng(0), SHAPE.hidden_size, SHAPE.num_experts_per_tok
    found = Statistics.empty(["d"], (1, 2), n_expert=8, n_used=used, n_embd=width, n_ff=256, sample=300)
    for row in range(2):
        inputs = random.standard_normal((300, width)) * np.geomspace(0.05, 3, width)
        experts = np.minimum(random.integers(0, 7, (300, 1)) // [1, 2] + [0, 4], 6)
        shares = random.uniform(0.5, 1.5, (300, used))
        found.observe_layer(0, row, token_keys(str(row), 300), inputs, experts, shares, np.full(300, 0.1), np.ones(300))
        for expert in range(7):
            token, rank = np.nonzero(experts == expert)
            inner = random.standard_normal((len(token), 256))
            found.observe_expert(0, row, expert, inputs[token], shares[token, rank], inner, inner)
    path = tmp_path_factory.mktemp("statistics") / "s.npz"
    found.save(path)
    return path


def test_bits_are_kept_and_spent(checkpoint: Path, statistics: Path) -> None:
    planned = plan_for(str(checkpoint), None, Goal(bits=3.6), statistics)
    kinds = [planned.plan.expert_type(layer, e, p) for layer in (1, 2) for e in range(8) for p in range(3)]
    bits = float(sum(bits_per_weight(kind) for kind in kinds)) / len(kinds)
    assert 3.6 * 0.97 < bits <= 3.6
    assert set(kinds) <= set(PALETTES["fast"])
    assert len(set(kinds)) > 1
    again = plan_for(str(checkpoint), None, Goal(bits=3.6), statistics)
    assert again.plan.text == planned.plan.text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_size_is_never_exceeded_and_nearly_reached(
    checkpoint: Path, statistics: Path, tmp_path: Path, layout: LayoutName
) -> None:
    least, most = (
        convert(str(checkpoint), tmp_path / f"{t.name}.gguf", Plan.uniform(t)) for t in (Type.Q2_K, Type.Q6_K)
    )
    wanted = (least.size_bytes + most.size_bytes) // 2
    goal = Goal(size_bytes=wanted)
    planned = plan_for(str(checkpoint), None, goal, statistics, layout=layout, compensated=False)
    done = convert(str(checkpoint), tmp_path / "m.gguf", planned.plan, calibrated=planned.calibrated, layout=layout)
    assert done.size_bytes == planned.size_bytes == (tmp_path / "m.gguf").stat().st_size
    # 48 matrices are coarse coins, and whole tensors of a layer six; at full size there are 23,808.
    assert wanted * (0.98 if layout == "edgemed" else 0.9) < done.size_bytes <= wanted
    with pytest.raises(BudgetError, match="too small"):
        plan_for(str(checkpoint), None, Goal(size_bytes=1 << 20), None)


def test_without_calibration_the_largest_type_that_fits(checkpoint: Path, tmp_path: Path) -> None:
    exact = convert(str(checkpoint), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K)).size_bytes
    for size, kind in ((exact + 5000, Type.Q4_K), (exact - 5000, Type.Q3_K)):
        planned = plan_for(str(checkpoint), None, Goal(size_bytes=size), None)
        assert planned.plan.default == (kind,) * 3
        assert planned.size_bytes <= size


def test_calibrated_codes_do_less_damage(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    """Against ggml's rounding, in the measure the statistics define; the file says what it was made with."""
    hparams = hparams_of(str(checkpoint), None)
    plan = Plan.uniform(Type.Q2_K)
    files = {}
    for name, calibrated in (
        ("plain", None),
        ("quick", Calibrated.load(statistics, hparams, compensated=False)),
        ("full", Calibrated.load(statistics, hparams)),
    ):
        convert(str(checkpoint), tmp_path / f"{name}.gguf", plan, calibrated=calibrated)
        files[name] = open_model(tmp_path / f"{name}.gguf")
    exact = tmp_path / "exact.gguf"
    convert(str(checkpoint), exact, Plan.uniform(Type.F32))
    stored = Statistics.load(statistics)
    damage = dict.fromkeys(files, 0.0)
    for layer, expert in ((1, 0), (2, 3), (2, 7)):
        weights = [_matrix(exact, layer, expert, p) for p in range(3)]
        known = measure(stored, layer - 1, expert, *weights)
        for name, file in files.items():
            for p in range(3):
                slope, nothing = known.row[p], np.zeros_like(weights[p])
                whole = row_damage(weights[p], nothing, known.hessian[p]) @ slope
                lost = row_damage(weights[p], _matrix(file.path, layer, expert, p), known.hessian[p])
                damage[name] += float(lost @ slope / whole)
    assert damage["full"] < damage["quick"] < damage["plain"]
    for name, file in files.items():
        digest = None if name == "plain" else Calibrated.load(statistics, hparams).digest
        assert file.metadata.get(keys.CALIBRATION_DIGEST) == digest


def _matrix(path: Path, layer: int, expert: int, projection: int) -> np.ndarray:  # type: ignore[type-arg]
    file = open_model(path)
    info = file.tensors[f"blk.{layer}.ffn_{('gate', 'up', 'down')[projection]}.{expert}.weight"]
    data = np.frombuffer(file.read(info), np.uint8).reshape(info.shape[1], -1)
    return dequantize(data, Type(info.type), info.shape[0])


def test_an_interrupted_conversion_ends_with_the_same_bytes(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    hparams = hparams_of(str(checkpoint), None)
    calibrated, plan = Calibrated.load(statistics, hparams, compensated=False), Plan.uniform(Type.Q3_K)
    convert(str(checkpoint), tmp_path / "whole.gguf", plan, calibrated=calibrated)

    def stop(progress: object) -> None:
        if progress.experts_done >= 5:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(str(checkpoint), tmp_path / "m.gguf", plan, calibrated=calibrated, on_progress=stop, threads=1)
    done = convert(str(checkpoint), tmp_path / "m.gguf", plan, calibrated=calibrated, threads=2)
    assert done.units_resumed > 0
    assert (tmp_path / "m.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_an_importance_matrix_serves(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    write_imatrix(Statistics.load(statistics), tmp_path / "i.gguf")
    planned = plan_for(str(checkpoint), None, Goal(bits=3.2), tmp_path / "i.gguf")
    assert "sums only" in planned.notes[0]
    convert(str(checkpoint), tmp_path / "m.gguf", planned.plan, calibrated=planned.calibrated)
    assert open_model(tmp_path / "m.gguf").verified


def test_statistics_of_another_model_are_refused(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    hparams = hparams_of(str(checkpoint), None)
    with pytest.raises(CalibrationError, match="2 layers of 8 experts"):
        Calibrated.load(statistics, replace(hparams, n_layer=5))
    empty = Statistics.empty(["d"], (1, 2), n_expert=8, n_used=2, n_embd=256, n_ff=256)
    empty.save(tmp_path / "empty.npz")
    with pytest.raises(CalibrationError, match="seen no token"):
        Calibrated.load(tmp_path / "empty.npz", hparams)
    (tmp_path / "text").write_text(json.dumps({}))
    with pytest.raises(CalibrationError):
        Calibrated.load(tmp_path / "text", hparams)
