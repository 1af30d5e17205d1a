"""BailingMoeV2's forward pass in float32 numpy, batched and fast enough to compare quantisations of a small model.

It does what the engine cannot: replace any expert's weights in memory, and show every expert's inputs. Activations are
not rounded to Q8_K here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.quant.quantize import dequantize, quantize

SEQUENCES_AT_ONCE = 8


@dataclass(frozen=True)
class Watch:
    """Callbacks of the forward pass.

    layer(moe_layer, x [tokens, hidden], experts and weights [tokens, used], margins [tokens]): each MoE layer;
    expert(moe_layer, expert, x [its tokens, hidden], weights, inner [its tokens, width], output): each expert,
    the output before it is multiplied by the routing weights; last(x [sequences, length, hidden]): the residual stream
    after the last layer.
    """

    layer: Callable[[int, Floats, NDArray[np.int64], Floats, Floats], None]
    expert: Callable[[int, int, Floats, Floats, Floats, Floats], None] = lambda *_: None
    last: Callable[[Floats], None] = lambda _: None


@dataclass
class Model:
    """config.json, dense weights by checkpoint name, and (gate, up, down), each [MoE layer, expert, rows, columns]."""

    config: Mapping[str, Any]
    dense: dict[str, Floats]
    experts: tuple[Floats, Floats, Floats]

    @property
    def lead(self) -> int:
        """The number of dense layers before the first MoE layer."""
        return int(self.config["first_k_dense_replace"])

    def with_experts(self, experts: tuple[Floats, Floats, Floats]) -> Model:
        """The same model with other experts."""
        return Model(self.config, self.dense, experts)

    def with_dense(self, type_: Type) -> Model:
        """The model with its dense matrices rounded to this type, as the engine uses them. Routers and vectors stay
        F32."""
        dense = {
            name: dequantize(quantize(w, type_), type_, w.shape[1]) if w.ndim == 2 and ".mlp.gate." not in name else w
            for name, w in self.dense.items()
        }
        return Model(self.config, dense, self.experts)


def load(folder: Path) -> Model:
    """Load a BF16 or F32 safetensors checkpoint with the published tensor names."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    weights: dict[str, Floats] = {}
    for path in sorted(folder.glob("*.safetensors")):
        content = path.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        for name, entry in json.loads(content[8:start]).items():
            if name != "__metadata__":
                first, end = entry["data_offsets"]
                raw = np.frombuffer(content[start + first : start + end], np.uint8)
                wide = raw.view("<u2").astype("<u4") << 16 if entry["dtype"] == "BF16" else raw
                weights[name] = wide.view("<f4").astype(np.float32).reshape(entry["shape"])
    layers = range(config["first_k_dense_replace"], config["num_hidden_layers"])
    gate, up, down = (
        np.stack(
            [
                [
                    weights.pop(f"model.layers.{layer}.mlp.experts.{e}.{p}_proj.weight")
                    for e in range(config["num_experts"])
                ]
                for layer in layers
            ]
        )
        for p in ("gate", "up", "down")
    )
    return Model(config, weights, (gate, up, down))


def logits(model: Model, tokens: NDArray[np.int64], watch: Watch | None = None) -> Floats:
    """Return logits [sequences, length, vocabulary] of tokens [sequences, length], each sequence from position 0."""
    parts = range(0, len(tokens), SEQUENCES_AT_ONCE)
    return np.concatenate([_forward(model, tokens[first : first + SEQUENCES_AT_ONCE], watch) for first in parts])


