"""SarvamMoE: the differences from BailingMoeV2. tests/engine/test_numbers.py compares its numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.architectures import find_architecture
from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.architectures.config import Config
from edgemed.architectures.sarvam_moe import SarvamMoe
from edgemed.convert import convert
from edgemed.engine.virtual_gguf import virtual_gguf
from edgemed.errors import CheckpointError, ModelFileError
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.gguf_bytes import Kind, load
from testing.reference import load_checkpoint

SHAPE = Shape(
    family="SarvamMoE",
    num_hidden_layers=3,
    num_experts=8,
    num_experts_per_tok=2,
    n_group=1,
    topk_group=1,
    expert_bias_mean=0.6,
)


def read(drop: tuple[str, ...] = (), **changes: Any) -> SarvamMoe:
    config = {key: value for key, value in (SHAPE.config() | changes).items() if key not in drop}
    return SarvamMoe.read_config(Config(config), {})[0]


def test_sarvam_moe_is_found_by_the_architectures_key() -> None:
    for name in ("SarvamMoEForCausalLM", "modeling_sarvam_moe.SarvamMoEForCausalLM"):
        assert find_architecture(Config({"architectures": [name]})) is SarvamMoe


def test_whole_heads_rotate() -> None:
    assert read().n_rot == SHAPE.head_dim
    assert read(partial_rotary_factor=1.0).n_rot == SHAPE.head_dim
    with pytest.raises(
        CheckpointError, match="rotates 32 of the 64 dimensions of a head; SarvamMoE rotates all of them"
    ):
        read(partial_rotary_factor=0.5)


def test_one_group_is_the_default_and_the_scale_is_required() -> None:
    assert (read().n_group, read().n_group_used) == (1, 1)
    assert (read(n_group=4, topk_group=2).n_group, read(n_group=4, topk_group=2).n_group_used) == (4, 2)
    with pytest.raises(CheckpointError, match="lacks routed_scaling_factor"):
        read(drop=("routed_scaling_factor",))


def test_weights_must_be_normalised() -> None:
    with pytest.raises(CheckpointError, match="says norm_topk_prob = False; edgemed runs True only"):
        read(norm_topk_prob=False)


def test_refusals_name_the_family() -> None:
    with pytest.raises(CheckpointError, match="not a usable SarvamMoE model: its heads do not span the hidden size"):
        read(head_dim=32)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted model in the stock layout, next to its checkpoint."""
    folder = tmp_path_factory.mktemp("sarvam")
    make_checkpoint(folder / "checkpoint", SHAPE)
    convert(str(folder / "checkpoint"), folder / "stock.gguf", Plan.uniform(Type.Q8_0), layout="llama.cpp")
    return folder / "stock.gguf"


def test_expert_bias_is_shifted_to_mean_zero(stock: Path) -> None:
    model, checkpoint = open_model(stock), load_checkpoint(stock.with_name("checkpoint"))
    for layer in model.hparams.moe_layers:
        given = checkpoint.weights[f"model.layers.{layer}.mlp.gate.expert_bias"]
        assert given.mean() > 0.4
        written = np.frombuffer(model.read(model.tensors[f"blk.{layer}.exp_probs_b.bias"]), np.float32)
        np.testing.assert_allclose(written, given - given.mean(), atol=1e-6)


def test_gguf_with_another_familys_tokenizer_belongs_to_that_family(stock: Path) -> None:
    """Only the tokenizer distinguishes the two in a GGUF, and the computation is the same."""
    model = open_model(stock)
    assert (model.architecture, type(model.hparams)) == ("bailingmoe2", BailingMoeV2)
    assert (model.hparams.n_rot, model.hparams.n_group) == (SHAPE.head_dim, 1)


def test_gguf_with_the_published_tokenizer_is_inspected_but_not_run(stock: Path, tmp_path: Path) -> None:
    gguf = load(stock)
    gguf.set_key("tokenizer.ggml.pre", Kind.STRING, "sarvam-moe")
    (tmp_path / "published.gguf").write_bytes(gguf.encode())
    model = open_model(tmp_path / "published.gguf")
    assert isinstance(model.hparams, SarvamMoe)
    with pytest.raises(ModelFileError) as caught:
        virtual_gguf(model)
    assert str(caught.value) == (
        "The tokenizer of published.gguf cannot be used: it is the SentencePiece-style BPE that Sarvam publishes, "
        "which was never tested with edgemed; run the model with llama.cpp."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581"}},
        {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"a": 0}, "merges": []}},
    ],
)
def test_published_tokenizer_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", SHAPE)
    document = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(document | change))
    with pytest.raises(
        CheckpointError, match="tokenizer cannot be used: it is the SentencePiece-style BPE that Sarvam publishes"
    ):
        convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    assert not (tmp_path / "out.gguf").exists()
