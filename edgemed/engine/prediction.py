"""How fast a model will run on a machine, by arithmetic alone: nothing is loaded, nothing needs to be downloaded.

    token time = dense bytes / rate + expert bytes / rate + missed bytes / disk rate
                 - what of the last two overlaps: a layer's hits are computed while its misses are read
    rate       = the memory's, or what the cores can multiply if that is less

A token reads every dense weight and `used` experts of each MoE layer once. How many experts are hits depends on how
unequally a model uses them, so there are two answers: every expert alike (the worst case), and drifting topics
(benchmarks/traces.py), a guess at how a model balanced in training behaves within one conversation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemed.engine.machine import Machine
from edgemed.model_file import HParams, ModelFile

KERNEL_SHARE = 0.85
"""Part of the memory's rate that quantised products reach (benchmarks/in_memory.py)."""
CORE_RATE = 13e9
"""Bytes of quantised weights a core multiplies in a second, however fast memory is (AVX-512 VNNI at 2.6 GHz; AVX2 alone
is slower)."""
PROCESS_BYTES = 420 << 20
"""Parent, interpreter, libraries, compute buffers and headroom beside weights, KV cache and experts."""
DENSE_BITS = 8.5  # Q8_0
ROUTER_BITS = 32.0

# Hit rate of decayed counts (half-life 64 tokens) by the cached part of all experts; `python -m benchmarks.replay`.
CACHED_PART = (0.0, 0.05, 0.10, 0.25, 0.45, 0.70, 1.0)
TOPICS_HITS = (0.0, 0.42, 0.57, 0.76, 0.865, 0.94, 1.0)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Bytes of a model. `dense_bytes`: what every token reads; `other_bytes`: resident but read by row (embedding)."""

    dense_bytes: int
    other_bytes: int
    expert_bytes: float
    layers: int
    experts: int
    used: int
    kv_bytes_per_token: int

    @property
    def all_experts_bytes(self) -> int:
        return int(self.expert_bytes * self.layers * self.experts)

    @property
    def token_expert_bytes(self) -> int:
        return int(self.expert_bytes * self.layers * self.used)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One budget's outcome. `hit_rate`, `read_bytes` and `tokens_per_s` belong to one way of routing.

    `first_token_s`: after a new prompt of a few hundred tokens, which wants nearly every expert once: its reads.
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
    dense = (weights + head) * DENSE_BITS + moe_layers * h.n_expert * h.n_embd * ROUTER_BITS
    return ModelSize(
        dense_bytes=int(dense / 8),
        other_bytes=int(head * DENSE_BITS / 8),
        expert_bytes=3 * h.n_embd * h.n_ff_exp * bits / 8,
        layers=moe_layers,
        experts=h.n_expert,
        used=h.n_expert_used,
        kv_bytes_per_token=_kv_bytes(h),
    )


def size_of_file(file: ModelFile) -> ModelSize:
    """The size of an existing model."""
    h = file.hparams
    embedding = file.tensors["token_embd.weight"].nbytes if "output.weight" in file.tensors else 0
    dense = sum(tensor.nbytes for tensor in file.dense)
    rows = h.n_layer - h.n_dense_lead
    return ModelSize(
        dense_bytes=dense - embedding,
        other_bytes=embedding,
        expert_bytes=float(file.experts.nbytes[:rows].sum(axis=2).mean()),
        layers=rows,
        experts=h.n_expert,
        used=h.n_expert_used,
        kv_bytes_per_token=_kv_bytes(h),
    )


def _kv_bytes(h: HParams) -> int:
    return 2 * h.n_layer * h.n_head_kv * h.head_dim * 2  # keys and values, F16


def fixed_bytes(model: ModelSize, n_ctx: int) -> int:
    """What a budget pays before the first expert."""
    return model.dense_bytes + model.other_bytes + model.kv_bytes_per_token * n_ctx + PROCESS_BYTES


def smallest_ram(model: ModelSize, n_ctx: int) -> int:
    """The smallest budget that runs: one token's experts must fit at once."""
    return fixed_bytes(model, n_ctx) + model.token_expert_bytes


def predict(model: ModelSize, machine: Machine, ram_bytes: int, n_ctx: int = 8192) -> list[Prediction]:
    """The worst case and the likely one. An empty list when the budget is below `smallest_ram`."""
    cache = ram_bytes - fixed_bytes(model, n_ctx)
    if cache < model.token_expert_bytes:
        return []
    part = min(1.0, cache / model.all_experts_bytes)
    rate = min(machine.memory * KERNEL_SHARE, machine.cores * CORE_RATE)
    first = max(0.0, 1 - part) * model.all_experts_bytes / machine.disk
    predictions = []
    for routing, hit_rate in (("uniform", part), ("topics", float(np.interp(part, CACHED_PART, TOPICS_HITS)))):
        read = (1 - hit_rate) * model.token_expert_bytes
        reading, hits = read / machine.disk, hit_rate * model.token_expert_bytes / rate
        misses = (1 - hit_rate) * model.token_expert_bytes / rate
        token_s = model.dense_bytes / rate + max(reading, hits) + misses
        predictions.append(Prediction(routing, part, hit_rate, read, token_s, first + token_s))
    return predictions
