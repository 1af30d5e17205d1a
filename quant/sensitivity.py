"""The damage of a type to an expert's projection. The allocator minimises the sum of these damages.

For an expert with weights gate, up, down and its tokens' inputs x and routing weights s, the expected squared error of
the layer's output is, to first order,

    down:  sum_r  e_r H_inner e_r^T                H_inner = sum over tokens of (s h)(s h)^T
    gate:  sum_r  a_r  e_r H_input e_r^T           H_input = sum over tokens of (s x)(s x)^T

with h the input of down, e_r row r of the quantisation error, and a_r the mean squared derivative of the output by row
r's result (weighted by s); up likewise. Both second moments come from a sample of the layer's tokens. Experts that were
used rarely borrow from their layer: all the layer's sampled inputs, run through the expert's own weights, count as
PRIOR_TOKENS more tokens, and the number of tokens that an expert is charged with is drawn towards the layer's mean by
the same number. So a rare expert is never unimportant. Each token counts by the effect of an error in it on the next
token's distribution (sample.py).

Errors of some layers change the logits more than those of others. `scaled` scales each layer's damages to a measured
KL divergence: what is gained by leaving that layer unquantised when all else is quantised. Quantising only that layer
instead would mislead (docs/decisions.md#layer-effects).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Doubles, Floats
from edgemed.quant.compensate import row_damage
from edgemed.quant.statistics import Statistics

PRIOR_TOKENS = 64
PRIOR_SAMPLE = 512  # of the layer's tokens


@dataclass(frozen=True)
class Sensitivity:
    """What the damage of one expert's quantisation depends on, for gate, up and down in this order.

    hessian: H of each projection (gate and up share one), for one token of average routing weight.
    slope: weight of each row's damage, [rows]; ones for down.
    tokens: the number of tokens that its damage is charged with.
    """

    hessian: tuple[Doubles, Doubles, Doubles]
    slope: tuple[Doubles, Doubles, Doubles]
    tokens: float

    def damage(self, projection: int, weights: Floats, quantised: Floats) -> float:
        """Total squared error of the layer's output if this projection becomes `quantised`."""
        rows = row_damage(weights, quantised, self.hessian[projection])
        return self.tokens * float(rows @ self.slope[projection])


def measure(statistics: Statistics, moe_layer: int, expert: int, gate: Floats, up: Floats, down: Floats) -> Sensitivity:
    """The sensitivity of an expert with these weights [n_ff, n_embd], [n_ff, n_embd], [n_embd, n_ff], by the sample."""
    own, shares, weights = statistics.sample.of_expert(moe_layer, expert)
    everyone, their_weights = statistics.sample.of_layer(moe_layer, PRIOR_SAMPLE)
    mean_share = np.float32(_mean_share(statistics, moe_layer))
    parts = [_moments(own, shares * np.sqrt(weights), gate, up, down)]
    if len(everyone):
        # All tokens of the layer, as if this expert had been used for them with an average routing weight.
        borrowed = _moments(everyone, mean_share * np.sqrt(their_weights), gate, up, down)
        parts.append(tuple(moment * (PRIOR_TOKENS / len(everyone)) for moment in borrowed))
    # Means over tokens of the five sums that `_moments` returns.
    count = len(own) + (PRIOR_TOKENS if len(everyone) else 0)
    total = [sum(part[i] for part in parts) / max(count, 1) for i in range(5)]
    h_input, h_inner, slope_gate, slope_up, share2 = (np.asarray(moment) for moment in total)
    scale = max(float(share2), 1e-30)  # H has s^2 in it, and slopes too: it must count once in their product
    return Sensitivity(
        (h_input, h_input, h_inner),
        (slope_gate / scale, slope_up / scale, np.ones(len(down))),
        charged_tokens(statistics)[moe_layer, expert],
    )


def charged_tokens(statistics: Statistics) -> Doubles:
    """Tokens that each expert is charged with, [L, E]: drawn towards the layer's mean as by PRIOR_TOKENS more."""
    tokens = statistics.tokens.sum(axis=0)
    mean = tokens.mean(axis=1, keepdims=True)
    charged: Doubles = (tokens + PRIOR_TOKENS) * mean / (mean + max(PRIOR_TOKENS, 1e-300))
    return charged


def scaled(
    damage: NDArray[np.float64], predicted: NDArray[np.float64], effects: NDArray[np.float64]
) -> NDArray[np.float64]:
    """damage [L, E, 3, types] in units of KL divergence, by a factor for each layer.

    effects [L]: with all experts in one type, the divergence avoided by leaving one layer's experts unquantised.
    predicted [L]: that type's damage, summed over the layer. Effects below a tenth of their mean are noise, and count
    as a tenth of the mean.
    """
    least = max(0.1 * float(effects.mean()), 1e-12)
    factor = np.maximum(effects, least) / np.maximum(predicted, 1e-300)
    result: NDArray[np.float64] = damage * factor[:, None, None, None]
    return result


def _mean_share(statistics: Statistics, moe_layer: int) -> float:
    tokens = statistics.tokens[:, moe_layer].sum()
    return float(statistics.share[:, moe_layer].sum() / tokens) if tokens else 1.0


def _moments(x: Floats, share: Floats, gate: Floats, up: Floats, down: Floats) -> tuple[Doubles | float, ...]:
    """Sums over tokens x [tokens, n_embd] of H_input, H_inner, squared slopes of gate's and up's rows, and s^2."""
    g, u = x @ gate.T, x @ up.T
    sigmoid = 1 / (1 + np.exp(-g))
    silu = g * sigmoid
    # The result of a row of gate or up reaches the output through a column of down.
    reach = np.square(down.astype(np.float64)).sum(axis=0)
    shared_x, inner = share[:, None] * x, share[:, None] * silu * u
    # Derivatives of silu(g) * u by g and by u, times s.
    slope_gate = np.square(share[:, None] * sigmoid * (1 + g * (1 - sigmoid)) * u).sum(axis=0) * reach
    slope_up = np.square(share[:, None] * silu).sum(axis=0) * reach
    return (
        (shared_x.T @ shared_x).astype(np.float64),
        (inner.T @ inner).astype(np.float64),
        slope_gate,
        slope_up,
        float(np.square(share).sum()),
    )
