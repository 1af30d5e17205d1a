"""Sampling: choosing the next token from the logits.

The order is that of vLLM and transformers, for which published settings are tuned: repetition penalty over prompt and
answer, temperature, top-k, top-p, then a random draw. (llama.cpp applies the temperature last, so the same top_p keeps
other tokens.) Draws come from Python's Mersenne Twister, whose stream is guaranteed never to change, so a seed in an
audit trail remains reproducible.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from edgemed.engine.process.protocol import Sampling
from edgemed.errors import EngineError

Logits = npt.NDArray[np.float32]


class Sampler:
    """The sampler of one answer. context: the prompt's token ids, to which the repetition penalty also applies."""

    def __init__(self, sampling: Sampling, seed: int, context: Iterable[int]) -> None:
        self._sampling = sampling
        self._random = random.Random(seed)
        self._seen = set(context)

    def pick(self, logits: Logits) -> int:
        """Choose a token id from `logits` [n_vocab]. Raises EngineError if they contain NaN or infinity."""
        refuse_non_finite(logits)
        scores = self._penalised(logits)
        token = int(scores.argmax()) if self._sampling.temperature == 0 else self._draw(scores)
        self._seen.add(token)
        return token

    def _penalised(self, logits: Logits) -> npt.NDArray[np.float64]:
        """Repetition penalty of Keskar et al. 2019, section 4.1, with transformers' rule for negative logits."""
        scores = logits.astype(np.float64)
        if self._sampling.repeat_penalty != 1:
            seen = np.fromiter(self._seen, np.int64, len(self._seen))
            values = scores[seen]
            penalty = self._sampling.repeat_penalty
            scores[seen] = np.where(values > 0, values / penalty, values * penalty)
        return scores

    def _draw(self, scores: npt.NDArray[np.float64]) -> int:
        candidates = _likeliest(scores, self._sampling.top_k)
        # Unnormalised softmax at the temperature; subtracting the largest score avoids overflow.
        weights = np.exp((scores[candidates] - scores[candidates[0]]) / self._sampling.temperature)
        cumulative = weights.cumsum()
        # Top-p: the fewest candidates that together have at least this share of the probability.
        kept = int(np.searchsorted(cumulative, self._sampling.top_p * cumulative[-1])) + 1
        cumulative = cumulative[:kept]
        # Inverse transform sampling among those that are left.
        place = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        return int(candidates[min(place, len(cumulative) - 1)])


def refuse_non_finite(logits: Logits) -> None:
    """Raise EngineError if logits [..., n_vocab] contain NaN or +inf, or only -inf.

    Single values of -inf are fine: such a token is never drawn.
    """
    if not np.isfinite(logits.max(axis=-1)).all():  # the maximum of anything and NaN is NaN
        raise EngineError(
            "The model computed NaN or infinite logits; check the file with `edgemed verify`, or, if a GPU is used, "
            "try --gpu off."
        )


def _likeliest(scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """The indices of the `count` (0: all) highest scores in descending order; equal scores are ordered by index."""
    if 0 < count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order][: count or None]
