"""Tiny random checkpoints of BailingMoeV2 and SarvamMoE with the published tensor names, without torch or safetensors.

    make_checkpoint(folder, Shape(num_shared_experts=2), dtype="fp8", seed=3)

The weights depend only on the seed and the tensor's name. They come from integers of a bit generator whose stream numpy
promises never to change, so a fixture may store a seed instead of weights.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from testing import tokenizers_json
from testing.number_formats import FP8_BLOCK, encode_bf16, quantise_fp8_blocks

Dtype = Literal["bf16", "f16", "f32", "fp8"]
Tensor = tuple[str, NDArray[Any]]  # safetensors dtype, codes as unsigned integers or floats of that width
ENDS = ("<|endoftext|>", "<|role_end|>")


@dataclass(frozen=True)
class Shape:
    """A checkpoint's config, with config.json's own names, and the distribution of its random weights.

    llama.cpp requires heads * head_dim = hidden_size, and either one group or experts divisible by groups, topk_group <
    n_group < num_experts and at least two experts per group. Every K-quant is possible if all widths are multiples of
    256. SarvamMoE has the same tensors. Its config.json states neither the rotated part of a head (all of it) nor the
    number of groups (one).
    """

    family: Literal["BailingMoeV2", "SarvamMoE"] = "BailingMoeV2"
    num_hidden_layers: int = 3
    first_k_dense_replace: int = 1
    hidden_size: int = 256
    intermediate_size: int = 512
    moe_intermediate_size: int = 256
    num_experts: int = 16
    num_experts_per_tok: int = 4
    num_shared_experts: int = 1
    n_group: int = 4
    topk_group: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    rotary_fraction: float = 0.5
    says_rotary_dim: bool = False  # like Ling-1T: `rotary_dim` instead of `partial_rotary_factor`
    rope_theta: float = 600000
    yarn_factor: float | None = None
    yarn_original_context: int = 128
    max_position_embeddings: int = 512
    routed_scaling_factor: float = 2.5
    rms_norm_eps: float = 1e-6
    num_nextn_predict_layers: int = 0
    router_scale: float = 1.5  # standard deviation of the router's logits
    expert_bias_mean: float = 0.0
    expert_bias_spread: float = 0.1
    attention_scale: float = 1.0  # factor on what attention adds to the residual stream
    # True: random text ends a turn about once in 900 tokens. False: never; the ending tokens' logits are 0.
    ends_turns: bool = True

    def __post_init__(self) -> None:
        assert self.hidden_size % self.num_attention_heads == 0
        assert self.num_attention_heads % self.num_key_value_heads == 0
        assert self.num_experts % self.n_group == 0
        assert self.num_experts // self.n_group >= 2
        assert self.topk_group < self.n_group or self.n_group == self.topk_group == 1
        assert self.num_experts_per_tok <= self.topk_group * (self.num_experts // self.n_group)

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def vocab_size(self) -> int:
        return tokenizers_json.vocab_size()

    def config(self, dtype: Dtype = "bf16") -> dict[str, Any]:
        """The content of config.json."""
        ids = tokenizers_json.special_ids()
        written_as = {"bf16": "bfloat16", "fp8": "bfloat16", "f16": "float16", "f32": "float32"}
        config: dict[str, Any] = {
            "architectures": [f"{self.family}ForCausalLM"],
            "model_type": {"BailingMoeV2": "bailing_moe", "SarvamMoE": "sarvam_moe"}[self.family],
            "num_hidden_layers": self.num_hidden_layers,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "moe_intermediate_size": self.moe_intermediate_size,
            "moe_shared_expert_intermediate_size": self.moe_intermediate_size,
            "num_experts": self.num_experts,
            "num_experts_per_tok": self.num_experts_per_tok,
            "num_shared_experts": self.num_shared_experts,
            "n_group": self.n_group,
            "topk_group": self.topk_group,
            "first_k_dense_replace": self.first_k_dense_replace,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "rope_theta": self.rope_theta,
            "rope_scaling": None,
            "max_position_embeddings": self.max_position_embeddings,
            "routed_scaling_factor": self.routed_scaling_factor,
            "score_function": "sigmoid",
            "moe_router_enable_expert_bias": True,
            "norm_topk_prob": True,
            "use_qk_norm": True,
            "use_bias": False,
            "use_qkv_bias": False,
            "rms_norm_eps": self.rms_norm_eps,
            "hidden_act": "silu",
            "vocab_size": self.vocab_size,
            "tie_word_embeddings": False,
            "router_dtype": "fp32",
            "torch_dtype": written_as[dtype],
            "bos_token_id": ids["<|startoftext|>"],
            "eos_token_id": ids["<|endoftext|>"],
            "pad_token_id": ids["<|endoftext|>"],
        }
        if self.family == "SarvamMoE":
            if self.n_group == 1:
                del config["n_group"], config["topk_group"]
        elif self.says_rotary_dim:
            config["rotary_dim"] = int(self.head_dim * self.rotary_fraction)
        else:
            config["partial_rotary_factor"] = self.rotary_fraction
        if self.yarn_factor is not None:
            config["rope_scaling"] = {
                "type": "yarn",
                "factor": self.yarn_factor,
                "original_max_position_embeddings": self.yarn_original_context,
            }
        if self.num_nextn_predict_layers:
            config["num_nextn_predict_layers"] = self.num_nextn_predict_layers
        if dtype == "fp8":
            config["quantization_config"] = {
                "activation_scheme": "dynamic",
                "fmt": "e4m3",
                "quant_method": "fp8",
                "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
            }
        return config


def make_checkpoint(
    folder: Path,
    shape: Shape | None = None,
    *,
    dtype: Dtype = "bf16",
    seed: int = 0,
    shards: int = 2,
    config_changes: Mapping[str, Any] | None = None,
    config_drop: Iterable[str] = (),
    chat_template: str = tokenizers_json.CHAT_TEMPLATE,
    generation_config: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint into the folder, which is created if needed, and return the folder.

    shards: 1 writes a single model.safetensors without an index. config_changes and config_drop edit config.json after
    the weights are made, which gives a config that contradicts the weights.
    """
    shape = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    ids = tokenizers_json.special_ids()
    config = shape.config(dtype) | dict(config_changes or {})
    for key in config_drop:
        del config[key]
    ends = {"eos_token_id": [ids[token] for token in ENDS], "pad_token_id": ids["<|endoftext|>"]}
    for name, content in (
        ("config.json", config),
        ("generation_config.json", ends if generation_config is None else dict(generation_config)),
        ("tokenizer.json", tokenizers_json.tokenizer_json()),
        ("tokenizer_config.json", tokenizers_json.tokenizer_config(chat_template)),
    ):
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    write_shards(folder, dict(_tensors(shape, dtype, seed)), shards)
    return folder


