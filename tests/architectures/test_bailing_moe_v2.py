"""config.json is read into hyperparameters: every key whose absence or alternative spelling changes the maths."""

import json
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from edgemed.architectures import find_architecture
from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.architectures.config import Config
from edgemed.convert import Checkpoint, convert, find_source
from edgemed.errors import CheckpointError
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from tests.convert.conftest import TINY

SHAPE = Shape()


def read(
    shape: Shape = SHAPE, *, drop: tuple[str, ...] = (), stored: int = 0, **changes: Any
) -> tuple[BailingMoeV2, list[str]]:
    """Return the hyperparameters of `shape`'s config after the changes; the shards contain `stored` MTP layers."""
    config = {key: value for key, value in (shape.config() | changes).items() if key not in drop}
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{shape.num_hidden_layers + n}.eh_proj.weight": (256, 512) for n in range(stored)
    }
    width = shape.moe_intermediate_size * shape.num_shared_experts
    shapes[f"model.layers.{shape.first_k_dense_replace}.mlp.shared_experts.gate_proj.weight"] = (width, 256)
    return BailingMoeV2.read_config(Config(config), shapes)


def test_family_is_found_by_the_architectures_key() -> None:
    for model_type in ("bailing_moe", "bailing_moe_v2", "anything", None):
        config = Config({"architectures": ["BailingMoeV2ForCausalLM"], "model_type": model_type})
        assert find_architecture(config).GGUF_NAME == "bailingmoe2"
    for names in (["LlamaForCausalLM"], [], None, "BailingMoeV2ForCausalLM", [None], [["x"]]):
        with pytest.raises(CheckpointError, match="converts BailingMoeV2ForCausalLM and SarvamMoEForCausalLM only"):
            find_architecture(Config({"architectures": names, "model_type": "bailing_moe_v2"}))


def test_rotary_width() -> None:
    assert read()[0].n_rot == 32
    assert read(drop=("partial_rotary_factor",), rotary_dim=48)[0].n_rot == 48
    assert read(rotary_dim=32)[0].n_rot == 32
    assert read(drop=("partial_rotary_factor",), rope_parameters={"partial_rotary_factor": 0.25})[0].n_rot == 16
    hparams, notes = read(drop=("partial_rotary_factor",))
    assert hparams.n_rot == 64
    assert any("partial_rotary_factor" in note for note in notes)
    with pytest.raises(CheckpointError, match="contradict"):
        read(rotary_dim=64)
    with pytest.raises(CheckpointError, match="rotates 96 of the 64 dimensions of a head"):
        read(partial_rotary_factor=1.5)


def test_scaling_factor() -> None:
    assert read()[0].weights_scale == 2.5
    hparams, notes = read(drop=("routed_scaling_factor",))
    assert hparams.weights_scale == 1.0
    assert any("routed_scaling_factor" in note for note in notes)


def test_only_stored_mtp_layers_count() -> None:
    assert read(drop=("num_nextn_predict_layers",))[0].n_nextn == 0
    assert read(stored=1)[0].n_nextn == 1
    assert read(stored=1, num_nextn_predict_layers=1)[0].n_nextn == 1
    hparams, notes = read(num_nextn_predict_layers=1)
    assert hparams.n_nextn == 0
    assert any("MTP" in note for note in notes)
    with pytest.raises(CheckpointError, match="announces 2 MTP layers, but the checkpoint holds 1"):
        read(stored=1, num_nextn_predict_layers=2)


def test_yarn() -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    hparams, _ = read(rope_scaling=yarn, max_position_embeddings=32768)
    assert (hparams.yarn_factor, hparams.yarn_orig_ctx, hparams.n_ctx_train) == (4.0, 32768, 131072)
    hparams, _ = read(rope_scaling={"rope_type": "yarn", "factor": 2}, max_position_embeddings=4096)
    assert (hparams.yarn_factor, hparams.yarn_orig_ctx, hparams.n_ctx_train) == (2.0, 4096, 8192)
    assert read(rope_scaling={"rope_type": "default"})[0].yarn_factor is None
    assert read(rope_parameters=yarn | {"rope_type": "yarn"}, drop=("rope_scaling",))[0].yarn_factor == 4.0
    for scaling in (
        {"type": "linear", "factor": 2},
        yarn | {"attention_factor": 1.0},
        yarn | {"beta_fast": 16},
        "yarn",
    ):
        with pytest.raises(CheckpointError):
            read(rope_scaling=scaling)
    for factor in (65536, 1e30):
        with pytest.raises(CheckpointError, match=r"config\.json cannot be right.* stretches 32768 tokens .* times\."):
            read(rope_scaling=yarn | {"factor": factor})
    assert read(rope_scaling=yarn | {"factor": 65535})[0].n_ctx_train == 65535 * 32768


