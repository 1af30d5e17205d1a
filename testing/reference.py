"""BailingMoeV2's forward pass in plain numpy float64: the reference for every number that the engine computes.

It is written from the published maths (block, attention, router, YaRN, MTP) and shares no code with edgemed; it even
reads safetensors itself. SarvamMoE differs only in its expert bias, which is shifted to mean zero, and in having no
groups. It is slow and takes whole sequences. recipes/reference_check compares it with transformers.

    model = load_checkpoint(folder)          or gguf_weights.load_gguf(path, config)
    forward(model, ids).logits               [tokens, vocabulary]

A model loaded from a GGUF also rounds the input of every matmul as ggml does for that weight's type (F16, Q8_0, Q8_K
and so on), so that quantised models can be compared closely; `exact()` switches this off.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testing.activations import round_activations
from testing.number_formats import decode_bf16, decode_fp8, spread_blocks

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """config: config.json. weights: checkpoint name -> values. types: checkpoint name -> ggml type name, if any."""

    config: Mapping[str, Any]
    weights: Mapping[str, Floats]
    types: Mapping[str, str] = field(default_factory=dict)

    def exact(self) -> "Model":
        """The same weights, multiplied with unrounded activations."""
        return replace(self, types={})


@dataclass(frozen=True)
class Routing:
    """One MoE layer's choices [tokens, k], best first, and each token's margins to another choice [tokens]."""

    layer: int
    experts: NDArray[np.int64]
    expert_margin: Floats  # lowest biased score of the chosen minus highest of the rejected, within the kept groups
    group_margin: Floats  # lowest score of the kept groups minus highest of the dropped


@dataclass(frozen=True)
class Result:
    logits: Floats  # [tokens, vocabulary]
    hidden: Floats  # [tokens, hidden], after the final norm
    routing: list[Routing]
    rounding_margin: Floats  # [tokens]: of the most doubtful 8-bit activation code (activations.py); 0.5 if none

    @property
    def margin(self) -> float:
        """The smallest margin anywhere. Errors in the scores below half of it cannot change a choice."""
        return float(min(min(r.expert_margin.min(), r.group_margin.min()) for r in self.routing))


@dataclass(frozen=True)
class _Pass:
    """One forward pass in progress: the model and the results so far (as in Result)."""

    model: Model
    rounding_margin: Floats
    routing: list[Routing] = field(default_factory=list)

    @classmethod
    def begin(cls, model: Model, tokens: int) -> "_Pass":
        return cls(model, np.full(tokens, 0.5))

    @property
    def config(self) -> Mapping[str, Any]:
        return self.model.config

    def linear(self, name: str, x: Floats, tokens: Any = slice(None)) -> Floats:
        """Multiply x [tokens, in] by the transposed weight [out, in]. tokens: which tokens of the sequence x holds."""
        rounded, margin = round_activations(x, self.model.types.get(name, "F32"))
        self.rounding_margin[tokens] = np.minimum(self.rounding_margin[tokens], margin)
        return rounded @ self.model.weights[name].T

    def norm(self, name: str, x: Floats) -> Floats:
        """RMSNorm over the last axis."""
        scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.config["rms_norm_eps"])
        normed: Floats = x / scale * self.model.weights[name]
        return normed


def load_checkpoint(folder: Path) -> Model:
    """Read a whole safetensors folder; FP8 weights are returned multiplied by their block scales."""
    stored: dict[str, Floats] = {}
    for path in sorted(folder.glob("*.safetensors")):
        stored |= _read_safetensors(path)
    suffix = "_scale_inv"
    for name in [name for name in stored if name.endswith(suffix)]:
        weight = name.removesuffix(suffix)
        stored[weight] = stored[weight] * spread_blocks(stored.pop(name), stored[weight].shape)
    return Model(json.loads((folder / "config.json").read_text(encoding="utf-8")), stored)


def _read_safetensors(path: Path) -> dict[str, Floats]:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    tensors: dict[str, Floats] = {}
    for name, entry in header.items():
        first, end = entry["data_offsets"]
        raw = np.frombuffer(content[start + first : start + end], np.uint8)
        match entry["dtype"]:
            case "F32":
                values: NDArray[Any] = raw.view("<f4")
            case "F16":
                values = raw.view("<f2")
            case "BF16":
                values = decode_bf16(raw.view("<u2"))
            case "F8_E4M3":
                values = decode_fp8(raw)
            case other:
                raise ValueError(f"{name} has dtype {other}")
        tensors[name] = values.astype(np.float64).reshape(entry["shape"])
    return tensors


def forward(model: Model, ids: Sequence[int]) -> Result:
    """Compute logits, final hidden states and routing of every position of one sequence that starts at position 0."""
    run = _Pass.begin(model, len(ids))
    x = model.weights["model.word_embeddings.weight"][list(ids)]
    for layer in range(model.config["num_hidden_layers"]):
        x = _block(run, layer, x)
    hidden = run.norm("model.norm.weight", x)
    return Result(run.linear("lm_head.weight", hidden), hidden, run.routing, run.rounding_margin)


def forward_mtp(model: Model, ids: Sequence[int], hidden: Floats) -> Floats:
    """Logits [tokens, vocabulary] of the MTP layer: at position t, for token t + 2.

    hidden: the main model's output after its final norm, as Result.hidden.
    """
    run = _Pass.begin(model, len(ids))
    layer = model.config["num_hidden_layers"]
    prefix = f"model.layers.{layer}"
    next_token = model.weights["model.word_embeddings.weight"][[*ids[1:], 0]]
    joined = [run.norm(f"{prefix}.enorm.weight", next_token), run.norm(f"{prefix}.hnorm.weight", hidden)]
    x = _block(run, layer, run.linear(f"{prefix}.eh_proj.weight", np.concatenate(joined, axis=-1)))
    return run.linear("lm_head.weight", run.norm(f"{prefix}.final_layernorm.weight", x))


def _block(run: _Pass, layer: int, x: Floats) -> Floats:
    """One transformer block, x [tokens, hidden] -> [tokens, hidden]."""
    prefix = f"model.layers.{layer}"
    x = x + _attention(run, prefix, run.norm(f"{prefix}.input_layernorm.weight", x))
    inner = run.norm(f"{prefix}.post_attention_layernorm.weight", x)
    if layer < run.config["first_k_dense_replace"]:
        return x + _mlp(run, f"{prefix}.mlp", inner)
    return x + _experts(run, layer, inner) + _mlp(run, f"{prefix}.mlp.shared_experts", inner)


def _mlp(run: _Pass, prefix: str, x: Floats, tokens: Any = slice(None)) -> Floats:
    """SwiGLU: down(silu(gate x) * up x)."""
    gate = run.linear(f"{prefix}.gate_proj.weight", x, tokens)
    up = run.linear(f"{prefix}.up_proj.weight", x, tokens)
    return run.linear(f"{prefix}.down_proj.weight", gate * _sigmoid(gate) * up, tokens)


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _attention(run: _Pass, prefix: str, x: Floats) -> Floats:
    """Causal grouped-query attention; queries and keys are normed per head, then partly rotated."""
    heads, kv_heads = run.config["num_attention_heads"], run.config["num_key_value_heads"]
    tokens = len(x)
    fused = run.linear(f"{prefix}.attention.query_key_value.weight", x).reshape(tokens, heads + 2 * kv_heads, -1)
    q, k, v = np.split(fused, [heads, heads + kv_heads], axis=1)  # [tokens, heads, head_dim]
    q = _rotate(run.config, run.norm(f"{prefix}.attention.query_layernorm.weight", q))
    k = _rotate(run.config, run.norm(f"{prefix}.attention.key_layernorm.weight", k))
    k, v = (part.repeat(heads // kv_heads, axis=1) for part in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(tokens, dtype=bool), scores, -np.inf)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(axis=-1, keepdims=True), v)
    return run.linear(f"{prefix}.attention.dense.weight", mixed.reshape(tokens, -1))


def rotary_frequencies(config: Mapping[str, Any]) -> tuple[Floats, float]:
    """Return (angle per position of each rotated pair, factor on cosine and sine), YaRN included."""
    head_dim = config["head_dim"]
    rotated = int(config.get("rotary_dim") or head_dim * config.get("partial_rotary_factor", 1.0))
    base, pairs = config["rope_theta"], rotated // 2
    plain = base ** (-np.arange(pairs) / pairs)
    scaling = config.get("rope_scaling")
    if not scaling:
        return plain, 1.0

    def pair_turning(times: float) -> float:
        """The fractional index of the pair that turns this many times within the original context."""
        return float(pairs * np.log(scaling["original_max_position_embeddings"] / (2 * np.pi * times)) / np.log(base))

    # Pairs that turn often keep their frequency, pairs that turn less than once are stretched, and a ramp lies between.
    low = max(np.floor(pair_turning(scaling.get("beta_fast", 32))), 0)
    high = min(np.ceil(pair_turning(scaling.get("beta_slow", 1))), rotated - 1)
    stretched = np.clip((np.arange(pairs) - low) / max(high - low, 0.001), 0, 1)
    factor = scaling["factor"]
    return plain * (1 - stretched) + plain / factor * stretched, 0.1 * np.log(factor) + 1


def _rotate(config: Mapping[str, Any], x: Floats) -> Floats:
    """NeoX rotation of the first dimensions of every head, x [tokens, heads, head_dim]."""
    frequencies, factor = rotary_frequencies(config)
    pairs = len(frequencies)
    angles = np.arange(len(x))[:, None, None] * frequencies
    cosine, sine = factor * np.cos(angles), factor * np.sin(angles)
    first, second, rest = np.split(x, [pairs, 2 * pairs], axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine, rest], axis=-1)


def _experts(run: _Pass, layer: int, x: Floats) -> Floats:
    """Return the weighted sum of the routed experts, x [tokens, hidden]."""
    prefix = f"model.layers.{layer}.mlp"
    scores = _sigmoid(run.linear(f"{prefix}.gate.weight", x))
    bias = run.model.weights[f"{prefix}.gate.expert_bias"]
    if "SarvamMoEForCausalLM" in run.config["architectures"]:
        bias = bias - bias.mean()
    choice = _route(run.config, layer, scores + bias)
    run.routing.append(choice)
    chosen = np.take_along_axis(scores, choice.experts, axis=-1)  # routing weights use the unbiased scores
    share = chosen / (chosen.sum(axis=-1, keepdims=True) + 1e-20) * run.config["routed_scaling_factor"]
    out = np.zeros_like(x)
    for expert in np.unique(choice.experts):
        token, rank = np.nonzero(choice.experts == expert)
        out[token] += share[token, rank, None] * _mlp(run, f"{prefix}.experts.{expert}", x[token], token)
    return out


def _route(config: Mapping[str, Any], layer: int, biased: Floats) -> Routing:
    """Keep the groups with the largest sums of their two best biased scores, then choose the best experts in them."""
    groups, kept, k = config.get("n_group", 1), config.get("topk_group", 1), config["num_experts_per_tok"]
    grouped = biased.reshape(len(biased), groups, -1)
    group_scores = np.sort(grouped, axis=-1)[..., -2:].sum(axis=-1)
    ranked_groups = -np.sort(-group_scores, axis=-1)
    no_other = np.full((len(biased), 1), -np.inf)  # where all groups are kept
    group_margin = ranked_groups[:, kept - 1] - np.concatenate([ranked_groups, no_other], axis=1)[:, kept]
    keep = group_scores >= ranked_groups[:, kept - 1 : kept]
    masked = np.where(keep[..., None], grouped, -np.inf).reshape(biased.shape)
    order = np.argsort(-masked, axis=-1, kind="stable")
    ranked = np.take_along_axis(masked, order, axis=-1)
    return Routing(layer, order[:, :k], ranked[:, k - 1] - ranked[:, k], group_margin)
