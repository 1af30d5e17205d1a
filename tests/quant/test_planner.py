"""A plan made from damages stays within the budget, keeps floors and can use whole tensors."""

import numpy as np
import pytest

from edgemed.errors import BudgetError
from edgemed.quant import types
from edgemed.quant.planner import expert_bytes, plan_experts
from edgemed.quant.types import Type
from tests.quant.test_plan import HPARAMS

LAYERS = range(1, 6)


def damages() -> np.ndarray:
    """Damages [5 layers, 16 experts, 3, fast types] that fall by a factor of 4 per bit; importance over two decades."""
    bits = np.array([float(types.bits_per_weight(type_)) for type_ in types.FAST])
    return 10 ** np.random.default_rng(0).uniform(-2, 0, (5, 16, 3, 1)) * 4.0**-bits


def planned_bytes(plan) -> int:
    size = {type_: expert_bytes(HPARAMS, [type_])[:, 0] for type_ in types.FAST}
    return sum(
        int(size[plan.expert_type(layer, expert, p)][p]) for layer in LAYERS for expert in range(16) for p in range(3)
    )


def test_plan_size_matches_the_allocation() -> None:
    budget = 5 * 16 * int(expert_bytes(HPARAMS, types.FAST)[:, 1].sum())
    plan, found = plan_experts(HPARAMS, LAYERS, damages(), types.FAST, budget)
    assert 0.995 * budget < planned_bytes(plan) == found.bytes <= budget
    assert len({plan.expert_type(1, expert, 0) for expert in range(16)}) > 1


def test_whole_tensors_have_one_type_and_more_damage() -> None:
    budget = 5 * 16 * int(expert_bytes(HPARAMS, types.FAST)[:, 1].sum())
    plan, whole = plan_experts(HPARAMS, LAYERS, damages(), types.FAST, budget, whole_tensors=True)
    assert planned_bytes(plan) == whole.bytes <= budget
    assert all(len({plan.expert_type(layer, e, p) for e in range(16)}) == 1 for layer in LAYERS for p in range(3))
    assert whole.damage > plan_experts(HPARAMS, LAYERS, damages(), types.FAST, budget)[1].damage


def test_rare_experts_stay_near_the_others() -> None:
    """Experts 0 to 3 are rare, so they seem to matter little. Q4_K for all would fit, so none of them is below Q3_K."""
    cost, rare = damages(), np.zeros((5, 16), bool)
    cost[:, :4] *= 1e-3
    rare[:, :4] = True
    budget = 5 * 16 * int(expert_bytes(HPARAMS, types.FAST)[:, 2].sum())
    free, _ = plan_experts(HPARAMS, LAYERS, cost, types.FAST, budget)
    kept, found = plan_experts(HPARAMS, LAYERS, cost, types.FAST, budget, rare=rare)
    assert 0.995 * budget < planned_bytes(kept) == found.bytes <= budget
    theirs = [{plan.expert_type(layer, e, 1) for layer in LAYERS for e in range(4)} for plan in (free, kept)]
    assert theirs == [{Type.Q2_K}, {Type.Q3_K}]
    with pytest.raises(BudgetError, match="at least"):
        plan_experts(HPARAMS, LAYERS, cost, types.FAST, budget // 2, rare=rare)
