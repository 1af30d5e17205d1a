"""How a token chooses its experts.

llama.cpp's graph does the routing (build_moe_ffn). The classes here describe it to two observers: the native predictor,
which runs the next layer's router early, and calibration, which measures how narrowly experts were chosen. A new kind
of router is a new class here and, for prefetching, a new kind in native/graph/predictor.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats

WEIGHT, BIAS, NORM = "ffn_gate_inp.weight", "exp_probs_b.bias", "ffn_norm.weight"
"""A block's tensors in a GGUF: the router's weight [experts, n_embd], its bias [experts], and the RMS norm [n_embd]
before it. llama.cpp's names, the same in every family that has them."""


class Router(Protocol):
    """One kind of router.

    weight, bias, norm: names of the tensors within a block; a model may lack the bias. The native predictor knows
    SigmoidGroups only: with another router the engine does not prefetch the next layer's experts.
    """

    @property
    def weight(self) -> str: ...
    @property
    def bias(self) -> str: ...
    @property
    def norm(self) -> str: ...

    def margins(self, logits: Floats, bias: Floats, chosen: NDArray[np.int32]) -> Floats:
        """How narrowly each token's experts were chosen [tokens]: the lowest chosen score minus the highest rejected
        one, among the experts open to the token; never below 0.

        logits [tokens, experts]: the router's product; bias [experts]; chosen [tokens, used]: expert numbers.
        """

    def smallest(self, least: int, used: int) -> int:
        """The smallest number of experts, at least `least`, from which this router can choose `used`: for scaled-down
        models."""


@dataclass(frozen=True, slots=True)
class SigmoidGroups:
    """Sigmoid scores plus a bias, which serves the choice only. Groups of consecutive experts are ranked by the sum of
    their two best scores; the best experts of the best groups are chosen. With one group all experts are open.

    Source: https://github.com/inclusionAI/Ling-V2, models/modeling_bailing_moe_v2.py.
    """

    n_group: int
    n_group_used: int
    weight: str = WEIGHT
    bias: str = BIAS
    norm: str = NORM

    def margins(self, logits: Floats, bias: Floats, chosen: NDArray[np.int32]) -> Floats:
        scores = 1 / (1 + np.exp(-logits)) + bias
        tokens, experts = scores.shape
        is_chosen = np.zeros(scores.shape, bool)
        is_chosen[np.arange(tokens)[:, None], chosen] = True
        # The groups open to a token: [tokens, groups].
        best = np.sort(scores.reshape(tokens, self.n_group, -1), axis=2)[:, :, -2:].sum(axis=2)
        used = self.n_group_used if self.n_group > 1 else self.n_group
        is_open = best >= np.sort(best, axis=1)[:, self.n_group - used, None]
        rejected = ~is_chosen & np.repeat(is_open, experts // self.n_group, axis=1)
        worst = np.where(is_chosen, scores, np.inf).min(axis=1)
        margins: Floats = worst - np.where(rejected, scores, -np.inf).max(axis=1)
        return np.maximum(margins, 0)  # rounding may turn a tie around

    def smallest(self, least: int, used: int) -> int:
        # Two experts a group, and enough of them in the groups that stay open.
        needed = max(least, 2 * self.n_group, -(-used * self.n_group // max(self.n_group_used, 1)))
        return -(-needed // self.n_group) * self.n_group
