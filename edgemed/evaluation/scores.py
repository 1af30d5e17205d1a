"""Statistics of groups of positions: means, quantiles and agreement, each with a bootstrap interval.

Passages are resampled rather than positions, because neighbouring tokens are not independent. Groups of fewer than FEW
passages get no intervals: that is too few to resample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEW = 5
MEANS, QUANTILES = 1000, 200  # bootstrap samples
SHARE = 0.95
Z = 1.959964  # 97.5th percentile of the normal distribution, for two-sided 95 % intervals
Numbers = NDArray[np.float64]
Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Scored:
    """Results of one passage. All arrays are [positions]; losses and divergences are in nats; `dose` marks the tokens
    that carry a dose."""

    domain: str
    language: str
    divergence: Numbers
    agrees: NDArray[np.bool_]
    reference_loss: Numbers
    model_loss: Numbers
    dose: NDArray[np.bool_]

    def only(self, chosen: NDArray[np.bool_]) -> Scored:
        """The passage with only the chosen positions."""
        parts = (self.divergence, self.agrees, self.reference_loss, self.model_loss, self.dose)
        return Scored(self.domain, self.language, *(part[chosen] for part in parts))  # type: ignore[arg-type]


def summary(passages: Iterable[Scored]) -> dict[str, object] | None:
    """The statistics of a group of passages, or None if it has no positions."""
    used = [passage for passage in passages if len(passage.divergence)]
    if not used:
        return None
    divergence = np.concatenate([passage.divergence for passage in used])
    counts = np.array([float(len(passage.divergence)) for passage in used])
    picks = _picks(len(used), MEANS)
    reference = np.array([passage.reference_loss.sum() for passage in used])
    model = np.array([passage.model_loss.sum() for passage in used])

    # A mean over positions is a ratio of sums over passages, so resampling needs only each passage's sum and count.
    def mean(sums: Numbers) -> tuple[float, Interval]:
        if picks is None:
            return float(sums.sum() / counts.sum()), None
        return float(sums.sum() / counts.sum()), _middle(sums[picks].sum(axis=1) / counts[picks].sum(axis=1))

    kl_mean, kl_interval = mean(np.array([passage.divergence.sum() for passage in used]))
    agreement, agreement_interval = mean(np.array([float(passage.agrees.sum()) for passage in used]))
    lost, lost_interval = mean(model - reference)
    median, p99 = _quantiles(used, divergence, counts)
    return {
        "passages": len(used),
        "tokens": len(divergence),
        "kl_mean": kl_mean,
        "kl_mean_interval": kl_interval,
        "kl_median": median[0],
        "kl_median_interval": median[1],
        "kl_p99": p99[0],
        "kl_p99_interval": p99[1],
        "kl_max": float(divergence.max()),
        "top1_agreement": agreement,
        "top1_agreement_interval": agreement_interval,
        "reference_perplexity": _exp(float(reference.sum() / counts.sum())),
        "perplexity_ratio": _exp(lost),
        "perplexity_ratio_interval": lost_interval and (_exp(lost_interval[0]), _exp(lost_interval[1])),
    }


def proportion(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion (E. B. Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    p, z2 = successes / trials, Z * Z
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))  # rounding must not exclude p itself


def choices(reference: Numbers, model: Numbers, answers: Sequence[int], options: Sequence[int]) -> dict[str, object]:
    """The results of multiple choice.

    reference, model: log probabilities of the letters [questions, options]; answers: the right options; options: the
    number of options of each question. A flip is an answer of the model that differs from the reference's. Flips mean
    nothing if the reference does no better than chance, which `at_chance` says.
    """
    ours, theirs, right = model.argmax(axis=1), reference.argmax(axis=1), np.asarray(answers)
    count = len(right)
    chance = float(np.mean(1 / np.asarray(options, np.float64)))
    knew, knows = theirs == right, ours == right
    flips = int((ours != theirs).sum())
    lowest = proportion(int(knew.sum()), count)[0]
    return {
        "questions": count,
        "chance": chance,
        "reference_accuracy": float(knew.mean()),
        "reference_accuracy_interval": proportion(int(knew.sum()), count),
        "model_accuracy": float(knows.mean()),
        "model_accuracy_interval": proportion(int(knows.sum()), count),
        "flips": flips,
        "flip_rate": flips / count,
        "flip_rate_interval": proportion(flips, count),
        "right_to_wrong": int((knew & ~knows).sum()),
        "wrong_to_right": int((~knew & knows).sum()),
        "at_chance": lowest <= chance,
    }


def _quantiles(passages: Sequence[Scored], divergence: Numbers, counts: Numbers) -> list[tuple[float, Interval]]:
    """The median and the 99th percentile with their intervals.

    Sorting all positions for each bootstrap sample would be slow. They are sorted once; a sample then only gives each
    position a weight, the number of times its passage was drawn.
    """
    levels = (0.5, 0.99)
    values = [float(np.quantile(divergence, level)) for level in levels]
    picks = _picks(len(passages), QUANTILES)
    if picks is None:
        return [(value, None) for value in values]
    order = np.argsort(divergence, kind="stable")
    ordered, owner = divergence[order], np.repeat(np.arange(len(passages)), counts.astype(np.int64))[order]
    found = np.empty((QUANTILES, len(levels)))
    for row, pick in enumerate(picks):
        # The quantile is the first position whose cumulated weight reaches its share of the total.
        weight = np.cumsum(np.bincount(pick, minlength=len(passages))[owner])
        places = [int(np.searchsorted(weight, level * weight[-1])) for level in levels]
        found[row] = ordered[np.minimum(places, len(ordered) - 1)]
    return [(value, _middle(found[:, column])) for column, value in enumerate(values)]


def _picks(count: int, samples: int) -> NDArray[np.int64] | None:
    return None if count < FEW else np.random.default_rng(0).integers(0, count, (samples, count))


def _middle(values: Numbers) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
