"""Read a GGUF's weights for the reference with gguf-py, whose numpy dequantisers share no code with either engine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from testing.reference import Floats, Model

_NAMES = {
    "token_embd.weight": "model.word_embeddings.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm.weight",
    "attn_qkv": "attention.query_key_value.weight",
    "attn_q_norm": "attention.query_layernorm.weight",
    "attn_k_norm": "attention.key_layernorm.weight",
    "attn_output": "attention.dense.weight",
    "ffn_norm": "post_attention_layernorm.weight",
    "ffn_gate_inp": "mlp.gate.weight",
    "exp_probs_b": "mlp.gate.expert_bias",
    "nextn.eh_proj": "eh_proj.weight",
    "nextn.enorm": "enorm.weight",
    "nextn.hnorm": "hnorm.weight",
    "layer_output_norm": "final_layernorm.weight",
}


def load_gguf(path: Path, config: Mapping[str, Any]) -> Model:
    """Return the dequantised weights of a GGUF in either layout, by checkpoint name."""
    weights: dict[str, Floats] = {}
    types: dict[str, str] = {}
    for tensor in GGUFReader(path).tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        values = values.reshape([int(side) for side in reversed(tensor.shape)])
        pieces: Sequence[tuple[str, Floats]]
        if "_exps." in tensor.name:  # [experts, out, in]
            stem = tensor.name.replace("_exps.weight", "")
            pieces = [(f"{stem}.{expert}.weight", values[expert]) for expert in range(len(values))]
        else:
            pieces = [(tensor.name, values)]
        for name, piece in pieces:
            weights[_checkpoint_name(name)] = piece
            types[_checkpoint_name(name)] = tensor.tensor_type.name
    return Model(config, weights, types)


def _checkpoint_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    _, layer, rest = name.split(".", 2)
    stem = rest.removesuffix(".weight").removesuffix(".bias")
    if stem in _LAYER_NAMES:
        return f"model.layers.{layer}.{_LAYER_NAMES[stem]}"
    projection, _, expert = stem.removeprefix("ffn_").partition(".")
    middle = f"experts.{expert}." if expert else "shared_experts." if projection.endswith("_shexp") else ""
    return f"model.layers.{layer}.mlp.{middle}{projection.removesuffix('_shexp')}_proj.weight"
