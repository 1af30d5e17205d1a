"""How often a cache would hit, from what is known of a model's use: by its hot profile, else by its calibration.

Both are noisy counts. Which experts looked hot is partly chance, so the counts are first pulled towards their
mean by the share of their variance that chance explains (the linear empirical-Bayes estimate); a model that uses every
expert alike is so predicted to hit as often as the cached part, whatever its counts look like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemed.engine.hot_profile import calibrated_scores, read_profile
from edgemed.model_file import ModelFile

HitRate = Callable[[float], float]
"""Takes the cached part of all experts, 0 to 1; gives the part of demands that find theirs in memory."""


@dataclass(frozen=True, slots=True)
class KnownUse:
    """`routing`: what it is known from, in a word or two."""

    routing: str
    hit_rate: HitRate


LAST_USE, CALIBRATION = "used so far", "calibrated"

HALF_LIFE = 64.0
LEAST_TOKENS = 16.0
"""A profile of fewer tokens says nothing."""


def known_use(file: ModelFile) -> KnownUse | None:
    """None where nothing of use is known."""
    remembered = read_profile(file.path, file.hparams.expert_shape)
    for routing, scores in ((LAST_USE, remembered), (CALIBRATION, calibrated_scores(file))):
        if scores is not None and (rate := hit_rate_of(scores, file.hparams.n_expert_used)) is not None:
            return KnownUse(routing, rate)
    return None


def hit_rate_of(scores: npt.NDArray[np.float32], used: int) -> HitRate | None:
    """From scores [row, expert]: log2 of decayed uses. None when they cover too few tokens."""
    counts = np.exp2(scores.astype(np.float64))
    tokens = counts.sum() / (len(counts) * used)
    if tokens < LEAST_TOKENS:
        return None
    most = HALF_LIFE / np.log(2)  # what decayed counts of single tokens add up to
    # Chance alone gives a count the variance sum(w^2) / sum(w) of its uses' weights w times its mean: a half for uses
    # that decay away one by one, up to 1 for a prompt's, which have one weight.
    chance = 1 - 0.5 * min(1.0, most / tokens)
    mean = counts.mean(axis=1, keepdims=True)
    variance = counts.var(axis=1, keepdims=True)
    signal = np.clip(1 - chance * mean / np.maximum(variance, 1e-12), 0, 1)
    popularity = np.sort((mean + signal * (counts - mean)).ravel())[::-1]
    hits = np.concatenate([[0.0], popularity.cumsum()])
    hits /= hits[-1]
    parts = np.linspace(0, 1, len(hits))
    return lambda part: float(np.interp(part, parts, hits))
