"""Dense matrices in an allocation: which of them share a type, how many bytes that takes, and what it costs.

A token reads every dense weight, so their types decide about speed as much as the experts' do; and nothing is known of
one layer's dense matrices that tells it from another's, so all layers' matrices of a kind go together. Only Q6_K, the
floor, and Q8_0 are weighed: what Q8_0 still loses is next to nothing (docs/quantisation.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.quant import types
from edgemed.quant.plan import dense_kind

TYPES = (Type.Q6_K, Type.Q8_0)
GROUPS = {
    "attn_qkv": ("attn_qkv",),
    "attn_output": ("attn_output",),
    "ffn": ("ffn_gate", "ffn_up", "ffn_down"),
    "shexp": ("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"),
    "output": ("output",),
    "token_embd": ("token_embd",),
}
"""Kinds of dense matrices (plan.DENSE_KINDS) that are weighed together; the order is that of `Statistics.dense`."""
_GROUP = {kind: row for row, kinds in enumerate(GROUPS.values()) for kind in kinds}
EMBEDDING = list(GROUPS).index("token_embd")

Choice = NDArray[np.int64]


def group_of(name: str) -> int | None:
    """The row in GROUPS of a tensor, `blk.3.attn_qkv.weight`; None where its type is not weighed."""
    return _GROUP.get(dense_kind(name.removesuffix(".weight")))


@dataclass(frozen=True)
class Dense:
    """size, damage [groups, types]: bytes, and divergence that Q8_0 would win back. A choice [groups] indexes TYPES."""

    size: NDArray[np.int64]
    damage: NDArray[np.float64]

    @classmethod
    def of(cls, tensors: Iterable[tuple[str, tuple[int, ...]]], won: NDArray[np.float64]) -> Dense:
        """tensors: names and shapes (out, in); won as `Statistics.dense` holds it. Next to nothing, or less, is chance
        and counts as a tenth of the mean."""
        size = np.zeros((len(GROUPS), len(TYPES)), np.int64)
        for name, shape in tensors:
            row = group_of(name)
            if row is not None:
                rows, columns = shape
                size[row] += [rows * types.row_bytes(types.storable(type_, columns), columns) for type_ in TYPES]
        there = size[:, 0] > 0
        least = 0.1 * float(won[there].mean())
        return cls(size, np.stack([np.where(there, np.maximum(won, least), 0.0), np.zeros(len(GROUPS))], axis=1))

    def at_price(self, price: float) -> Choice:
        """What a price in divergence per byte chooses."""
        choice: Choice = (self.damage + price * self.size).argmin(axis=1)
        return choice

    def frontier(self) -> list[Choice]:
        """Every choice that some price makes, from the most bytes to the fewest."""
        worth = self.damage[:, 0] / np.maximum(self.size[:, 1] - self.size[:, 0], 1)
        # A hair above the price at which a group changes sides: rounding must not leave it where it was.
        return [self.at_price(0.0), *(self.at_price(price * (1 + 1e-9)) for price in np.unique(worth[worth > 0]))]

    def saved(self, choice: Choice) -> NDArray[np.int64]:
        """Bytes less than in Q8_0, of each group."""
        saved: NDArray[np.int64] = self.size[:, -1] - self.size[np.arange(len(choice)), choice]
        return saved

    def lost(self, choice: Choice) -> float:
        """The choice's whole damage."""
        return float(self.damage[np.arange(len(choice)), choice].sum())


def kinds_of(choice: Choice) -> dict[str, Type]:
    """The choice in a plan's words: kinds that differ from the plan's default, Q8_0."""
    chosen = zip(GROUPS.values(), choice, strict=True)
    return {kind: TYPES[at] for kinds, at in chosen for kind in kinds if TYPES[at] != Type.Q8_0}
