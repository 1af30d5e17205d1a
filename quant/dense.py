"""Dense matrices in an allocation: which of them share a type, how many bytes that takes, and what it costs.

A token reads every dense weight, so their types decide about speed as much as the experts' do; and nothing is known of
one layer's dense matrices that tells it from another's, so all layers' matrices of a kind go together. Only Q6_K, the
floor, and Q8_0 are weighed: what Q8_0 still loses is next to nothing (docs/quantisation.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.architectures.tensors import DENSE_GROUPS, kind_of
from edgemed.quant import types

TYPES = (Type.Q6_K, Type.Q8_0)
EMBEDDING = DENSE_GROUPS.index("token_embd")

Choice = NDArray[np.int64]
Kinds = Mapping[str, str | None]  # HParams.DENSE_KINDS


def group_of(name: str, kinds: Kinds) -> int | None:
    """The place in DENSE_GROUPS of a tensor, `blk.3.attn_qkv.weight`; None where its type is not weighed."""
    group = kinds.get(kind_of(name)) if name.endswith(".weight") else None
    return None if group is None else DENSE_GROUPS.index(group)


@dataclass(frozen=True)
class Dense:
    """size, damage [groups, types]: bytes, and divergence that Q8_0 would win back. A choice [groups] indexes TYPES.
    kinds: the family's kinds of dense matrices, to their groups."""

    size: NDArray[np.int64]
    damage: NDArray[np.float64]
    kinds: Kinds

    @classmethod
    def of(cls, tensors: Iterable[tuple[str, tuple[int, ...]]], won: NDArray[np.float64], kinds: Kinds) -> Dense:
        """tensors: names and shapes (out, in); won as `Statistics.dense` holds it. Next to nothing, or less, is chance
        and counts as a tenth of the mean."""
        size = np.zeros((len(DENSE_GROUPS), len(TYPES)), np.int64)
        for name, shape in tensors:
            row = group_of(name, kinds)
            if row is not None:
                rows, columns = shape
                size[row] += [rows * types.row_bytes(types.storable(type_, columns), columns) for type_ in TYPES]
        there = size[:, 0] > 0
        least = 0.1 * float(won[there].mean())
        damage = np.stack([np.where(there, np.maximum(won, least), 0.0), np.zeros(len(DENSE_GROUPS))], axis=1)
        return cls(size, damage, kinds)

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

    def kinds_of(self, choice: Choice) -> dict[str, Type]:
        """The choice in a plan's words: kinds that differ from the plan's default, Q8_0."""
        chosen = dict(zip(DENSE_GROUPS, (TYPES[at] for at in choice), strict=True))
        types_of = {kind: chosen[group] for kind, group in self.kinds.items() if group is not None}
        return {kind: type_ for kind, type_ in types_of.items() if type_ != Type.Q8_0}