def write_shards(folder: Path, tensors: Mapping[str, Tensor], shards: int) -> None:
    """Split the tensors, in order, into files of about equal size, with an index if there is more than one file."""
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    total = sum(codes.nbytes for _, codes in tensors.values())
    parts: list[dict[str, Tensor]] = [{} for _ in range(shards)]
    done = 0
    for name, (kind, codes) in tensors.items():
        parts[done * shards // total][name] = (kind, codes)
        done += codes.nbytes
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        write_safetensors(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file: length, JSON header padded with spaces to 8 bytes, the tensors' bytes in order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (kind, codes) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(codes.shape), "data_offsets": [end, end + codes.nbytes]}
        end += codes.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, codes in tensors.values():
            file.write(codes.tobytes())


def weights(shape: Shape, seed: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield (name, float32 values) of every tensor in the checkpoint's order, before rounding to the stored dtype."""
    for name, dimensions in _dimensions(shape):
        yield name, _values(name, dimensions, shape, seed)


def _dimensions(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield every tensor's name and shape in torch's order (out, in)."""
    wide, vocabulary = shape.hidden_size, shape.vocab_size
    yield "model.word_embeddings.weight", (vocabulary, wide)
    for layer in range(shape.num_hidden_layers + shape.num_nextn_predict_layers):
        yield from ((f"model.layers.{layer}.{name}", sides) for name, sides in _layer(shape, layer))
    yield "model.norm.weight", (wide,)
    yield "lm_head.weight", (vocabulary, wide)


def _layer(shape: Shape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, expert = shape.hidden_size, shape.moe_intermediate_size
    fused_heads = (shape.num_attention_heads + 2 * shape.num_key_value_heads) * shape.head_dim
    if layer >= shape.num_hidden_layers:
        yield "enorm.weight", (wide,)
        yield "hnorm.weight", (wide,)
        yield "eh_proj.weight", (wide, 2 * wide)
        yield "final_layernorm.weight", (wide,)
    yield "input_layernorm.weight", (wide,)
    yield "attention.query_key_value.weight", (fused_heads, wide)
    yield "attention.query_layernorm.weight", (shape.head_dim,)
    yield "attention.key_layernorm.weight", (shape.head_dim,)
    yield "attention.dense.weight", (wide, wide)
    yield "post_attention_layernorm.weight", (wide,)
    if layer < shape.first_k_dense_replace:
        yield from _mlp("mlp", wide, shape.intermediate_size)
        return
    yield "mlp.gate.weight", (shape.num_experts, wide)
    yield "mlp.gate.expert_bias", (shape.num_experts,)
    for number in range(shape.num_experts):
        yield from _mlp(f"mlp.experts.{number}", wide, expert)
    yield from _mlp("mlp.shared_experts", wide, expert * shape.num_shared_experts)


def _mlp(prefix: str, wide: int, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.gate_proj.weight", (inner, wide)
    yield f"{prefix}.up_proj.weight", (inner, wide)
    yield f"{prefix}.down_proj.weight", (wide, inner)


def _values(name: str, dimensions: tuple[int, ...], shape: Shape, seed: int) -> NDArray[np.float32]:
    """Return bell-shaped random numbers, scaled so that activations stay near one and logits vary by a few units."""
    noise = _bell(f"{seed}/{name}", int(np.prod(dimensions))).reshape(dimensions)
    if name.endswith("expert_bias"):
        return (shape.expert_bias_mean + shape.expert_bias_spread * noise).astype(np.float32)
    if len(dimensions) == 1:  # a norm's weights
        return (1 + 0.1 * noise).astype(np.float32)
    if name.endswith("word_embeddings.weight"):
        return noise.astype(np.float32)
    gain = shape.router_scale if name.endswith("mlp.gate.weight") else 1.5
    if name.endswith("attention.dense.weight"):
        gain *= shape.attention_scale
    values: NDArray[np.float32] = (gain / np.sqrt(dimensions[1]) * noise).astype(np.float32)
    if name == "lm_head.weight" and not shape.ends_turns:
        values[[tokenizers_json.special_ids()[token] for token in ENDS]] = 0
    return values


def _bell(key: str, count: int) -> NDArray[np.float64]:
    """Return sums of four 16-bit uniforms, shifted and scaled to mean 0 and variance 1; no magnitude exceeds 3.5."""
    raw = np.random.PCG64(np.random.SeedSequence(zlib.crc32(key.encode()))).random_raw(count)
    sums = np.asarray(raw, "<u8").view("<u2").reshape(count, 4).sum(axis=1, dtype=np.int64)
    bell: NDArray[np.float64] = (sums - 2 * 65535) / (65536 * np.sqrt(4 / 12))
    return bell


def _tensors(shape: Shape, dtype: Dtype, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor as stored. The expert bias is always F32, as published; FP8 covers the projections only."""
    for name, values in weights(shape, seed):
        if name.endswith("expert_bias") or dtype == "f32":
            yield name, ("F32", values)
        elif dtype == "f16":
            yield name, ("F16", values.astype(np.float16))
        elif dtype == "fp8" and _is_fp8_projection(name):
            routed_inner = ".experts." in name and not name.endswith("down_proj.weight")
            codes, scale = quantise_fp8_blocks(
                values, power_of_two=routed_inner or name.endswith("attention.dense.weight")
            )
            yield name, ("F8_E4M3", codes)
            yield f"{name}_scale_inv", ("F32", scale)
        else:
            yield name, ("BF16", encode_bf16(values))


def _is_fp8_projection(name: str) -> bool:
    return name.endswith(("_proj.weight", "query_key_value.weight", "dense.weight")) and "eh_proj" not in name
