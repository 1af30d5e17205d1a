"""Plans that meet a goal, and files made with calibration."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.architectures import HParams
from edgemed.convert import Checkpoint, convert, find_source
from edgemed.convert.layout import LAYOUTS, LayoutName
from edgemed.errors import BudgetError, CalibrationError
from edgemed.model_file import keys, open_model
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.compensate import row_damage
from edgemed.quant.imatrix import write_imatrix
from edgemed.quant.plan import Plan
from edgemed.quant.planning import Bits, FileSize, Goal, Memory, plan_for
from edgemed.quant.quantize import dequantize
from edgemed.quant.sensitivity import measure
from edgemed.quant.statistics import Statistics
from edgemed.quant.types import FAST, bits_per_weight
from testing.imatrix_dat import encode_dat, entries_of


class Made(NamedTuple):
    """A plan of `plan_for`, the calibration it used, and the predicted size of its file."""

    plan: Plan
    notes: list[str]
    speed: tuple[float, float] | None
    calibrated: Calibrated | None
    size_bytes: int


def planned_for(
    folder: Path,
    goal: Goal,
    statistics: Path | None,
    *,
    layout: LayoutName = "edgemed",
    compensated: bool = True,
) -> Made:
    with Checkpoint(find_source(str(folder))) as checkpoint:
        calibrated = None
        if statistics:
            calibrated = Calibrated.load(statistics, checkpoint.hparams, compensated=compensated)
        planned = plan_for(goal, checkpoint.target(layout, calibrated), calibrated)
        size_bytes = checkpoint.file_size(planned.plan, layout, calibrated)
        return Made(planned.plan, planned.notes, planned.speed, calibrated, size_bytes)


def hparams_of(folder: Path) -> HParams:
    with Checkpoint(find_source(str(folder))) as checkpoint:
        return checkpoint.hparams


@pytest.mark.slow
def test_bits_are_met_and_used_up(checkpoint: Path, statistics: Path) -> None:
    planned = planned_for(checkpoint, Bits(3.6), statistics)
    kinds = [planned.plan.expert_type(layer, e, p) for layer in (1, 2) for e in range(8) for p in range(3)]
    bits = float(sum(bits_per_weight(kind) for kind in kinds)) / len(kinds)
    assert 3.6 * 0.97 < bits <= 3.6
    assert set(kinds) <= set(FAST)
    assert len(set(kinds)) > 1
    again = planned_for(checkpoint, Bits(3.6), statistics)
    assert again.plan.text == planned.plan.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinite_damage_is_a_sentence(checkpoint: Path, statistics: Path) -> None:
    calibrated = Calibrated.load(statistics, hparams_of(checkpoint), compensated=False)
    huge = (np.full((256, 256), 1e30, np.float32),) * 3
    with pytest.raises(CalibrationError, match="so large that their damage is not finite"):
        calibrated.weigh_all(lambda layer, expert: huge, FAST, 1, lambda done, total: None)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_size_is_nearly_reached_and_never_exceeded(
    checkpoint: Path, statistics: Path, tmp_path: Path, layout: LayoutName
) -> None:
    least, most = (
        convert(str(checkpoint), tmp_path / f"{t.name}.gguf", Plan.uniform(t)) for t in (Type.Q2_K, Type.Q6_K)
    )
    wanted = (least.size_bytes + most.size_bytes) // 2
    goal = FileSize(wanted)
    planned = planned_for(checkpoint, goal, statistics, layout=layout, compensated=False)
    done = convert(str(checkpoint), tmp_path / "m.gguf", planned.plan, calibrated=planned.calibrated, layout=layout)
    assert planned.calibrated is not None
    seen = planned.calibrated.statistics.tokens.sum(axis=0)
    assert seen.any()
    assert np.array_equal(open_model(done.path).expert_tokens, seen)
    assert done.size_bytes == planned.size_bytes == (tmp_path / "m.gguf").stat().st_size
    # 48 matrices allow only coarse steps, whole tensors only six; a full-size model has 23,808 matrices.
    assert wanted * (0.98 if layout == "edgemed" else 0.9) < done.size_bytes <= wanted
    with pytest.raises(BudgetError, match="too small"):
        planned_for(checkpoint, FileSize(1 << 20), None)


@pytest.fixture(scope="module")
def weighed(statistics: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The statistics with invented effects of layers and dense groups: the output matters, the embedding does not."""
    found = Statistics.load(statistics)
    found.effects[:] = 3e-3, 1e-3
    found.dense[:] = 1e-5, 1e-5, 1e-5, 1e-5, 2e-3, 1e-9
    path = tmp_path_factory.mktemp("weighed") / "s.npz"
    found.save(path)
    return path