def _forward(model: Model, tokens: NDArray[np.int64], watch: Watch | None) -> Floats:
    dense, eps = model.dense, model.config["rms_norm_eps"]
    x = dense["model.word_embeddings.weight"][tokens]
    for layer in range(model.config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        x = x + _attention(model, prefix, _norm(x, dense[f"{prefix}.input_layernorm.weight"], eps))
        inner = _norm(x, dense[f"{prefix}.post_attention_layernorm.weight"], eps)
        if layer < model.lead:
            x = x + _mlp(inner, *(dense[f"{prefix}.mlp.{p}_proj.weight"] for p in ("gate", "up", "down")))[1]
        else:
            shared = _mlp(
                inner, *(dense[f"{prefix}.mlp.shared_experts.{p}_proj.weight"] for p in ("gate", "up", "down"))
            )
            flat = inner.reshape(-1, inner.shape[-1])
            x = x + shared[1] + _experts(model, layer, flat, watch).reshape(x.shape)
    if watch is not None:
        watch.last(x)
    out: Floats = _norm(x, dense["model.norm.weight"], eps) @ dense["lm_head.weight"].T
    return out


def _norm(x: Floats, weight: Floats, eps: float) -> Floats:
    normed: Floats = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * weight
    return normed


def _mlp(x: Floats, gate: Floats, up: Floats, down: Floats) -> tuple[Floats, Floats]:
    """Return (inner activations, output) of SwiGLU."""
    g = x @ gate.T
    inner = g / (1 + np.exp(-g)) * (x @ up.T)
    return inner, inner @ down.T


def _attention(model: Model, prefix: str, x: Floats) -> Floats:
    config, dense = model.config, model.dense
    heads, kv, eps = config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
    batch, length, _ = x.shape
    fused = (x @ dense[f"{prefix}.attention.query_key_value.weight"].T).reshape(batch, length, heads + 2 * kv, -1)
    q, k, v = np.split(fused, [heads, heads + kv], axis=2)
    q = _rotate(config, _norm(q, dense[f"{prefix}.attention.query_layernorm.weight"], eps)).transpose(0, 2, 1, 3)
    k = _rotate(config, _norm(k, dense[f"{prefix}.attention.key_layernorm.weight"], eps)).transpose(0, 2, 3, 1)
    k, v = k.repeat(heads // kv, axis=1), v.transpose(0, 2, 1, 3).repeat(heads // kv, axis=1)
    scores = q @ k / np.float32(np.sqrt(q.shape[-1]))
    scores = np.where(np.tri(length, dtype=bool), scores, np.float32(-np.inf))
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
    return mixed.transpose(0, 2, 1, 3).reshape(batch, length, -1) @ dense[f"{prefix}.attention.dense.weight"].T


def _rotate(config: Mapping[str, Any], x: Floats) -> Floats:
    """Rotate the first dimensions of each head as NeoX does; x is [batch, length, heads, head size]."""
    pairs = int(x.shape[-1] * config["partial_rotary_factor"]) // 2
    angles = np.arange(x.shape[1])[:, None, None] * config["rope_theta"] ** (-np.arange(pairs) / pairs)
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    first, second, rest = np.split(x, [pairs, 2 * pairs], axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine, rest], axis=-1)


def route(model: Model, layer: int, x: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return experts and routing weights [tokens, used] and margins [tokens]. Scores are sigmoids; the choice adds a
    bias and is limited to the best groups."""
    config, prefix = model.config, f"model.layers.{layer}.mlp.gate"
    scores = 1 / (1 + np.exp(-(x @ model.dense[f"{prefix}.weight"].T)))
    biased = scores + model.dense[f"{prefix}.expert_bias"]
    grouped = biased.reshape(len(x), config["n_group"], -1)
    best = np.sort(grouped, axis=-1)[..., -2:].sum(axis=-1)
    kept = best >= -np.sort(-best, axis=-1)[:, config["topk_group"] - 1, None]
    masked = np.where(kept[..., None], grouped, -np.inf).reshape(biased.shape)
    used = config["num_experts_per_tok"]
    order = np.argsort(-masked, axis=-1, kind="stable")
    ranked, chosen = np.take_along_axis(masked, order, axis=-1), order[:, :used]
    share = np.take_along_axis(scores, chosen, axis=-1)
    share = share / share.sum(axis=-1, keepdims=True) * np.float32(config["routed_scaling_factor"])
    return chosen, share, ranked[:, used - 1] - ranked[:, used]


def _experts(model: Model, layer: int, x: Floats, watch: Watch | None) -> Floats:
    moe_layer = layer - model.lead
    chosen, shares, margins = route(model, layer, x)
    if watch is not None:
        watch.layer(moe_layer, x, chosen, shares, margins)
    out = np.zeros_like(x)
    for expert in np.unique(chosen):
        token, rank = np.nonzero(chosen == expert)
        share = shares[token, rank]
        inner, output = _mlp(x[token], *(weights[moe_layer, expert] for weights in model.experts))
        if watch is not None:
            watch.expert(moe_layer, int(expert), x[token], share, inner, output)
        out[token] += share[:, None] * output
    return out
