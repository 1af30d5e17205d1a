"""The allocator keeps and uses its budget, is exact on small cases, monotone and deterministic."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.errors import BudgetError
from edgemed.quant import types
from edgemed.quant.allocation import Allocation, allocate, allocate_together


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Up to 5 items with 4 choices each, with any sizes and damages, even senseless ones."""
    items, choices = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    numbers = st.lists(st.integers(1, 60), min_size=items * choices, max_size=items * choices)
    size, damage = (np.array(draw(numbers)).reshape(items, choices) for _ in range(2))
    return size, damage.astype(float)


def by_brute_force(size: np.ndarray, damage: np.ndarray, budget: int) -> float:
    rows = np.arange(len(size))
    all_choices = itertools.product(range(size.shape[1]), repeat=len(size))
    return min(damage[rows, list(c)].sum() for c in all_choices if size[rows, list(c)].sum() <= budget)


@given(problems(), st.floats(0, 1))
def test_matches_brute_force(problem: tuple[np.ndarray, np.ndarray], share: float) -> None:
    size, damage = problem
    least, most = size.min(axis=1).sum(), size.max(axis=1).sum()
    budget = int(least + share * (most - least))
    found = allocate(size, damage, budget)
    rows = np.arange(len(size))
    assert found.bytes == size[rows, found.choice].sum() <= budget
    assert found.damage == damage[rows, found.choice].sum() == by_brute_force(size, damage, budget)
    assert found.bound <= found.damage + 1e-9


def test_the_best_allocation_may_fill_the_budget_to_the_last_byte() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        items, choices = random.integers(2, 6), random.integers(2, 5)
        size, damage = random.integers(1, 60, (items, choices)), random.integers(1, 60, (items, choices)).astype(float)
        budget = int(size[np.arange(items), random.integers(0, choices, items)].sum())
        assert allocate(size, damage, budget).damage == by_brute_force(size, damage, budget)


def model(items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make items like experts: sizes by type, damage that falls by a factor of 4 per bit, importance over 3 decades."""
    rng = np.random.default_rng(seed)
    bits = np.array([float(types.bits_per_weight(type_)) for type_ in types.FAST])
    weights = np.where(np.arange(items) % 3 == 2, 1 << 16, 1 << 17)[:, None]
    importance = 10 ** rng.uniform(-3, 0, (items, 1)) * rng.uniform(0.8, 1.2, (items, len(bits)))
    return (weights * bits / 8).astype(np.int64), importance * 4.0**-bits


@pytest.mark.parametrize("bits", [2.7, 3.2, 4.1, 5.6])
def test_hits_the_budget_within_half_a_percent_and_is_near_the_bound(bits: float) -> None:
    size, damage = model(600)
    budget = int(size[:, 0].sum() / 2.625 * bits)
    found = allocate(size, damage, budget)
    assert 0.995 * budget < found.bytes <= budget
    assert found.bound <= found.damage < 1.001 * found.bound
    uniform = int(np.searchsorted(size.sum(axis=0), budget, side="right")) - 1
    assert found.damage < 0.8 * damage[:, uniform].sum()
    assert np.array_equal(found.choice, allocate(size, damage, budget).choice)


def test_larger_budget_never_means_more_damage() -> None:
    size, damage = model(60)
    found = [allocate(size, damage, int(budget)).damage for budget in np.linspace(size[:, 0].sum(), size.sum(), 60)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(found))


def test_infinite_damage_is_never_chosen() -> None:
    size, damage = model(90)
    floor = damage.copy()
    floor[::5, :2] = np.inf  # these items may not go below the third type
    found = allocate(size, floor, int(size[:, 2].sum()))
    assert (found.choice[::5] >= 2).all()
    assert (found.choice < 2).any()


def test_whole_tensors_are_never_better() -> None:
    size, damage = model(240)
    budget, tensors = int(size[:, 1].sum()), np.arange(240) // 40
    whole, single = allocate_together(size, damage, budget, tensors), allocate(size, damage, budget)
    assert all(len(set(whole.choice[tensors == tensor])) == 1 for tensor in range(6))
    assert whole.bytes == size[np.arange(240), whole.choice].sum() <= budget
    assert single.damage < whole.damage


def test_too_small_budget_says_what_is_needed() -> None:
    size, damage = model(6)
    with pytest.raises(BudgetError, match=f"at least {size[:, 0].sum():,} bytes"):
        allocate(size, damage, int(size[:, 0].sum()) - 1)


def test_large_budget_takes_the_best_types() -> None:
    size, damage = model(30)
    found: Allocation = allocate(size, damage, int(size.sum()))
    assert np.array_equal(found.choice, damage.argmin(axis=1))
    assert found.damage == pytest.approx(found.bound)
