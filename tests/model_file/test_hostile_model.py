"""Well-formed files of impossible models: each raises a ModelFileError with a sentence."""

from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.model_file import ModelFile, open_model
from edgemed.model_file.keys import TEXTS
from testing.gguf_bytes import EXPERTS, Kind, Tensor, small_model
from testing.hostile import refused, try_to_open


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("edgemed.expert_tokens", (Kind.U32, [1] * (EXPERTS + 1)), "5 counts for 1 x 4 experts"),
        (
            "edgemed.expert_tokens",
            (Kind.F32, [1.5] * EXPERTS),
            ("edgemed.expert_tokens is not a list of unsigned integers"),
        ),
        ("edgemed.eog_token_ids", (Kind.STRING, ["</s>"]), "edgemed.eog_token_ids is not a list of unsigned integers"),
        ("edgemed.eog_token_ids", (Kind.I32, [-1]), "edgemed.eog_token_ids is not a list of unsigned integers"),
    ],
)
def test_lists_of_the_wrong_type(path: Path, key: str, value: Any, words: str) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(key, Kind.ARRAY, value)
    assert words in refused(path, gguf.encode())


def test_valid_lists_are_read(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key("edgemed.expert_tokens", Kind.ARRAY, (Kind.U32, [7, 0, 3, 1]))
    gguf.set_key("edgemed.eog_token_ids", Kind.ARRAY, (Kind.U32, [3, 47]))
    path.write_bytes(gguf.encode())
    file = open_model(path)
    assert file.end_ids == (3, 47)
    assert file.expert_tokens is not None
    assert file.expert_tokens.tolist() == [[7, 0, 3, 1]]


@pytest.mark.parametrize("name", ["blk.1.ffn_norm.weight", "blk.1.exp_probs_b.bias"])
def test_vectors_with_a_matrix_type(path: Path, name: str) -> None:
    gguf = small_model("edgemed")
    tensor = gguf.tensor(name)
    tensor.shape, tensor.type, tensor.data = (*tensor.shape, 1), Type.F16, tensor.data[: len(tensor.data) // 2]
    assert f"stores {name} as F16" in refused(path, gguf.encode())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("output.weight", Type.F64),
        ("blk.0.attn_qkv.weight", Type.I32),
        ("blk.0.ffn_up.weight", Type.I8),
        ("blk.1.ffn_down.3.weight", Type.I16),
        ("blk.0.attn_norm.weight", Type.F16),
        ("blk.1.exp_probs_b.bias", Type.I32),
    ],
)
def test_types_without_a_matmul(name: str, kind: Type, path: Path) -> None:
    """With these, llama.cpp aborts or calls a null pointer."""
    gguf = small_model("edgemed")
    tensor = gguf.tensor(name)
    tensor.type = kind
    tensor.data = bytes(2 * len(tensor.data))
    message = refused(path, gguf.encode())
    assert name in message
    assert kind.name in message


NUMBERS = [
    key
    for key, (kind, _) in small_model("edgemed").keys.items()
    if key.startswith("bailingmoe2.") and kind != Kind.BOOL
]


