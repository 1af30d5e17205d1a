"""How fast a model will run on a machine, by arithmetic alone: nothing is loaded, nothing needs to be downloaded.

    token time = everything dense + the experts' products + the missed experts' reading

Each part is bytes over a rate that was measured here, with the engine itself on a small model of the same shape
(compute_rates.py, twin.py) and with reads of an expert's size (survey.py). "Dense"
is all that is not experts: launching graphs, waking threads and drawing a token included, and attention, which goes
through the keys and values of CONTEXT_TOKENS. A token reads every dense weight and `used` experts of each MoE layer
once. How many of them are hits depends on how unequally a model uses its experts, which nobody knows before it has
run: the worst case (every expert alike) and a guess (drifting topics, benchmarks/traces.py) are the ends of a range.
Where the model was calibrated or has run, its counts say more (`edgemed.forecast.hit_rates`).

Hits are multiplied while misses are read, and yet the sum is nearer to what was measured than the larger of the two
(docs/performance.md): reading takes memory bandwidth and cores, for its checksums, from what goes on beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemed.forecast.compute_rates import ComputeRates
from edgemed.forecast.hit_rates import KnownUse
from edgemed.forecast.machine import Machine
from edgemed.forecast.model_size import ModelSize

PROCESS_BYTES = 225 << 20
"""Parent, interpreter, libraries and headroom beside weights, KV cache, experts and scratch."""
BATCH = 2048
SCRATCH = 82
"""Tokens of a prompt computed at once, and bytes of scratch for each value (tokens x width) of them: what the engine
says it needs for the models of docs/performance.md, less everything else."""
PROMPT_TOKENS = 512
"""The length of prompt whose first word is predicted."""
CONTEXT_TOKENS = 512
"""What a predicted token has before it."""

# Hit rate of decayed counts (half-life 64 tokens) by the cached part of all experts; `python -m benchmarks.replay`.
CACHED_PART = (0.0, 0.05, 0.10, 0.25, 0.45, 0.70, 1.0)
TOPICS_HITS = (0.0, 0.42, 0.57, 0.76, 0.865, 0.94, 1.0)


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


def fixed_bytes(model: ModelSize, n_ctx: int) -> int:
    """What a budget pays before the first expert."""
    scratch = SCRATCH * min(BATCH, n_ctx) * model.width
    return int(model.dense.nbytes) + model.other_bytes + model.kv_bytes_per_token * n_ctx + scratch + PROCESS_BYTES


def smallest_ram(model: ModelSize, n_ctx: int) -> int:
    """The smallest budget that runs: one token's experts must fit at once."""
    return fixed_bytes(model, n_ctx) + model.token_expert_bytes


def predict(
    model: ModelSize, machine: Machine, ram_bytes: int, n_ctx: int = 8192, known: KnownUse | None = None
) -> list[Prediction]:
    """The worst case first, then the likely one: by what is `known` of its use, else a guess.

    An empty list when the budget is below `smallest_ram`.
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
    """One token's dense part and its experts' products, with every expert in memory."""
    expert = sum(part.nbytes / compute.experts[kind] for kind, part in model.expert.items())
    attention = model.kv_bytes_per_token * CONTEXT_TOKENS / compute.attention
    return model.dense.nbytes / compute.dense + attention, model.used * model.layers * expert


def _token_seconds(model: ModelSize, machine: Machine, hit_rate: float) -> float:
    """One token, when so many of its experts are in memory."""
    dense, experts = computing_seconds(model, machine.compute)
    return dense + experts + (1 - hit_rate) * model.token_expert_bytes / machine.disk


def _prompt_seconds(model: ModelSize, machine: Machine, part: float) -> float:
    """A new prompt: what is not in memory is read while the rest is computed."""
    wanted = 1 - (1 - model.used / model.experts) ** PROMPT_TOKENS
    reading = wanted * (1 - part) * model.all_experts_bytes / machine.disk
    compute = machine.compute
    dense = PROMPT_TOKENS * model.batch_weights / compute.batch_dense
    uses = model.used * (PROMPT_TOKENS * (model.layers - 1) + 1)  # of the last layer, the last token alone uses any
    experts = uses * sum(part.weights / compute.batch_experts[kind] for kind, part in model.expert.items())
    return max(reading, dense + experts)
