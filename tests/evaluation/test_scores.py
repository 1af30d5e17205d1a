"""Statistics of groups of positions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.evaluation.scores import FEW, Scored, choices, proportion, summary


def scored(*lengths: int, seed: int = 0, shift: float = 0.0) -> list[Scored]:
    random = np.random.default_rng(seed)
    return [
        Scored(
            "d",
            "en",
            random.exponential(0.1, n),
            random.random(n) < 0.9,
            loss := random.exponential(3.0, n),
            loss + shift,
            random.random(n) < 0.2,
        )
        for n in lengths
    ]


@pytest.mark.slow
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 100))
def test_numbers_are_those_of_all_positions(lengths: list[int], seed: int) -> None:
    passages = scored(*lengths, seed=seed)
    found = summary(passages)
    if not sum(lengths):
        assert found is None
        return
    assert found is not None
    divergence = np.concatenate([passage.divergence for passage in passages])
    assert found["tokens"] == len(divergence)
    assert found["kl_mean"] == pytest.approx(divergence.mean())
    assert found["kl_median"] == pytest.approx(np.median(divergence))
    assert found["kl_p99"] == pytest.approx(np.quantile(divergence, 0.99))
    interval = found["kl_mean_interval"]
    assert (interval is None) == (sum(length > 0 for length in lengths) < FEW)
    if interval is not None:
        low, high = interval  # type: ignore[misc]
        assert divergence.min() <= low <= high <= divergence.max()
    assert summary(passages[::-1])["kl_mean"] == pytest.approx(found["kl_mean"])  # type: ignore[index]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(60):
        low, high = summary(scored(*[30] * 30, seed=seed))["kl_mean_interval"]  # type: ignore[index, misc]
        covered += low <= 0.1 <= high
    assert covered >= 51


def test_a_shift_of_losses_is_a_ratio_of_perplexities() -> None:
    found = summary(scored(*[20] * 8, shift=np.log(1.25)))
    assert found is not None
    assert found["perplexity_ratio"] == pytest.approx(1.25)
    assert found["perplexity_ratio_interval"] == pytest.approx((1.25, 1.25))


def test_quantile_intervals_hold_the_quantile() -> None:
    found = summary(scored(*[200] * 40))
    assert found is not None
    for name in ("kl_median", "kl_p99"):
        low, high = found[f"{name}_interval"]  # type: ignore[misc]
        assert low < found[name] < high


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson(successes: int, trials: int) -> None:
    low, high = proportion(min(successes, trials), trials)
    assert 0 <= low <= min(successes, trials) / trials <= high <= 1


def test_wilson_known_value() -> None:
    assert proportion(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)  # Brown, Cai, DasGupta 2001


def test_flips_and_chance() -> None:
    right = np.arange(40) % 4
    knows, indifferent = np.full((40, 4), -5.0), np.zeros((40, 4))
    knows[np.arange(40), right] = 0
    changed = knows.copy()
    changed[:3] = knows[:3][:, ::-1]
    found = choices(knows, changed, right.tolist(), [4] * 40)
    assert (found["flips"], found["right_to_wrong"], found["wrong_to_right"]) == (3, 3, 0)
    assert (found["chance"], found["at_chance"], found["reference_accuracy"]) == (0.25, False, 1.0)
    indifferent[:, 0] = 1
    assert choices(indifferent, knows, right.tolist(), [4] * 40)["at_chance"] is True
