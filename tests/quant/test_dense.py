"""Dense groups: their bytes, the choices worth making, and their place in an allocation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.architectures import FAMILIES
from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.architectures.tensors import DENSE_GROUPS
from edgemed.errors import BudgetError
from edgemed.quant import types
from edgemed.quant.dense import EMBEDDING, TYPES, Dense, group_of
from edgemed.quant.planner import expert_bytes, plan_experts
from edgemed.quant.types import Type
from tests.quant.test_plan import HPARAMS
from tests.quant.test_planner import LAYERS, damages, planned_bytes

TENSORS = [
    ("token_embd.weight", (1000, 256)),
    ("output.weight", (1000, 256)),
    *((f"blk.{layer}.attn_qkv.weight", (512, 256)) for layer in range(6)),
    *((f"blk.{layer}.attn_output.weight", (256, 256)) for layer in range(6)),
    *((f"blk.{layer}.ffn_{name}_shexp.weight", (256, 256)) for layer in range(1, 6) for name in ("gate", "up", "down")),
    ("blk.0.ffn_gate.weight", (512, 256)),
    ("blk.1.ffn_gate_inp.weight", (16, 256)),
]
WON = np.array([3e-3, 1e-3, 4e-4, 0.0, 5e-4, 2e-3])
KINDS = BailingMoeV2.DENSE_KINDS
DENSE = Dense.of(TENSORS, WON, KINDS)


def test_every_kind_has_at_most_one_group() -> None:
    for family in FAMILIES:
        assert set(family.DENSE_KINDS.values()) <= {*DENSE_GROUPS, None}
    assert [kind for kind, group in KINDS.items() if group is None] == ["nextn.eh_proj"]
    assert set(KINDS.values()) == {*DENSE_GROUPS, None}
    assert group_of("blk.3.attn_output.weight", KINDS) == DENSE_GROUPS.index("attn_output")
    for name in ("blk.3.ffn_gate_inp.weight", "blk.3.attn_norm.weight", "blk.3.attn_qkv.bias"):
        assert group_of(name, KINDS) is None
    assert set(TYPES) <= set(types.DENSE_FLOOR)


def test_bytes_match_the_tensors() -> None:
    weights = np.zeros(len(DENSE_GROUPS))
    for name, shape in TENSORS:
        if group_of(name, KINDS) is not None:
            weights[group_of(name, KINDS)] += np.prod(shape)  # type: ignore[index]
    for at, type_ in enumerate(TYPES):
        np.testing.assert_array_equal(DENSE.size[:, at], weights * float(types.bits_per_weight(type_)) / 8)
    np.testing.assert_array_equal(DENSE.saved(np.ones(len(DENSE_GROUPS), np.int64)), 0)
    assert DENSE.saved(np.zeros(len(DENSE_GROUPS), np.int64))[EMBEDDING] == 1000 * (272 - 210)


def test_zero_effect_counts_a_little() -> None:
    np.testing.assert_allclose(DENSE.damage[:, 0], np.maximum(WON, 0.1 * WON.mean()))
    only = Dense.of(TENSORS[:1], WON, KINDS)
    assert np.flatnonzero(only.damage[:, 0]).tolist() == [EMBEDDING]


def test_frontier_contains_the_best_choice_at_every_price() -> None:
    frontier = DENSE.frontier()
    assert DENSE.kinds_of(frontier[0]) == {}
    assert set(DENSE.kinds_of(frontier[-1]).values()) == {Type.Q6_K}
    steps = [set(DENSE.kinds_of(choice)) for choice in frontier]
    assert all(fewer < more for fewer, more in itertools.pairwise(steps))
    for price in np.geomspace(1e-12, 1e-4, 200):
        assert set(DENSE.kinds_of(DENSE.at_price(price))) in steps
    everything = [np.array(choice) for choice in itertools.product((0, 1), repeat=len(DENSE_GROUPS))]
    for choice in frontier:  # no choice with the same or fewer bytes has less damage
        saved = DENSE.saved(choice).sum()
        assert DENSE.lost(choice) <= 1e-12 + min(DENSE.lost(c) for c in everything if DENSE.saved(c).sum() >= saved)


def budget_at(share: float) -> int:
    """Interpolate between the fewest bytes (0) and the most (1) of experts and dense groups."""
    each = 5 * 16 * expert_bytes(HPARAMS, types.FAST).sum(axis=0)
    least, most = each[0] + DENSE.size[:, 0].sum(), each[-1] + DENSE.size[:, 1].sum()
    return int(least + share * (most - least))


def dense_bytes(kinds: dict[str, Type]) -> int:
    small = {KINDS[kind] for kind in kinds}
    return int(sum(DENSE.size[row, int(group not in small)] for row, group in enumerate(DENSE_GROUPS)))


@pytest.mark.parametrize("whole", [False, True])
def test_experts_and_dense_groups_share_a_budget(whole: bool) -> None:
    lost = []
    for share in np.linspace(0, 1, 12):
        plan, found = plan_experts(
            HPARAMS, LAYERS, damages(), types.FAST, budget_at(share), dense=DENSE, whole_tensors=whole
        )
        spent = planned_bytes(plan) + dense_bytes(dict(plan.dense))
        assert spent == found.bytes <= budget_at(share)
        assert whole or spent > 0.995 * budget_at(share)
        assert set(plan.dense.values()) <= {Type.Q6_K}
        lost.append(found.damage)
        again, _ = plan_experts(
            HPARAMS, LAYERS, damages(), types.FAST, budget_at(share), dense=DENSE, whole_tensors=whole
        )
        assert again.text == plan.text
    assert all(later <= earlier for earlier, later in itertools.pairwise(lost))
    with pytest.raises(BudgetError):
        plan_experts(HPARAMS, LAYERS, damages(), types.FAST, budget_at(0) - 1, dense=DENSE)


def test_shared_budget_is_no_worse_than_any_fixed_split() -> None:
    budget = budget_at(0.3)
    _, together = plan_experts(HPARAMS, LAYERS, damages(), types.FAST, budget, dense=DENSE)
    for choice in DENSE.frontier():
        rest = budget - int(DENSE.size[:, 1].sum() - DENSE.saved(choice).sum())
        _, divided = plan_experts(HPARAMS, LAYERS, damages(), types.FAST, rest)
        assert together.damage <= (divided.damage + DENSE.lost(choice)) * (1 + 1e-3)
    _, alone = plan_experts(HPARAMS, LAYERS, damages(), types.FAST, budget - int(DENSE.size[:, 1].sum()))
    assert together.damage < alone.damage


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.floats(0, 1e-2), min_size=6, max_size=6), st.floats(0, 1))
def test_split_between_experts_and_dense_is_optimal(won: list[float], share: float) -> None:
    """For one layer's whole tensors and six groups, compared with every choice."""
    dense, palette = Dense.of(TENSORS, np.array(won), KINDS), (Type.Q2_K, Type.Q4_K, Type.Q6_K)
    damage = np.full((1, 16, 3, 1), 2e-4) * np.array([1.0, 0.1, 0.01]) * np.array([3.0, 1.0, 2.0])[:, None]
    size = 16 * expert_bytes(HPARAMS, palette)
    least, most = size[:, 0].sum() + dense.size[:, 0].sum(), size[:, -1].sum() + dense.size[:, 1].sum()
    budget = int(least + share * (most - least))
    _, found = plan_experts(HPARAMS, [1], damage, palette, budget, dense=dense, whole_tensors=True)
    best = np.inf
    for three in itertools.product(range(3), repeat=3):
        used, lost = size[range(3), three].sum(), 16 * damage[0, 0, range(3), three].sum()
        for six in itertools.product((0, 1), repeat=6):
            if used + dense.size[range(6), six].sum() <= budget:
                best = min(best, lost + dense.lost(np.array(six)))
    assert found.damage == pytest.approx(best, rel=1e-9)
