"""How fast a model will run on a machine, by arithmetic alone: nothing is loaded, nothing needs to be downloaded.

    token time = dense weights + the larger of (missed experts' reading, expert products) + the last expert that came
                 + small change between the products + drawing a token and telling it

Each part is bytes over a rate that was measured here: products by type of weights, with all cores, out of memory; the
disk by reads of an expert's size (`edgemed.engine.survey`). A token reads every dense weight and `used` experts of each
MoE layer once. How many of them are hits depends on how unequally a model uses its experts, which nobody knows before
it has run: the worst case (every expert alike) and a guess (drifting topics, benchmarks/traces.py) are the ends of a
range. Where the model has run, its hot profile says more (`edgemed.engine.hit_rates`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Type

from edgemed.engine.compute_rates import ComputeRates
from edgemed.engine.hit_rates import HitRate
from edgemed.engine.machine import Machine
from edgemed.model_file import HParams, ModelFile

PROCESS_BYTES = 225 << 20
"""Parent, interpreter, libraries and headroom beside weights, KV cache, experts and scratch."""
BATCH = 2048
SCRATCH = 82
"""Tokens of a prompt computed at once, and bytes of scratch for each value (tokens x width) of them: what the engine
says it needs for the models of docs/performance.md, less everything else."""
NODES_PER_LAYER = 40
"""llama.cpp's graph of a bailingmoe2 layer computes 35 nodes beside the experts; the expert pass and the change between
the two devices cost about five more."""
STARTS_PER_LAYER = 2
"""Graphs of a layer with experts: what is dense, and the experts."""
PROMPT_TOKENS = 300
"""The length of prompt whose first word is predicted."""

# Types by which experts of any precision are made up, with their bits a weight.
PALETTE = (("Q2_K", 2.625), ("Q3_K", 3.4375), ("Q4_K", 4.5), ("Q5_K", 5.5), ("Q6_K", 6.5625), ("Q8_0", 8.5))
TYPES = frozenset({name for name, _ in PALETTE} | {"F32"})
"""All that a model is taken to consist of before it exists."""
DENSE_BITS = 8.5  # Q8_0
ROUTER_BITS = 32.0  # F32

# Hit rate of decayed counts (half-life 64 tokens) by the cached part of all experts; `python -m benchmarks.replay`.
CACHED_PART = (0.0, 0.05, 0.10, 0.25, 0.45, 0.70, 1.0)
TOPICS_HITS = (0.0, 0.42, 0.57, 0.76, 0.865, 0.94, 1.0)

Bytes = Mapping[str, float]
"""Bytes by the name of the type they are stored as."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Bytes of a model. `dense`: what every token reads; `other_bytes`: resident but read by row (embedding); `expert`:
    the mean expert."""

    dense: Bytes
    other_bytes: int
    expert: Bytes
    dense_layers: int
    layers: int
    experts: int
    used: int
    width: int
    vocabulary: int
    kv_bytes_per_token: int

    @property
    def dense_bytes(self) -> int:
        return int(sum(self.dense.values()))

    @property
    def expert_bytes(self) -> float:
        return sum(self.expert.values())

    @property
    def all_experts_bytes(self) -> int:
        return int(self.expert_bytes * self.layers * self.experts)

    @property
    def token_expert_bytes(self) -> int:
        return int(self.expert_bytes * self.layers * self.used)

    @property
    def types(self) -> set[str]:
        """The names of all types that are multiplied."""
        return {*self.dense, *self.expert}


@dataclass(frozen=True, slots=True)
class Prediction:
    """One budget's outcome. `hit_rate`, `read_bytes` and `token_s` belong to one way of routing.

    `first_token_s`: after a new prompt of PROMPT_TOKENS, which wants nearly every expert once.
    """

    routing: str
    cached_part: float
    hit_rate: float
    read_bytes: float
    token_s: float
    first_token_s: float

    @property
    def tokens_per_s(self) -> float:
        return 1 / self.token_s


def size_of(hparams: HParams, bits: float) -> ModelSize:
    """The size of a model of this shape whose experts take `bits` a weight and whose dense part is Q8_0."""
    h = hparams
    attention = (h.n_head + 2 * h.n_head_kv) * h.head_dim * h.n_embd + h.n_head * h.head_dim * h.n_embd
    moe_layers = h.n_layer - h.n_dense_lead
    shared = 3 * h.n_embd * h.n_ff_shexp * h.n_expert_shared
    weights = h.n_layer * attention + h.n_dense_lead * 3 * h.n_embd * h.n_ff + moe_layers * shared
    head = h.n_vocab * h.n_embd
    return ModelSize(
        dense={
            "Q8_0": (weights + head) * DENSE_BITS / 8,
            "F32": moe_layers * h.n_expert * h.n_embd * ROUTER_BITS / 8,  # the routers
        },
        other_bytes=int(head * DENSE_BITS / 8),
        expert=_mixture(3 * h.n_embd * h.n_ff_exp, bits),
        dense_layers=h.n_dense_lead,
        layers=moe_layers,
        experts=h.n_expert,
        used=h.n_expert_used,
        width=h.n_embd,
        vocabulary=h.n_vocab,
        kv_bytes_per_token=_kv_bytes(h),
    )


def _mixture(weights: int, bits: float) -> dict[str, float]:
    """Bytes by type of `weights` weights that take `bits` each: of the two types around it, what makes that mean."""
    for (name, low), (other, high) in pairwise(PALETTE):
        if bits <= high:
            share = min(1.0, max(0.0, (high - bits) / (high - low)))
            parts = {name: share * weights * min(bits, low) / 8, other: (1 - share) * weights * high / 8}
            return {each: nbytes for each, nbytes in parts.items() if nbytes}
    return {PALETTE[-1][0]: weights * bits / 8}


def size_of_file(file: ModelFile) -> ModelSize:
    """The size of an existing model."""
    h = file.hparams
    untied = "output.weight" in file.tensors
    dense: dict[str, float] = {}
    for tensor in file.dense:
        if not (untied and tensor.name == "token_embd.weight"):
            dense[tensor.type.name] = dense.get(tensor.type.name, 0) + tensor.nbytes
    rows = h.n_layer - h.n_dense_lead
    types, nbytes = file.experts.type[:rows], file.experts.nbytes[:rows]
    expert = {Type(int(t)).name: float(nbytes[types == t].sum()) / (rows * h.n_expert) for t in np.unique(types)}
    return ModelSize(
        dense=dense,
        other_bytes=file.tensors["token_embd.weight"].nbytes if untied else 0,
        expert=expert,
        dense_layers=h.n_dense_lead,
        layers=rows,
        experts=h.n_expert,
        used=h.n_expert_used,
        width=h.n_embd,
        vocabulary=h.n_vocab,
        kv_bytes_per_token=_kv_bytes(h),
    )


def _kv_bytes(h: HParams) -> int:
    return 2 * h.n_layer * h.n_head_kv * h.head_dim * 2  # keys and values, F16


def fixed_bytes(model: ModelSize, n_ctx: int) -> int:
    """What a budget pays before the first expert."""
    scratch = SCRATCH * min(BATCH, n_ctx) * model.width
    return model.dense_bytes + model.other_bytes + model.kv_bytes_per_token * n_ctx + scratch + PROCESS_BYTES


def smallest_ram(model: ModelSize, n_ctx: int) -> int:
    """The smallest budget that runs: one token's experts must fit at once."""
    return fixed_bytes(model, n_ctx) + model.token_expert_bytes


