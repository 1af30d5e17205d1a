"""Types of the dense matrices: which matrices share a type, and the bytes and damage of each choice.

Every token reads all dense weights, so their types matter for speed as much as those of the experts. Calibration does
not tell the layers' dense matrices apart, so the matrices of a group get the same type in all layers. Only Q6_K, the
lowest type allowed, and Q8_0 are weighed: the damage of Q8_0 is negligible (docs/decisions.md#dense-groups).
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
    """Index in DENSE_GROUPS of a tensor such as `blk.3.attn_qkv.weight`; None if its type is not weighed."""
    group = kinds.get(kind_of(name)) if name.endswith(".weight") else None
    return None if group is None else DENSE_GROUPS.index(group)


@dataclass(frozen=True)
class Dense:
    """Bytes and damage of the groups of dense matrices in each of TYPES. A choice [groups] indexes TYPES.

    size, damage: [groups, types]; damage is the KL divergence that Q8_0 avoids. kinds: the group of each of the
    family's kinds of dense matrices.
    """

    size: NDArray[np.int64]
    damage: NDArray[np.float64]
    kinds: Kinds

    @classmethod
    def of(cls, tensors: Iterable[tuple[str, tuple[int, ...]]], won: NDArray[np.float64], kinds: Kinds) -> Dense:
        """The groups of these tensors, given by name and shape (out, in). won: `Statistics.dense`.

        A gain below a tenth of the mean is noise, and counts as a tenth of the mean.
        """
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
        """The choice with the least damage + price * bytes, the price in divergence per byte."""
        choice: Choice = (self.damage + price * self.size).argmin(axis=1)
        return choice

    def frontier(self) -> list[Choice]:
        """Every choice that is best at some price, from the most bytes to the fewest."""
        worth = self.damage[:, 0] / np.maximum(self.size[:, 1] - self.size[:, 0], 1)
        # Slightly above the price at which a group changes its type, so that rounding cannot keep the old one.
        return [self.at_price(0.0), *(self.at_price(price * (1 + 1e-9)) for price in np.unique(worth[worth > 0]))]

    def saved(self, choice: Choice) -> NDArray[np.int64]:
        """Bytes saved against Q8_0, for each group."""
        saved: NDArray[np.int64] = self.size[:, -1] - self.size[np.arange(len(choice)), choice]
        return saved

    def lost(self, choice: Choice) -> float:
        """The total damage of a choice."""
        return float(self.damage[np.arange(len(choice)), choice].sum())

    def kinds_of(self, choice: Choice) -> dict[str, Type]:
        """The choice as a plan's `dense`: the kinds that differ from its default, Q8_0."""
        chosen = dict(zip(DENSE_GROUPS, (TYPES[at] for at in choice), strict=True))
        types_of = {kind: chosen[group] for kind, group in self.kinds.items() if group is not None}
        return {kind: type_ for kind, type_ in types_of.items() if type_ != Type.Q8_0}
