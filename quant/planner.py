"""From measured damage to a plan: the allocator's answer in the plan's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.model_file.hparams import HParams
from edgemed.quant import types
from edgemed.quant.allocation import Allocation, allocate, allocate_together
from edgemed.quant.plan import Plan


def plan_experts(
    hparams: HParams,
    layers: Sequence[int],
    damage: NDArray[np.float64],
    palette: Sequence[Type],
    budget: int,
    *,
    floor: Type | None = None,
    whole_tensors: bool = False,
) -> tuple[Plan, Allocation]:
    """The least damaging types for all routed experts within `budget` bytes (their own, padding not counted).

    layers: block numbers; damage: [layers, experts, 3, types of the palette] as `sensitivity.scaled` returns it. No
    projection gets fewer bits than `floor`. whole_tensors: one type for a projection of all of a layer's experts, as
    formats without types of each expert need. Raises BudgetError.
    """
    size = expert_bytes(hparams, palette)
    items = np.broadcast_to(size, damage.shape).reshape(-1, len(palette))
    allowed = np.array([floor is None or types.bits_per_weight(t) >= types.bits_per_weight(floor) for t in palette])
    cost = np.where(allowed, damage, np.inf).reshape(-1, len(palette))
    if whole_tensors:
        rows, experts = damage.shape[:2]
        tensor = (3 * np.arange(rows)[:, None, None] + np.arange(3)) + np.zeros((1, experts, 1), np.int64)
        found = allocate_together(items, cost, budget, tensor.ravel())
    else:
        found = allocate(items, cost, budget)
    chosen = found.choice.reshape(damage.shape[:3])
    plan = Plan.of_types(
        {
            (layers[row], expert, projection): palette[int(chosen[row, expert, projection])]
            for row, expert, projection in np.ndindex(*chosen.shape)
        }
    )
    plan.validate(hparams)
    return plan, found


def expert_bytes(hparams: HParams, palette: Sequence[Type]) -> NDArray[np.int64]:
    """Bytes of one expert's gate, up and down in every type, [3, types]; short rows as `types.storable` stores them."""
    shapes = [(hparams.n_ff_exp, hparams.n_embd)] * 2 + [(hparams.n_embd, hparams.n_ff_exp)]
    return np.array(
        [
            [rows * types.row_bytes(types.storable(type_, columns), columns) for type_ in palette]
            for rows, columns in shapes
        ],
        np.int64,
    )
