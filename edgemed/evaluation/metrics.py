"""Divergence of one model's next-token distribution from another's, computed passage by passage.

Only a few numbers per token are kept, so texts may be long. Confidence intervals come from a bootstrap over passages,
because the tokens of one passage are not independent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BOOTSTRAPS = 1000
Numbers = NDArray[np.float64]


@dataclass
class Comparison:
    """Results of the passages added so far. Every list holds one array [positions] per passage."""

    divergence: list[Numbers] = field(default_factory=list)  # KL(reference || model), nats
    agrees: list[NDArray[np.bool_]] = field(default_factory=list)  # same most likely token
    reference_loss: list[Numbers] = field(default_factory=list)  # cross-entropy of the token that follows, nats
    model_loss: list[Numbers] = field(default_factory=list)
    domain: list[str] = field(default_factory=list)

    def add(
        self, domain: str, reference: NDArray[np.floating], model: NDArray[np.floating], following: NDArray[np.integer]
    ) -> None:
        """Add a passage from both models' log probabilities [positions, vocabulary] and the tokens that follow
        [positions]."""
        at = np.arange(len(reference))
        # KL(p || q) = sum p (log p - log q). For nearly equal distributions rounding can make it slightly negative.
        divergence = (np.exp(reference) * (reference - model)).sum(axis=-1, dtype=np.float64)
        self.divergence.append(np.maximum(divergence, 0.0))
        self.agrees.append(reference.argmax(axis=-1) == model.argmax(axis=-1))
        self.reference_loss.append(-reference[at, following].astype(np.float64))
        self.model_loss.append(-model[at, following].astype(np.float64))
        self.domain.append(domain)

    def of_domain(self, domain: str) -> Comparison:
        """The results of one domain's passages."""
        which = [index for index, name in enumerate(self.domain) if name == domain]
        return Comparison(
            [self.divergence[index] for index in which],
            [self.agrees[index] for index in which],
            [self.reference_loss[index] for index in which],
            [self.model_loss[index] for index in which],
            [domain] * len(which),
        )

    def summary(self) -> dict[str, float]:
        """Divergence (mean with its 95 % interval, median, 99th percentile), agreement and perplexity ratio."""
        divergence = np.concatenate(self.divergence)
        low, high = interval(self.divergence)
        # Perplexity is exp(mean loss), so a ratio of perplexities is exp of the difference of mean losses.
        losses = np.concatenate(self.model_loss).mean() - np.concatenate(self.reference_loss).mean()
        return {
            "tokens": float(len(divergence)),
            "kl_mean": float(divergence.mean()),
            "kl_mean_low": low,
            "kl_mean_high": high,
            "kl_median": float(np.median(divergence)),
            "kl_p99": float(np.percentile(divergence, 99)),
            "top1_agreement": float(np.concatenate(self.agrees).mean()),
            "perplexity_ratio": float(np.exp(losses)),
        }


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log probabilities over the last axis, in the precision of the logits."""
    # Subtracting the maximum keeps exp() from overflowing.
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normed: NDArray[np.floating] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normed


def interval(passages: list[Numbers], share: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval of the mean over all positions, resampling passages with the given seed."""
    sums, counts = _totals(passages)
    picks = _picks(len(sums), seed)
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    return _quantiles(means, share)


def ratio_interval(
    ours: list[Numbers], theirs: list[Numbers], share: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """(ratio, low, high) of two means over the same passages. Both are resampled together."""
    (top, _), (bottom, _) = _totals(ours), _totals(theirs)
    picks = _picks(len(top), seed)
    low, high = _quantiles(top[picks].sum(axis=1) / bottom[picks].sum(axis=1), share)
    return float(top.sum() / bottom.sum()), low, high


def percentile_ratio_interval(
    ours: list[Numbers], theirs: list[Numbers], percentile: float, share: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """(ratio, low, high) of two percentiles over all positions of the same passages. Both are resampled together."""

    def ratio(picked: Iterable[int]) -> float:
        top, bottom = (np.concatenate([side[index] for index in picked]) for side in (ours, theirs))
        return float(np.percentile(top, percentile) / np.percentile(bottom, percentile))

    everything = range(len(ours))
    low, high = _quantiles(np.array([ratio(picked) for picked in _picks(len(ours), seed)]), share)
    return ratio(everything), low, high


def _totals(passages: list[Numbers]) -> tuple[Numbers, Numbers]:
    return np.array([p.sum() for p in passages]), np.array([float(len(p)) for p in passages])


def _picks(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, count, (BOOTSTRAPS, count))


def _quantiles(values: Numbers, share: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
