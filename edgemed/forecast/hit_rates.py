"""Cache hit rates from a model's known use of its experts: its hot profile, or else its calibration.

Both are noisy counts, and which experts look hot is partly chance. The counts are therefore shrunk toward their layer's
mean by the share of their variance that chance explains (the linear empirical-Bayes estimate). For a model that uses
all experts alike, the predicted hit rate is then the cached share, whatever its counts look like.

Why: docs/decisions.md#hit-rate-estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemed.engine.hot_profile import calibrated_scores, read_profile
from edgemed.model_file import ModelFile

HitRate = Callable[[float], float]
"""From the cached share of all experts, 0 to 1, to the share of requests that find their expert in memory."""


@dataclass(frozen=True, slots=True)
class KnownUse:
    """`routing` names the source of the counts."""

    routing: str
    hit_rate: HitRate


LAST_USE, CALIBRATION = "used so far", "calibrated"

HALF_LIFE = 64.0
LEAST_TOKENS = 16.0
"""Counts of fewer tokens are not used."""


def known_use(file: ModelFile) -> KnownUse | None:
    """The hit rate from the file's hot profile or calibration; None if it has neither, or too few tokens."""
    remembered = read_profile(file.path, file.hparams.expert_shape)
    for routing, scores in ((LAST_USE, remembered), (CALIBRATION, calibrated_scores(file))):
        if scores is not None and (rate := hit_rate_of(scores, file.hparams.n_expert_used)) is not None:
            return KnownUse(routing, rate)
    return None


def hit_rate_of(scores: npt.NDArray[np.float32], used: int) -> HitRate | None:
    """From scores [MoE layer, expert], log2 of decayed counts. None if they cover too few tokens."""
    counts = np.exp2(scores.astype(np.float64))
    tokens = counts.sum() / (len(counts) * used)
    if tokens < LEAST_TOKENS:
        return None
    most = HALF_LIFE / np.log(2)  # the sum to which decayed counts of single tokens converge
    # By chance alone a count with mean m has the variance m * sum(w^2) / sum(w), where w are the weights of its uses:
    # a factor of 1/2 when uses decay one by one, and up to 1 for a prompt, whose uses share one weight.
    chance = 1 - 0.5 * min(1.0, most / tokens)
    mean = counts.mean(axis=1, keepdims=True)
    variance = counts.var(axis=1, keepdims=True)
    signal = np.clip(1 - chance * mean / np.maximum(variance, 1e-12), 0, 1)
    # The share of requests that the most popular experts take, from none cached to all.
    popularity = np.sort((mean + signal * (counts - mean)).ravel())[::-1]
    hits = np.concatenate([[0.0], popularity.cumsum()])
    hits /= hits[-1]
    parts = np.linspace(0, 1, len(hits))
    return lambda part: float(np.interp(part, parts, hits))