def predict(
    model: ModelSize, machine: Machine, ram_bytes: int, n_ctx: int = 8192, known: HitRate | None = None
) -> list[Prediction]:
    """The worst case first, then the likely one: by `known` (from a hot profile) where there is one, else a guess.

    An empty list when the budget is below `smallest_ram`.
    """
    cache = ram_bytes - fixed_bytes(model, n_ctx)
    if cache < model.token_expert_bytes:
        return []
    part = min(1.0, cache / model.all_experts_bytes)
    first = _prompt_seconds(model, machine, part)
    likely = ("used so far", known(part)) if known else ("topics", float(np.interp(part, CACHED_PART, TOPICS_HITS)))
    predictions = []
    for routing, hit_rate in (("uniform", part), likely):
        token_s = _token_seconds(model, machine, hit_rate)
        read = (1 - hit_rate) * model.token_expert_bytes
        predictions.append(Prediction(routing, part, hit_rate, read, token_s, first + token_s))
    return predictions


def _token_seconds(model: ModelSize, machine: Machine, hit_rate: float) -> float:
    """One token, when so many of its experts are in memory."""
    compute = machine.compute
    layers = model.layers + model.dense_layers
    fixed = _products(model.dense, compute) + layers * NODES_PER_LAYER * compute.node_s
    fixed += (1 + STARTS_PER_LAYER * model.layers) * compute.start_s
    drawing = model.vocabulary * compute.sample_s
    expert = _products(model.expert, compute)
    seconds = fixed + drawing + compute.tell_s
    # Of a layer's experts so many are missing, each by itself: hits are computed while misses are read, and misses as
    # they come, the last one after everything.
    for missing in range(model.used + 1):
        odds = comb(model.used, missing) * (1 - hit_rate) ** missing * hit_rate ** (model.used - missing)
        reading = missing * model.expert_bytes / machine.disk
        layer = max(reading + expert, model.used * expert) if missing else model.used * expert
        seconds += model.layers * odds * layer
    return seconds


def _prompt_seconds(model: ModelSize, machine: Machine, part: float) -> float:
    """A new prompt: what is not in memory is read while the rest is computed."""
    wanted = 1 - (1 - model.used / model.experts) ** PROMPT_TOKENS
    reading = wanted * (1 - part) * model.all_experts_bytes / machine.disk
    compute = machine.compute
    dense = sum(PROMPT_TOKENS * _weights(name, nbytes) / compute.batches[name] for name, nbytes in model.dense.items())
    uses = PROMPT_TOKENS * model.used * model.layers
    experts = sum(uses * _weights(name, nbytes) / compute.few_rows[name] for name, nbytes in model.expert.items())
    return max(reading, dense + experts)


def _products(stored: Bytes, compute: ComputeRates) -> float:
    """Seconds to multiply these weights with one token's values."""
    return sum(nbytes / compute.products[name] for name, nbytes in stored.items())


def _weights(name: str, nbytes: float) -> float:
    """How many weights these bytes hold."""
    per_block, block_bytes = GGML_QUANT_SIZES[Type[name]]
    return float(nbytes * per_block / block_bytes)
