"""Turning measured damages into a plan: the input and the result of the allocator.

Why: docs/decisions.md#rare-experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.architectures import HParams
from edgemed.quant import types
from edgemed.quant.allocation import Allocation, allocate, allocate_together
from edgemed.quant.dense import Dense
from edgemed.quant.plan import Plan


def plan_experts(
    hparams: HParams,
    layers: Sequence[int],
    damage: NDArray[np.float64],
    palette: Sequence[Type],
    budget: int,
    *,
    rare: NDArray[np.bool_] | None = None,
    whole_tensors: bool = False,
    dense: Dense | None = None,
) -> tuple[Plan, Allocation]:
    """The least damaging types for all routed experts within `budget` bytes, without padding. With `dense` the budget
    is for the experts and the groups of dense matrices together.

    layers: layer number of each MoE layer. damage: [L, E, 3, types] as `sensitivity.scaled` returns it, with the types
    of the palette in order of bits. rare [L, E]: experts that calibration hardly saw; their types are at most one below
    the largest type that all experts could have. whole_tensors: one type for a projection of all experts of a layer,
    for formats that cannot store more. Raises BudgetError.
    """
    size = expert_bytes(hparams, palette)
    # One item per layer, expert and projection: sizes and damages [items, types].
    items = np.broadcast_to(size, damage.shape).reshape(-1, len(palette))
    cost = damage.reshape(-1, len(palette))
    if rare is not None and not whole_tensors:
        # Infinite damage forbids the types that are two or more below the largest one that fits for all experts.
        left = budget - (int(dense.size[:, -1].sum()) if dense is not None else 0)
        floor = int((rare.size * size.sum(axis=0) <= left).sum()) - 2
        low = rare[..., None, None] & (np.arange(len(palette)) < floor)
        cost = np.where(low, np.inf, damage).reshape(cost.shape)
    if dense is not None:
        items, cost = _stacked(items, dense.size, 0), _stacked(cost, dense.damage, np.inf)
    if whole_tensors:
        # Items of the same layer and projection form one tensor; each dense group is a tensor by itself.
        rows, experts = damage.shape[:2]
        tensor = np.broadcast_to(3 * np.arange(rows)[:, None, None] + np.arange(3), (rows, experts, 3)).ravel()
        alone = 3 * rows + np.arange(len(cost) - len(tensor))
        found = allocate_together(items, cost, budget, np.concatenate([tensor, alone]))
    else:
        found = allocate(items, cost, budget)
    # The choices of the experts come first, then those of the dense groups.
    chosen = found.choice[: damage[..., 0].size].reshape(damage.shape[:3])
    kinds = dense.kinds_of(found.choice[damage[..., 0].size :]) if dense is not None else {}
    plan = Plan.of_types(
        {
            (layers[moe_layer], expert, projection): palette[int(chosen[moe_layer, expert, projection])]
            for moe_layer, expert, projection in np.ndindex(*chosen.shape)
        },
        kinds,
    )
    plan.validate(hparams)
    return plan, found


def _stacked(upper: NDArray[Any], lower: NDArray[Any], fill: float) -> NDArray[Any]:
    """Stack two tables of choices. The narrower one is padded with `fill`, for choices that it does not have."""
    wide = max(upper.shape[1], lower.shape[1])
    parts = [np.pad(part, ((0, 0), (0, wide - part.shape[1])), constant_values=fill) for part in (upper, lower)]
    return np.concatenate(parts)


def expert_bytes(hparams: HParams, palette: Sequence[Type]) -> NDArray[np.int64]:
    """Bytes of one expert's gate, up and down in every type, [3, types], after `types.storable`."""
    return np.array(
        [
            [rows * types.row_bytes(types.storable(type_, columns), columns) for type_ in palette]
            for rows, columns in hparams.expert_matrix_shapes
        ],
        np.int64,
    )
