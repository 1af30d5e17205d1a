"""The least time a token can take, from a recorded trace: no cache reads less than Belady's rule needs.

token >= dense + sum over MoE layers of max(missed bytes / bandwidth, expert compute)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.replay import belady, decayed, misses
from benchmarks.traces import Floats, Trace
from edgemed.model_file import ModelFile


@dataclass(frozen=True)
class Limit:
    """The least seconds per token: with Belady's misses, and with the misses of the engine's own rule (decayed counts).

    Hit rates are over the same tokens.
    """

    token_s: float
    token_s_own_misses: float
    belady_hit_rate: float
    own_hit_rate: float
    own_bytes: float


def find_limit(
    trace: Trace, model: ModelFile, capacity: int, measured: int, bandwidth: float, dense_s: float, expert_s: float
) -> Limit:
    """Return the bound for the last `measured` tokens of `trace` with a cache of `capacity` bytes.

    `bandwidth`: bytes per second. `dense_s`: a token's time without experts. `expert_s`: the time of one MoE layer's
    expert matmuls with all weights in memory.
    """
    sizes = model.experts.nbytes.sum(axis=2).reshape(-1).astype(np.int64)
    last = np.isin(trace.step, np.unique(trace.step)[-measured:])
    result = {}
    for name, score in (("belady", belady(trace)), ("own", decayed(64)(trace))):
        missed = misses(trace, score, capacity, sizes)[last]
        seconds = _token_seconds(trace, last, np.where(missed, sizes[trace.key[last]], 0), bandwidth, expert_s)
        result[name] = (dense_s + seconds.mean(), 1 - missed.mean(), sizes[trace.key[last]][missed].sum() / measured)
    return Limit(
        token_s=float(result["belady"][0]),
        token_s_own_misses=float(result["own"][0]),
        belady_hit_rate=float(result["belady"][1]),
        own_hit_rate=float(result["own"][1]),
        own_bytes=float(result["own"][2]),
    )


def _token_seconds(
    trace: Trace, last: np.ndarray, missed_bytes: np.ndarray, bandwidth: float, expert_s: float
) -> Floats:
    """For each token, sum over its MoE layers the longer of read time and compute time."""
    steps, step = np.unique(trace.step[last], return_inverse=True)
    layers = int(trace.layer.max()) + 1
    read = np.zeros((len(steps), layers))
    np.add.at(read, (step, trace.layer[last]), missed_bytes)
    seconds: Floats = np.maximum(read / bandwidth, expert_s).sum(axis=1)
    return seconds
