"""Choosing the next token from the logits.

The order is that of vLLM and of transformers, for which the published settings were tuned: repetition penalty over
prompt and answer, temperature, top-k, top-p, and a draw. (llama.cpp's chain applies the temperature last, which makes
the same top_p cut elsewhere.) Draws come from Python's Mersenne Twister, whose stream is promised never to change, so
that a seed in an audit trail stays worth something.
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
    """The choices of one answer. `context`: the prompt's token ids, which the repetition penalty counts too."""

    def __init__(self, sampling: Sampling, seed: int, context: Iterable[int]) -> None:
        self._sampling = sampling
        self._random = random.Random(seed)
        self._seen = set(context)

    def pick(self, logits: Logits) -> int:
        """One token id for `logits` [n_vocab]. Raises EngineError when they are no numbers."""
        refuse_no_numbers(logits)
        scores = self._penalised(logits)
        token = int(scores.argmax()) if self._sampling.temperature == 0 else self._draw(scores)
        self._seen.add(token)
        return token

    def _penalised(self, logits: Logits) -> npt.NDArray[np.float64]:
        """Keskar et al. 2019, section 4.1, with transformers' rule for negative logits."""
        scores = logits.astype(np.float64)
        if self._sampling.repeat_penalty != 1:
            seen = np.fromiter(self._seen, np.int64, len(self._seen))
            values = scores[seen]
            penalty = self._sampling.repeat_penalty
            scores[seen] = np.where(values > 0, values / penalty, values * penalty)
        return scores

    def _draw(self, scores: npt.NDArray[np.float64]) -> int:
        candidates = _likeliest(scores, self._sampling.top_k)
        weights = np.exp((scores[candidates] - scores[candidates[0]]) / self._sampling.temperature)
        cumulative = weights.cumsum()
        # The nucleus: the fewest candidates that hold top_p of the probability.
        kept = int(np.searchsorted(cumulative, self._sampling.top_p * cumulative[-1])) + 1
        cumulative = cumulative[:kept]
        place = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        return int(candidates[min(place, len(cumulative) - 1)])


def refuse_no_numbers(logits: Logits) -> None:
    """Raises EngineError for logits [..., n_vocab] of which nothing can be told. -inf is a token that never comes."""
    if not np.isfinite(logits.max(axis=-1)).all():  # the maximum of anything and NaN is NaN
        raise EngineError(
            "The model computed no usable numbers; check the file with `edgemed verify`, and where a GPU computes, try "
            "--gpu off."
        )


def _likeliest(scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """The `count` (0: all) highest scores' indices, highest first; of equal ones the lower index first."""
    if 0 < count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order][: count or None]