def test_shared_expert_width_is_that_of_one_expert() -> None:
    two = Shape(num_shared_experts=2)
    assert read(two)[0].n_ff_shexp == two.moe_intermediate_size
    assert read(two, drop=("moe_shared_expert_intermediate_size",))[0].n_ff_shexp == two.moe_intermediate_size


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"score_function": "softmax"},
        {"use_bias": True},
        {"use_qkv_bias": True},
        {"use_qk_norm": False},
        {"hidden_act": "gelu"},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": "3"},
        {"hidden_size": 1.5},
        {"head_dim": 32},
        {"n_group": 3},
        {"topk_group": 4},
        {"num_experts_per_tok": 17},
        {"rope_theta": -1},
        {"rope_theta": float("inf")},
        {"rope_theta": 1e300},
        {"rms_norm_eps": 1e-300},
        {"rope_theta": 2**31},
        {"rope_theta": 2147483647.9},  # rounds to 2147483647.0 in float32
        {"rms_norm_eps": 2.0**31},
        {"routed_scaling_factor": 2**31},
        {"rope_scaling": {"type": "yarn", "factor": 1e300}},
        {"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 2147483647}},
        {"rms_norm_eps": None},
        {"first_k_dense_replace": 9},
        {"num_shared_experts": 0},
        {"tie_word_embeddings": "no"},
    ],
)
def test_unsupported_configs_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, config_changes=changes)
    with pytest.raises(CheckpointError) as caught:
        convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_vocabulary_larger_than_the_embedding_is_refused_before_it_is_built(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, config_changes={"vocab_size": 1_000_000})
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"word_embeddings\.weight has the shape"):
            convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
        with pytest.raises(CheckpointError, match=r"word_embeddings\.weight has the shape"):
            Checkpoint(find_source(str(folder)))
        assert tracemalloc.get_traced_memory()[1] < 50 << 20  # names for the missing rows would take 100 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "key",
    [
        "num_hidden_layers",
        "hidden_size",
        "num_experts",
        "n_group",
        "topk_group",
        "rope_theta",
        "rms_norm_eps",
        "vocab_size",
    ],
)
def test_error_names_the_missing_key(key: str) -> None:
    with pytest.raises(CheckpointError, match=rf"lacks {key},"):
        read(drop=(key,))


def test_tied_head_is_written_from_the_embedding(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, shards=1, config_changes={"tie_word_embeddings": True})
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    del header["lm_head.weight"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    model = open_model(tmp_path / "out.gguf")
    assert model.read(model.tensors["output.weight"]) == model.read(model.tensors["token_embd.weight"])


@pytest.mark.slow
def test_hyperparameters_survive_the_file(tmp_path: Path) -> None:
    """The reader gets back what config.json says, through the key names of stock llama.cpp."""
    shape = replace(TINY, num_shared_experts=2, yarn_factor=4.0, num_nextn_predict_layers=1, rotary_fraction=0.25)
    folder = make_checkpoint(tmp_path / "checkpoint", shape)
    convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    read_back = open_model(tmp_path / "out.gguf").hparams
    wanted, _ = read(shape, stored=1)
    for name in (field.name for field in fields(BailingMoeV2)):
        assert getattr(read_back, name) == pytest.approx(getattr(wanted, name), rel=1e-6), name
    pairs = GGUFReader(tmp_path / "out.gguf").fields
    assert pairs["bailingmoe2.block_count"].contents() == shape.num_hidden_layers + 1
    assert pairs["bailingmoe2.expert_weights_norm"].contents() is True
    assert pairs["bailingmoe2.expert_gating_func"].contents() == 2
