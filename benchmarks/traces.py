"""Routing traces without content: which expert of which layer was used at which step, and nothing about the text.

A trace is made here (synthetic routing at AntAngelMed's shape) or recorded by the engine and read with `load`. On disk
it is a `.npy` array of int32, one row an access in execution order: step, MoE layer row, expert, tokens routed to it.
A step is one evaluation: one token while decoding, a whole batch while the prompt is read.
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
    """Accesses in execution order; all columns have the same length.

    `step`, `layer`, `expert` and `tokens` (how many tokens of the step used the expert) are int64 arrays.
    """

    step: Ints
    layer: Ints
    expert: Ints
    tokens: Ints
    experts_per_layer: int

    @property
    def key(self) -> Ints:
        """One number for each (layer, expert)."""
        key: Ints = self.layer * self.experts_per_layer + self.expert
        return key

    @property
    def clock(self) -> Ints:
        """Tokens evaluated before each access's step: the time in which counts decay."""
        inverse = np.unique(self.step, return_inverse=True)[1]
        routed = np.bincount(inverse, weights=self.tokens)
        batch = np.round(routed / routed.min())  # the smallest step is one token
        before = np.concatenate([[0], np.cumsum(batch)[:-1]]).astype(np.int64)
        clock: Ints = before[inverse]
        return clock

    @property
    def decoding(self) -> NDArray[np.bool_]:
        """Which accesses belong to steps of one token."""
        steps, inverse = np.unique(self.step, return_inverse=True)
        most = np.zeros(len(steps), np.int64)
        np.maximum.at(most, inverse, self.tokens)
        single: NDArray[np.bool_] = (most == 1)[inverse]
        return single

    def save(self, path: Path) -> None:
        """Write the four columns as one int32 array [accesses, 4]."""
        np.save(path, np.stack([self.step, self.layer, self.expert, self.tokens], axis=1).astype(np.int32))


def load(path: Path, experts_per_layer: int | None = None) -> Trace:
    """Read a recorded trace. Raises ValueError when the array is not [accesses, 4] integers."""
    rows = np.load(path, allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != 4 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"{path} is not a routing trace: expected integers of shape [accesses, 4], got {rows.shape}.")
    step, layer, expert, tokens = rows.astype(np.int64).T
    return Trace(step, layer, expert, tokens, experts_per_layer or int(expert.max()) + 1)


def route(scores: Floats, shape: Shape) -> Ints:
    """Group-limited top-k of BailingMoeV2 over scores [..., experts]; returns expert numbers [..., used].

    A group's score is the sum of its two best experts; the best `groups_used` groups stay, the others are masked with
    minus infinity (modeling_bailing_moe_v2.py).
    """
    grouped = scores.reshape(*scores.shape[:-1], shape.groups, -1)
    best_two = np.partition(grouped, -2, axis=-1)[..., -2:].sum(-1)
    threshold = np.partition(best_two, -shape.groups_used, axis=-1)[..., [-shape.groups_used]]
    masked = np.where((best_two >= threshold)[..., None], grouped, -np.inf).reshape(scores.shape)
    chosen: Ints = np.sort(np.argpartition(masked, -shape.used, axis=-1)[..., -shape.used :], axis=-1)
    return chosen


def from_choices(steps: Sequence[Ints], shape: Shape) -> Trace:
    """A trace of `steps`, each the experts chosen by a batch: [tokens, layers, used]."""
    columns: list[Ints] = []
    for number, chosen in enumerate(steps):
        for layer in range(shape.layers):
            count = np.bincount(chosen[:, layer].ravel(), minlength=shape.experts)
            used = np.flatnonzero(count)
            columns.append(
                np.stack([np.full(len(used), number), np.full(len(used), layer), used, count[used]]).astype(np.int64)
            )
    step, layer_, expert, tokens = np.concatenate(columns, axis=1)
    return Trace(step, layer_, expert, tokens, shape.experts)


def sigmoid(x: Floats) -> Floats:
    """The router's score function."""
    out: Floats = 1 / (1 + np.exp(-x))
    return out


def zipf_logits(shape: Shape, exponent: float, rng: np.random.Generator) -> Floats:
    """Log-popularity [layers, experts]: Zipf's law, its ranks shuffled anew in each layer."""
    ranks = np.stack([rng.permutation(shape.experts) + 1 for _ in range(shape.layers)])
    logits: Floats = -exponent * np.log(ranks)
    return logits


def draw(logits: Floats, tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """Independent tokens from log-popularity [layers, experts]: sampling without replacement by the Gumbel trick."""
    out = [route(sigmoid(logits + rng.gumbel(size=logits.shape)), shape) for _ in range(tokens)]
    return np.stack(out)


def uniform(tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """Every expert alike: the worst case for any cache."""
    return draw(np.zeros((shape.layers, shape.experts)), tokens, shape, rng)


def zipf(tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """A fixed skew (exponent 1) for the whole trace."""
    return draw(zipf_logits(shape, 1.0, rng), tokens, shape, rng)


def topics(tokens: int, shape: Shape, rng: np.random.Generator) -> Ints:
    """Drifting topics: balanced over the long run, skewed for a while, and each token resembling the one before.

    Models trained with a load-balancing bias look like this: globally even, locally concentrated. Twelve topics, each
    with its own Zipf (exponent 0.6) popularity; a topic lasts 150 tokens on average and fades into the next; a token's
    own noise is correlated (0.3) with its predecessor's.
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
    """Turns of a conversation on drifting topics: a prompt of 200 tokens in one batch, then an answer of 200."""
    whole = topics(tokens, shape, rng)
    steps: list[Ints] = []
    for start in range(0, tokens - 399, 400):
        steps.append(whole[start : start + 200])
        steps += list(whole[start + 200 : start + 400, None])
    return steps


def decode_only(make: Callable[[int, Shape, np.random.Generator], Ints]) -> Callable[..., list[Ints]]:
    """A generator of single-token steps from a generator of choices."""
    return lambda tokens, shape, rng: list(make(tokens, shape, rng)[:, None])


SYNTHETIC: dict[str, Callable[[int, Shape, np.random.Generator], list[Ints]]] = {
    "uniform": decode_only(uniform),
    "zipf": decode_only(zipf),
    "topics": decode_only(topics),
    "chat": chat,
}


def synthetic(kind: str, tokens: int, shape: Shape = Shape(), seed: int = 0) -> Trace:
    """A trace of one of the kinds in SYNTHETIC."""
    return from_choices(SYNTHETIC[kind](tokens, shape, np.random.default_rng(seed)), shape)