@pytest.mark.slow
@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.U32, (1 << 31) - 1),
        (Kind.U64, 1 << 60),
        (Kind.I32, -1),
        (Kind.F32, float("nan")),
        (Kind.F32, 1.5),
        (Kind.STRING, "three"),
        (Kind.BOOL, True),
        (Kind.ARRAY, (Kind.U32, [1, 2])),
    ],
)
def test_absurd_hyperparameters(key: str, kind: Kind, value: Any, path: Path) -> None:
    """Some of these are merely odd (a huge context) and may open; none may crash or exhaust memory."""
    gguf = small_model("edgemed")
    gguf.set_key(key, kind, value)
    path.write_bytes(gguf.encode())
    model = try_to_open(path)
    assert isinstance(model, str) or kind in (Kind.U32, Kind.F32)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_gating_func", 0),
        ("expert_gating_func", 1),
        ("rope.dimension_count", 0),
        ("rope.dimension_count", 7),
        ("rope.dimension_count", 18),
    ],
)
def test_values_on_which_llama_cpp_aborts_or_hangs(key: str, value: int, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(f"bailingmoe2.{key}", Kind.U32, value)
    refused(path, gguf.encode())


@pytest.mark.parametrize(
    ("factor", "original", "words"),
    [
        (65535.0, 32768, None),
        (65536.0, 32768, "its YaRN stretches 32768 tokens 65536 times."),
        (float("inf"), 32768, "its YaRN stretches 32768 tokens inf times."),
        (float("nan"), 32768, "its yarn_factor is nan."),
        (-4.0, 32768, "its yarn_factor is -4.0."),
    ],
)
def test_impossible_yarn_factors(path: Path, factor: float, original: int, words: str | None) -> None:
    gguf = small_model("edgemed")
    gguf.set_key("bailingmoe2.rope.scaling.type", Kind.STRING, "yarn")
    gguf.set_key("bailingmoe2.rope.scaling.factor", Kind.F32, factor)
    gguf.set_key("bailingmoe2.rope.scaling.original_context_length", Kind.U32, original)
    path.write_bytes(gguf.encode())
    opened = try_to_open(path)
    if words is None:
        assert isinstance(opened, ModelFile)
    else:
        assert words in str(opened)


@pytest.mark.parametrize("scaling", ["", "dynamic", "Yarn"])
def test_an_unknown_rope_scaling(path: Path, scaling: str) -> None:
    """On these values llama.cpp aborts."""
    gguf = small_model("edgemed")
    gguf.set_key("bailingmoe2.rope.scaling.type", Kind.STRING, scaling)
    assert f"RoPE scaling is of the unknown type {scaling!r}" in refused(path, gguf.encode())


def test_router_without_weight_normalisation(path: Path) -> None:
    """llama.cpp would open it, but compute a different model from BailingMoeV2."""
    gguf = small_model("edgemed")
    gguf.set_key("bailingmoe2.expert_weights_norm", Kind.BOOL, False)
    refused(path, gguf.encode())
    del gguf.keys["bailingmoe2.expert_weights_norm"]
    refused(path, gguf.encode())


@pytest.mark.parametrize("key", NUMBERS)
def test_missing_hyperparameters(key: str, path: Path) -> None:
    """Without the key the file is refused, or the default is llama.cpp's."""
    gguf = small_model("edgemed")
    del gguf.keys[key]
    path.write_bytes(gguf.encode())
    model = try_to_open(path)
    if isinstance(model, ModelFile):
        assert key.removeprefix("bailingmoe2.") in {
            "attention.head_count_kv",
            "attention.key_length",
            "rope.freq_base",
            "expert_weights_scale",
            "expert_group_count",
            "feed_forward_length",
            "rope.dimension_count",
        }
        assert model.hparams.head_dim == 16


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.U32, 7),
        (Kind.STRING, "not a list"),
        (Kind.ARRAY, (Kind.U64, [])),
        (Kind.ARRAY, (Kind.U64, [1] * (EXPERTS - 1))),
        (Kind.ARRAY, (Kind.STRING, ["x"] * EXPERTS)),
        (Kind.ARRAY, (Kind.F64, [float("nan")] * EXPERTS)),
        (Kind.ARRAY, (Kind.I64, [-1] * EXPERTS)),
    ],
)
@pytest.mark.parametrize("key", ["edgemed.expert_checksums", "edgemed.dense_checksums"])
def test_checksums_of_the_wrong_count_or_type(key: str, kind: Kind, value: Any, path: Path) -> None:
    gguf = small_model("edgemed")
    dense = sum(1 for tensor in gguf.tensors if not tensor.name.split(".")[-2].isdigit())
    if kind == Kind.ARRAY and key == "edgemed.dense_checksums" and len(value[1]) == EXPERTS:
        value = (value[0], [value[1][0]] * dense)  # the right number of values of the wrong type
    gguf.set_key(key, kind, value)
    assert "checksum" in refused(path, gguf.encode())


@pytest.mark.parametrize("key", ["edgemed.intended_use", "edgemed.format_version", *TEXTS])
@pytest.mark.parametrize(("kind", "value"), [(Kind.U32, 7), (Kind.ARRAY, (Kind.STRING, ["a"])), (Kind.F32, 0.5)])
def test_edgemed_keys_of_the_wrong_type(key: str, kind: Kind, value: Any, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(key, kind, value)
    refused(path, gguf.encode())


def test_other_architecture_and_newer_format(path: Path) -> None:
    gguf = small_model("llama.cpp")
    gguf.set_key("general.architecture", Kind.STRING, "llama")
    assert "llama" in refused(path, gguf.encode())
    gguf.set_key("general.architecture", Kind.U32, 3)
    refused(path, gguf.encode())
    gguf = small_model("edgemed")
    gguf.set_key("edgemed.format_version", Kind.U32, 3)
    assert "format 3" in refused(path, gguf.encode())
    gguf.set_key("edgemed.format_version", Kind.U32, 2)  # this version has a header checksum
    assert "damaged: its header" in refused(path, gguf.encode())


def test_missing_and_misshapen_experts(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.tensors = [tensor for tensor in gguf.tensors if tensor.name != "blk.1.ffn_down.3.weight"]
    assert "blk.1.ffn_down.3.weight" in refused(path, gguf.encode())
    gguf.tensors.append(Tensor("blk.1.ffn_down.3.weight", (32, 16), bytes(4 * 32 * 16)))
    assert "blk.1.ffn_down.3.weight" in refused(path, gguf.encode())


def test_checksummed_experts_must_be_adjacent_and_in_order(path: Path) -> None:
    gguf = small_model("edgemed", checksums=[0] * EXPERTS)
    gate, up = gguf.tensor("blk.1.ffn_gate.0.weight"), gguf.tensor("blk.1.ffn_up.0.weight")
    gate.name, up.name = up.name, gate.name
    assert "order" in refused(path, gguf.encode()) or "gate, up, down" in refused(path, gguf.encode())


def test_checksummed_expert_must_be_contiguous(path: Path) -> None:
    """An expert in two runs of pages would take two reads, but its checksum covers one."""
    gguf = small_model("edgemed", checksums=[0] * EXPERTS)
    gguf.set_key("general.alignment", Kind.U32, 1 << 14)
    gguf.alignment = 1 << 14
    assert "scatters" in refused(path, gguf.encode())
