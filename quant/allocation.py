"""Choosing a type for every item so that the total damage is least within a byte budget: a multiple-choice knapsack.

An item is one expert's projection (or a whole tensor). A choice is a type, with its bytes and its damage. Bisection
finds a price per byte that gives both a good allocation and a lower bound on the damage of any allocation. Choices that
the bound cannot exclude are settled by dynamic programming over (bytes, damage): exact while the number of states is
within a limit, a beam search beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import BudgetError

Sizes = NDArray[np.int64]  # in bytes
Damage = NDArray[np.float64]
BISECTIONS = 100
MOST_STATES = 1 << 13
MOST_UNDECIDED = 2_000  # items; with more of them the price's allocation is very close to its bound anyway


@dataclass(frozen=True)
class Allocation:
    """An allocation.

    choice [items]: the number of each item's choice. bytes, damage: their sums. bound: no allocation within the budget
    has less damage. price: the damage that one more byte avoids at this budget.
    """

    choice: NDArray[np.int64]
    bytes: int
    damage: float
    bound: float
    price: float


def allocate(size: Sizes, damage: Damage, budget: int) -> Allocation:
    """The least damaging choice for every item within `budget` bytes. Deterministic.

    size, damage: [items, choices]. An infinite damage forbids a choice. Raises BudgetError, which names the bytes
    needed, if not even the smallest choices fit.
    """
    size, damage = np.asarray(size, np.int64), np.asarray(damage, np.float64)
    smallest = np.where(np.isfinite(damage), size, np.iinfo(np.int64).max).min(axis=1)
    if smallest.sum() > budget:
        raise BudgetError(
            f"The weights need at least {int(smallest.sum()):,} bytes with this palette, "
            f"but the budget leaves {budget:,}; allow more."
        )
    price = _price(size, damage, budget)
    # Lagrangian relaxation: the least of damage + price * bytes, less what the budget pays for, bounds the damage.
    cost = damage + price * size
    bound = float(cost.min(axis=1).sum() - price * budget)
    choice = _fill(size, damage, _smallest_best(cost, size), budget)
    choice = _settle(size, damage, budget, choice, price)
    rows = np.arange(len(size))
    return Allocation(choice, int(size[rows, choice].sum()), float(damage[rows, choice].sum()), bound, price)


def allocate_together(size: Sizes, damage: Damage, budget: int, group: NDArray[np.int64]) -> Allocation:
    """Like `allocate`, but items with the same group number [items] get the same choice (whole tensors)."""
    groups, member = np.unique(group, return_inverse=True)
    joint_size, joint_damage = np.zeros((len(groups), size.shape[1]), np.int64), np.zeros((len(groups), size.shape[1]))
    np.add.at(joint_size, member, size)
    np.add.at(joint_damage, member, damage)
    joint = allocate(joint_size, joint_damage, budget)
    return Allocation(joint.choice[member], joint.bytes, joint.damage, joint.bound, joint.price)


def _smallest_best(cost: Damage, size: Sizes) -> NDArray[np.int64]:
    """The cheapest choice of every item; the smallest of equally cheap ones."""
    cheapest = cost <= cost.min(axis=1, keepdims=True)
    choice: NDArray[np.int64] = np.where(cheapest, size, np.iinfo(np.int64).max).argmin(axis=1)
    return choice


def _price(size: Sizes, damage: Damage, budget: int) -> float:
    """The lowest damage per byte at which the cheapest choices of all items fit together."""
    finite = damage[np.isfinite(damage)]
    low, high = 0.0, float(finite.max() - finite.min()) + 1.0  # at `high` saving a byte outweighs any damage
    rows = np.arange(len(size))
    if size[rows, _smallest_best(damage, size)].sum() <= budget:
        return 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        fits = size[rows, _smallest_best(damage + middle * size, size)].sum() <= budget
        low, high = (low, middle) if fits else (middle, high)
    return high


def _fill(size: Sizes, damage: Damage, choice: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Spend the bytes that are left on the steps up that gain most per byte, until none fits."""
    choice, rows = choice.copy(), np.arange(len(size))
    left = budget - int(size[rows, choice].sum())
    while True:
        # For every item and choice: bytes added and damage avoided against its present choice.
        more = size - size[rows, choice][:, None]
        gain = damage[rows, choice][:, None] - damage
        useful = (gain > 0) & (more > 0) & (more <= left)
        if not useful.any():
            return choice
        rate = np.where(useful, gain / np.maximum(more, 1), -np.inf)
        item, best = np.unravel_index(int(rate.argmax()), rate.shape)
        choice[item] = best
        left -= int(more[item, best])


def _settle(size: Sizes, damage: Damage, budget: int, choice: NDArray[np.int64], price: float) -> NDArray[np.int64]:
    """Search among the choices that the bound does not exclude; return the better of the result and `choice`."""
    rows = np.arange(len(size))
    cost = damage + price * size
    best = cost.min(axis=1)
    known = float(damage[rows, choice].sum())
    # A choice whose extra cost exceeds the gap between the known allocation and the bound cannot be in a better one.
    gap = known - float(best.sum() - price * budget)
    open_ = cost - best[:, None] <= gap * (1 + 1e-9)
    undecided = np.flatnonzero(open_.sum(axis=1) > 1)
    if gap <= 0 or len(undecided) == 0 or len(undecided) > MOST_UNDECIDED:
        return choice
    # Items with one open choice keep it; their bytes are taken off the budget.
    decided = _smallest_best(cost, size)
    settled = np.ones(len(size), bool)
    settled[undecided] = False
    left = budget - int(size[settled, decided[settled]].sum())
    # `room`: bytes that the items so far may use, so that the smallest choices of those ahead still fit.
    ahead_size = np.where(open_, size, np.iinfo(np.int64).max).min(axis=1)
    # A state is the (bytes, damage) of some choices for the items so far; the trail leads back to these choices.
    used, lost = np.zeros(1, np.int64), np.zeros(1)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    room = left - int(ahead_size[undecided].sum())
    for item in undecided:
        room += int(ahead_size[item])
        options = np.flatnonzero(open_[item])
        states = (used[:, None] + size[item, options]).ravel(), (lost[:, None] + damage[item, options]).ravel()
        kept = _frontier(*states, room, price)
        used, lost = states[0][kept], states[1][kept]
        trail.append((kept // len(options), options[kept % len(options)]))
    found = decided.copy()
    at = int(lost.argmin()) if len(lost) else -1
    if at < 0:
        return choice
    for item, (parent, option) in zip(undecided[::-1], trail[::-1], strict=True):
        found[item], at = option[at], int(parent[at])
    return found if float(damage[rows, found].sum()) < known else choice


def _frontier(used: Sizes, lost: Damage, room: int, price: float) -> NDArray[np.int64]:
    """The states worth keeping: within `room`, none larger and worse than another, the MOST_STATES cheapest."""
    order = np.lexsort((lost, used))
    order = order[used[order] <= room]
    if len(order) == 0:
        return order
    # In order of bytes, keep a state only if its damage is less than that of every smaller state.
    before = np.minimum.accumulate(np.concatenate([[np.inf], lost[order][:-1]]))
    order = order[lost[order] < before]
    if len(order) > MOST_STATES:
        cheapest = np.argsort(lost[order] + price * used[order], kind="stable")[:MOST_STATES]
        order = order[np.sort(cheapest)]
    return order
