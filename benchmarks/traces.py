"""Routing traces: which expert of which layer was used at which step, with nothing about the text.

A trace is synthetic (made here, at AntAngelMed's shape) or recorded by the engine and read with `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """The router's shape; the defaults are AntAngelMed's."""

    layers: int = 31
    experts: int = 256
    used: int = 8
    groups: int = 8
    groups_used: int = 4


@dataclass(frozen=True)
class Trace:
    """Expert uses in execution order; the columns are int64 arrays of the same length.

    `step`: the number of tokens before this evaluation, so the difference to the next step is the batch size. `layer`:
    the MoE layer, from 0. `tokens`: how many tokens of the batch used the expert.
    """

    step: Ints
    layer: Ints
    expert: Ints
    tokens: Ints
    experts_per_layer: int

    @property
    def key(self) -> Ints:
        """One number for each (MoE layer, expert)."""
        key: Ints = self.layer * self.experts_per_layer + self.expert
        return key

    @property
    def decoding(self) -> NDArray[np.bool_]:
        """Mark the accesses of single-token evaluations: those that used the fewest experts."""
        _, inverse, count = np.unique(self.step, return_inverse=True, return_counts=True)
        single: NDArray[np.bool_] = (count == count.min())[inverse]
        return single


def load(path: Path, experts_per_layer: int) -> Trace:
    """Read a trace that the engine recorded: u32 triples of step, MoE layer and expert.

    A batch's tokens are spread evenly over the experts it used, because the trace does not say who used them. Raises
    ValueError if the file is not such a trace.
    """
    rows = np.fromfile(path, "<u4").astype(np.int64)
    if len(rows) == 0 or len(rows) % 3:
        raise ValueError(f"{path} is not a routing trace: it does not hold triples of 32-bit numbers.")
    step, layer, expert = rows.reshape(-1, 3).T
    if expert.max() >= experts_per_layer or (np.diff(step) < 0).any():
        raise ValueError(f"{path} is not a routing trace of {experts_per_layer} experts per layer.")
    steps, inverse, count = np.unique(step, return_inverse=True, return_counts=True)
    batch = np.append(np.diff(steps), 1)
    tokens = np.maximum(1, batch * count.min() // count)[inverse]
    return Trace(step, layer, expert, tokens, experts_per_layer)


def route(scores: Floats, shape: Shape) -> Ints:
    """Group-limited top-k of BailingMoeV2 over scores [..., experts]; returns expert indices [..., used].

    A group's score is the sum of its two best experts. The best `groups_used` groups stay; the others are masked with
    minus infinity (modeling_bailing_moe_v2.py).
    """
    grouped = scores.reshape(*scores.shape[:-1], shape.groups, -1)
    best_two = np.partition(grouped, -2, axis=-1)[..., -2:].sum(-1)
    threshold = np.partition(best_two, -shape.groups_used, axis=-1)[..., [-shape.groups_used]]
    masked = np.where((best_two >= threshold)[..., None], grouped, -np.inf).reshape(scores.shape)
    chosen: Ints = np.sort(np.argpartition(masked, -shape.used, axis=-1)[..., -shape.used :], axis=-1)
    return chosen


def from_choices(steps: Sequence[Ints], shape: Shape) -> Trace:
    """Make a trace of `steps`; each holds the experts chosen by one batch, [tokens, layers, used]."""
    columns: list[Ints] = []
    before = 0
    for chosen in steps:
        for layer in range(shape.layers):
            count = np.bincount(chosen[:, layer].ravel(), minlength=shape.experts)
            used = np.flatnonzero(count)
            columns.append(np.stack([np.full(len(used), before), np.full(len(used), layer), used, count[used]]))
        before += len(chosen)
    step, layer_, expert, tokens = np.concatenate(columns, axis=1).astype(np.int64)
    return Trace(step, layer_, expert, tokens, shape.experts)


def sigmoid(x: Floats) -> Floats:
    """The router's score function."""
    out: Floats = 1 / (1 + np.exp(-x))
    return out


def zipf_logits(shape: Shape, exponent: float, rng: np.random.Generator) -> Floats:
    """Log-popularity [layers, experts] after Zipf's law, with ranks shuffled separately in each layer."""
    ranks = np.stack([rng.permutation(shape.experts) + 1 for _ in range(shape.layers)])
    logits: Floats = -exponent * np.log(ranks)
    return logits


def draw(logits: Floats, tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """Draw independent tokens from log-popularity [layers, experts], without replacement, by the Gumbel trick."""
    out = [route(sigmoid(logits + rng.gumbel(size=logits.shape)), shape) for _ in range(tokens)]
    return np.stack(out)


def uniform(tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """Every expert equally likely: the worst case for any cache."""
    return draw(np.zeros((shape.layers, shape.experts)), tokens, shape, rng)


def zipf(tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """One fixed skew (exponent 1) for the whole trace."""
    return draw(zipf_logits(shape, 1.0, rng), tokens, shape, rng)


def topics(tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """Drifting topics: balanced over the long run, skewed locally, and each token similar to the one before.

    Models trained with a load-balancing bias behave like this. There are twelve topics, each with its own Zipf
    popularity (exponent 0.6). A topic lasts 150 tokens on average and fades into the next. A token's noise is
    correlated (0.3) with its predecessor's.
    """
    popularity = [zipf_logits(shape, 0.6, rng) for _ in range(12)]
    current, noise = popularity[0], rng.normal(size=popularity[0].shape)
    aim, chosen = current, []
    for _ in range(tokens):
        if rng.random() < 1 / 150:
            aim = popularity[rng.integers(len(popularity))]
        current = 0.9 * current + 0.1 * aim
        noise = 0.3 * noise + np.sqrt(1 - 0.3**2) * rng.normal(size=noise.shape)
        chosen.append(route(sigmoid(current + noise), shape))
    return np.stack(chosen)


def chat(tokens: int, shape: Shape, rng: np.random.Generator) -> list[Ints]:
    """A conversation on drifting topics: each turn is a prompt of 200 tokens in one batch, then an answer of 200."""
    whole = topics(tokens, shape, rng)
    steps: list[Ints] = []
    for start in range(0, tokens - 399, 400):
        steps.append(whole[start : start + 200])
        steps += list(whole[start + 200 : start + 400, None])
    return steps


def decode_only(make: Callable[[int, Shape, np.random.Generator], Ints]) -> Callable[..., list[Ints]]:
    """Turn a generator of choices into a generator of single-token steps."""
    return lambda tokens, shape, rng: list(make(tokens, shape, rng)[:, None])


SYNTHETIC: dict[str, Callable[[int, Shape, np.random.Generator], list[Ints]]] = {
    "uniform": decode_only(uniform),
    "zipf": decode_only(zipf),
    "topics": decode_only(topics),
    "chat": chat,
}


def synthetic(kind: str, tokens: int, shape: Shape = Shape(), seed: int = 0) -> Trace:
    """Make a trace of one of the kinds in SYNTHETIC."""
    return from_choices(SYNTHETIC[kind](tokens, shape, np.random.default_rng(seed)), shape)
