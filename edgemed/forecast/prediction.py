"""How fast a model will run on a machine, by arithmetic. The model need not be loaded or even downloaded.

    token time = dense part + expert matmuls + reads of missed experts

Each term is bytes divided by a rate measured on this machine: with the engine itself on a small model of the same shape
(compute_rates.py, twin.py), and with reads of one expert's size (survey.py). The dense part is everything but experts:
graph launches, thread wake-ups, sampling, and attention over the keys and values of CONTEXT_TOKENS. A token reads every
dense weight and `used` experts of each MoE layer once.

The hit rate depends on how unevenly the model uses its experts, which is unknown before it has run. The forecast is a
range: the worst case (all experts used alike) and an assumption (drifting topics, benchmarks/traces.py). Counts from
calibration or earlier use replace the assumption (hit_rates.py).

Hits are multiplied while misses are read. The sum of the two is still closer to measurements than their maximum
(docs/performance.md): reads take memory bandwidth, and their checksums take cores, from the matmuls beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemed.forecast.compute_rates import ComputeRates
from edgemed.forecast.hit_rates import KnownUse
from edgemed.forecast.machine import Machine
from edgemed.forecast.model_size import ModelSize

PROCESS_BYTES = 225 << 20
"""Parent process, interpreter, libraries and headroom: everything but weights, KV cache, experts and scratch."""
BATCH = 2048
SCRATCH = 82
"""Prompt tokens per batch, and bytes of scratch per value (tokens x width): fitted to what the engine reports for the
models of docs/performance.md."""
PROMPT_TOKENS = 512
"""Tokens of the prompt whose time to the first word is predicted."""
CONTEXT_TOKENS = 512
"""Tokens of context before a predicted token."""

# Hit rate of decayed counts (half-life 64 tokens) over the cached share of all experts: `python -m benchmarks.replay`.
CACHED_PART = (0.0, 0.05, 0.10, 0.25, 0.45, 0.70, 1.0)
TOPICS_HITS = (0.0, 0.42, 0.57, 0.76, 0.865, 0.94, 1.0)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outcome of one budget under one assumption about routing.

    cached_part, hit_rate: 0 to 1; read_bytes: read per token; token_s: seconds per token; first_token_s: seconds to the
    first token after a new prompt of PROMPT_TOKENS, which needs nearly every expert once.
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


def fixed_bytes(model: ModelSize, n_ctx: int) -> int:
    """Bytes of a budget that are taken before the first expert."""
    scratch = SCRATCH * min(BATCH, n_ctx) * model.width
    return int(model.dense.nbytes) + model.other_bytes + model.kv_bytes_per_token * n_ctx + scratch + PROCESS_BYTES


def smallest_ram(model: ModelSize, n_ctx: int) -> int:
    """The smallest budget in bytes that works: the experts of one token must fit at once."""
    return fixed_bytes(model, n_ctx) + model.token_expert_bytes


def predict(
    model: ModelSize, machine: Machine, ram_bytes: int, n_ctx: int = 8192, known: KnownUse | None = None
) -> list[Prediction]:
    """The worst case, then the likely case, from the `known` use of experts or else the assumption above.

    An empty list if the budget is below `smallest_ram`.
    """
    cache = ram_bytes - fixed_bytes(model, n_ctx)
    if cache < model.token_expert_bytes:
        return []
    part = min(1.0, cache / model.all_experts_bytes)
    first = _prompt_seconds(model, machine, part)
    likely = (
        (known.routing, known.hit_rate(part)) if known else ("topics", float(np.interp(part, CACHED_PART, TOPICS_HITS)))
    )
    predictions = []
    for routing, hit_rate in (("uniform", part), likely):
        token_s = _token_seconds(model, machine, hit_rate)
        read = (1 - hit_rate) * model.token_expert_bytes
        predictions.append(Prediction(routing, part, hit_rate, read, token_s, first + token_s))
    return predictions


def computing_seconds(model: ModelSize, compute: ComputeRates) -> tuple[float, float]:
    """Seconds of one token's dense part and of its expert matmuls, with every expert in memory."""
    expert = sum(part.nbytes / compute.experts[kind] for kind, part in model.expert.items())
    attention = model.kv_bytes_per_token * CONTEXT_TOKENS / compute.attention
    return model.dense.nbytes / compute.dense + attention, model.used * model.layers * expert


def _token_seconds(model: ModelSize, machine: Machine, hit_rate: float) -> float:
    """Seconds of one token at this hit rate."""
    dense, experts = computing_seconds(model, machine.compute)
    return dense + experts + (1 - hit_rate) * model.token_expert_bytes / machine.disk


def _prompt_seconds(model: ModelSize, machine: Machine, part: float) -> float:
    """Seconds of a new prompt: missing experts are read while the others are computed."""
    wanted = 1 - (1 - model.used / model.experts) ** PROMPT_TOKENS
    reading = wanted * (1 - part) * model.all_experts_bytes / machine.disk
    compute = machine.compute
    dense = PROMPT_TOKENS * model.batch_weights / compute.batch_dense
    uses = model.used * (PROMPT_TOKENS * (model.layers - 1) + 1)  # in the last layer only the last token uses experts
    experts = uses * sum(part.weights / compute.batch_experts[kind] for kind, part in model.expert.items())
    return max(reading, dense + experts)