@pytest.mark.slow
def test_experts_and_dense_matrices_share_a_size(
    checkpoint: Path, statistics: Path, weighed: Path, tmp_path: Path
) -> None:
    uniform = (convert(str(checkpoint), tmp_path / f"{t.name}.gguf", Plan.uniform(t)) for t in (Type.Q2_K, Type.Q3_K))
    wanted = sum(done.size_bytes for done in uniform) // 2
    goal = FileSize(wanted)
    planned = planned_for(checkpoint, goal, weighed, compensated=False)
    assert wanted * 0.98 < planned.size_bytes <= wanted
    assert "output" not in planned.plan.dense
    assert planned.plan.dense["token_embd"] == Type.Q6_K
    done = convert(str(checkpoint), tmp_path / "m.gguf", planned.plan)
    assert done.size_bytes == planned.size_bytes
    file = open_model(tmp_path / "m.gguf")
    assert file.tensors["token_embd.weight"].type == Type.Q6_K
    assert file.tensors["output.weight"].type == Type.Q8_0
    # Without measured effects, dense matrices keep their default type.
    assert planned_for(checkpoint, goal, statistics, compensated=False).plan.dense == {}
    # Sizes too small for the smallest experts with Q8_0 dense matrices can be reached.
    least = planned_for(checkpoint, FileSize(wanted - (wanted >> 4)), weighed, compensated=False)
    assert set(least.plan.dense.values()) == {Type.Q6_K}


@pytest.mark.slow
def test_bits_balance_dense_and_expert_gain_per_byte(checkpoint: Path, weighed: Path) -> None:
    few, many = (planned_for(checkpoint, Bits(b), weighed, compensated=False).plan for b in (3.6, 6.5625))
    assert "token_embd" in few.dense
    assert "output" not in few.dense
    assert many.dense == {}


@pytest.mark.slow
def test_ram_selects_the_least_damaging_usable_plan(checkpoint: Path, weighed: Path) -> None:
    """On one machine every saved byte gives bits to experts; on another, only all savings together make it usable."""
    asked = []

    def most_bits(saved: int, saved_embedding: int) -> tuple[float, float]:
        asked.append(saved + saved_embedding)
        return 2.7 + 1e-5 * saved, 5.0

    plan = planned_for(checkpoint, Memory(most_bits, 3.0), weighed, compensated=False)
    assert asked == sorted(asked)
    assert asked[0] == 0
    assert plan.speed is not None
    assert plan.speed[0] > 2.7
    assert "attn_qkv" in plan.plan.dense
    assert "output" not in plan.plan.dense
    slow = Memory(lambda saved, _: (2.7, 2.0 + saved / max(asked)), 3.0)
    planned = planned_for(checkpoint, slow, weighed, compensated=False)
    assert "output" in planned.plan.dense  # no plan is usable, so the fastest one is taken
    assert planned.speed is not None
    assert planned.speed[1] < 3

    def tight(saved: int, saved_embedding: int) -> tuple[float, float]:
        if saved + saved_embedding < max(asked):
            raise BudgetError("too small")
        return 2.7, 5.0

    planned = planned_for(checkpoint, Memory(tight, 3.0), weighed, compensated=False)
    assert "output" in planned.plan.dense, "a model that fits only with the smallest dense matrices must fit"
    nothing = Memory(lambda saved, _: tight(-1, 0), 3.0)
    with pytest.raises(BudgetError, match="too small"):
        planned_for(checkpoint, nothing, weighed, compensated=False)


@pytest.mark.slow
def test_without_calibration_the_largest_fitting_type_is_used(checkpoint: Path, tmp_path: Path) -> None:
    exact = convert(str(checkpoint), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K)).size_bytes
    for size, kind in ((exact + 5000, Type.Q4_K), (exact - 5000, Type.Q3_K)):
        planned = planned_for(checkpoint, FileSize(size), None)
        assert planned.plan.default == (kind,) * 3
        assert planned.size_bytes <= size


@pytest.mark.slow
def test_calibrated_codes_do_less_damage(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    """Less damage than ggml's rounding, by the measure of the statistics; the file names its calibration."""
    hparams = hparams_of(checkpoint)
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
                slope, nothing = known.slope[p], np.zeros_like(weights[p])
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


@pytest.mark.slow
def test_resumed_conversion_has_the_same_bytes(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    hparams = hparams_of(checkpoint)
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gguf", "dat"])
def test_imatrix_can_be_the_calibration(checkpoint: Path, statistics: Path, tmp_path: Path, kind: str) -> None:
    if kind == "gguf":
        write_imatrix(Statistics.load(statistics), tmp_path / "i")
    else:
        (tmp_path / "i").write_bytes(encode_dat(entries_of(Statistics.load(statistics))))
    planned = planned_for(checkpoint, Bits(3.2), tmp_path / "i")
    assert "sums only" in planned.notes[0]
    convert(str(checkpoint), tmp_path / "m.gguf", planned.plan, calibrated=planned.calibrated)
    assert open_model(tmp_path / "m.gguf").verified


def test_statistics_of_another_model_are_refused(checkpoint: Path, statistics: Path, tmp_path: Path) -> None:
    hparams = hparams_of(checkpoint)
    with pytest.raises(CalibrationError, match="2 layers of 8 experts"):
        Calibrated.load(statistics, replace(hparams, n_layer=5))
    empty = Statistics.empty(["d"], (1, 2), n_expert=8, n_used=2, n_embd=256, n_ff=256)
    empty.save(tmp_path / "empty.npz")
    with pytest.raises(CalibrationError, match="seen no token"):
        Calibrated.load(tmp_path / "empty.npz", hparams)
    (tmp_path / "text").write_text(json.dumps({}))
    with pytest.raises(CalibrationError):
        Calibrated.load(tmp_path / "text", hparams)
