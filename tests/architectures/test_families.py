"""Rules that hold for every family: how it is found, and what its file must define."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import edgemed.architectures
from edgemed.architectures import FAMILIES, Architecture, find_architecture, find_gguf_architecture
from edgemed.architectures.bailing_moe_v2 import ANTANGELMED, BailingMoeV2
from edgemed.architectures.config import Config
from edgemed.architectures.router import SigmoidGroups
from edgemed.architectures.sarvam_moe import SarvamMoe
from edgemed.architectures.tensors import ALWAYS_F32, DENSE_GROUPS, PROJECTIONS, block_of, kind_of
from edgemed.engine.process.protocol import Sampling
from edgemed.errors import CalibrationError, CheckpointError, ModelFileError
from edgemed.quant.calibrated import Calibrated

EXAMPLES: list[Architecture] = [
    replace(ANTANGELMED, n_nextn=1),
    SarvamMoe(**asdict(ANTANGELMED)),
]


def test_every_family_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(FAMILIES)


@pytest.mark.parametrize("hparams", EXAMPLES, ids=lambda hparams: str(hparams.FAMILY))
def test_family_definitions_are_complete(hparams: Architecture) -> None:
    dense = list(hparams.dense_tensors())
    assert len({mapped.target for mapped in dense}) == len(dense)
    kinds = {kind_of(mapped.target) for mapped in dense if len(mapped.shape) == 2} - set(ALWAYS_F32)
    assert kinds <= set(hparams.DENSE_KINDS)
    assert set(hparams.DENSE_KINDS.values()) <= {*DENSE_GROUPS, None}
    assert all(len(mapped.shape) == 1 for mapped in dense if mapped.change is not None)
    for layer in hparams.stored_moe_layers:
        names = {mapped.target for mapped in dense if block_of(mapped.target) == layer}
        assert {f"blk.{layer}.{name}" for name in (hparams.router.weight, hparams.router.norm)} <= names
        matrices = hparams.expert_tensors(layer, 0)
        assert [mapped.shape for mapped in matrices] == hparams.expert_matrix_shapes
        assert [mapped.target for mapped in matrices] == [f"blk.{layer}.ffn_{p}.0.weight" for p in PROJECTIONS]
    assert hparams.n_moe_layers == len(hparams.moe_layers) == len(hparams.stored_moe_layers) - hparams.n_nextn
    assert Sampling(**hparams.SAMPLING)
    assert hparams.END_TOKENS
    assert hparams.kv_values(0) > 0


def test_gguf_family_is_found_by_its_architecture() -> None:
    assert find_gguf_architecture({"general.architecture": "bailingmoe2"}, "m.gguf") is BailingMoeV2
    published = {"general.architecture": "bailingmoe2", "tokenizer.ggml.pre": "sarvam-moe"}
    assert find_gguf_architecture(published, "m.gguf") is SarvamMoe
    for name, told in (("llama", "llama"), (None, "(none named)")):
        with pytest.raises(ModelFileError) as caught:
            find_gguf_architecture({"general.architecture": name}, "m.gguf")
        assert str(caught.value) == f"m.gguf holds the architecture {told}; edgemed runs bailingmoe2 only."


def test_family_may_have_a_gguf_half_only(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Half(BailingMoeV2):
        GGUF_NAME: ClassVar = "half"
        CHECKPOINT_NAMES: ClassVar[tuple[str, ...]] = ()

    monkeypatch.setattr(edgemed.architectures, "FAMILIES", (*FAMILIES, Half))
    assert find_gguf_architecture({"general.architecture": "half"}, "m.gguf") is Half
    with pytest.raises(CheckpointError, match="edgemed converts BailingMoeV2ForCausalLM and SarvamMoEForCausalLM only"):
        find_architecture(Config({"architectures": ["HalfForCausalLM"]}))
    with pytest.raises(ModelFileError, match="edgemed runs bailingmoe2 and half only"):
        find_gguf_architecture({"general.architecture": "llama"}, "m.gguf")


def test_calibration_refuses_an_activation_it_has_no_formulas_for(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other(BailingMoeV2):
        ACTIVATION: ClassVar = "gelu"

    with pytest.raises(CalibrationError, match="activation gelu, but calibration supports silu only"):
        Calibrated.load(tmp_path / "statistics.npz", Other(**asdict(ANTANGELMED)))


@pytest.mark.parametrize(("groups", "kept"), [(4, 2), (1, 1), (1, 0)])
def test_margins_of_a_grouped_router(groups: int, kept: int) -> None:
    """The margins agree with the definition, computed token by token."""
    random = np.random.default_rng(1)
    router, used, size = SigmoidGroups(groups, kept), 3, 16 // groups
    logits, bias = random.normal(size=(50, 16)).astype(np.float32), random.normal(size=16).astype(np.float32) / 4
    wanted, chosen = [], []
    for row in logits:
        scores = 1 / (1 + np.exp(-row)) + bias
        best = sorted(range(groups), key=lambda g: -np.sort(scores[g * size : (g + 1) * size])[-2:].sum())
        is_open = [e for e in range(16) if e // size in best[: kept or 1]]
        ranked = sorted(is_open, key=lambda e: -scores[e])
        chosen.append(ranked[:used])
        wanted.append(scores[ranked[used - 1]] - scores[ranked[used]])
    found = router.margins(logits, bias, np.array(chosen, np.int32))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert (found >= 0).all()


def test_the_smallest_router() -> None:
    assert SigmoidGroups(8, 4).smallest(32, 8) == 32
    assert SigmoidGroups(8, 4).smallest(1, 8) == 16
    assert SigmoidGroups(8, 1).smallest(1, 8) == 64
    assert SigmoidGroups(1, 0).smallest(5, 3) == 5
