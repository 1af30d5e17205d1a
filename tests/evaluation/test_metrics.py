"""Divergence, agreement and perplexity against their formulas; coverage and width of intervals."""

import numpy as np
import pytest

from edgemed.evaluation.metrics import Comparison, interval, log_softmax, percentile_ratio_interval, ratio_interval


def comparison(noise: float, passages: int = 6, seed: int = 0) -> Comparison:
    rng, found = np.random.default_rng(seed), Comparison()
    for passage in range(passages):
        reference = rng.normal(0, 2, (20, 30))
        model = reference + rng.normal(0, noise, reference.shape)
        found.add("en" if passage % 2 else "zh", log_softmax(reference), log_softmax(model), rng.integers(0, 30, 20))
    return found


def test_equal_models_do_not_differ() -> None:
    summary = comparison(0.0).summary()
    assert summary["kl_mean"] == summary["kl_p99"] == pytest.approx(0, abs=1e-12)
    assert summary["top1_agreement"] == summary["perplexity_ratio"] == 1


def test_divergence_is_the_textbook_formula() -> None:
    reference, model = np.array([[1.0, 2.0, 0.5]]), np.array([[0.0, 2.5, 0.5]])
    found = Comparison()
    found.add("en", log_softmax(reference), log_softmax(model), np.array([2]))
    p, q = (np.exp(x) / np.exp(x).sum() for x in (reference[0], model[0]))
    assert found.divergence[0][0] == pytest.approx(float((p * np.log(p / q)).sum()))
    assert found.reference_loss[0][0] == pytest.approx(-np.log(p[2]))
    assert found.summary()["perplexity_ratio"] == pytest.approx(p[2] / q[2])
    assert found.summary()["top1_agreement"] == 1


def test_more_noise_is_more_divergence() -> None:
    small, large = comparison(0.1).summary(), comparison(0.4).summary()
    assert 10 < large["kl_mean"] / small["kl_mean"] < 20  # quadratic in the noise
    assert large["top1_agreement"] < small["top1_agreement"] < 1
    assert small["kl_mean_low"] < small["kl_mean"] < small["kl_mean_high"]


def test_domains_are_kept_apart() -> None:
    found = comparison(0.2)
    english = found.of_domain("en")
    assert len(english.divergence) == 3
    assert english.summary()["tokens"] == 60
    np.testing.assert_array_equal(english.divergence[0], found.divergence[1])


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        passages = [rng.normal(1.0, 1.0, 5) + rng.normal() for _ in range(40)]
        low, high = interval(passages, seed=seed)
        covered += low <= 1.0 <= high
    assert 86 <= covered <= 100


def test_a_paired_ratio_is_tighter_than_its_parts() -> None:
    rng = np.random.default_rng(1)
    hard = rng.gamma(1.0, size=50)
    theirs = [np.full(10, h) for h in hard]
    ours = [0.5 * t * rng.uniform(0.9, 1.1, 10) for t in theirs]
    ratio, low, high = ratio_interval(ours, theirs)
    assert low < ratio < high
    assert ratio == pytest.approx(0.5, abs=0.02)
    assert high - low < 0.05


def test_the_ratio_of_percentiles_has_an_interval_over_whole_passages() -> None:
    rng = np.random.default_rng(2)
    theirs = [rng.exponential(scale, 20) for scale in rng.gamma(2.0, size=40)]
    ratio, low, high = percentile_ratio_interval([0.5 * t for t in theirs], theirs, 99)
    assert (ratio, low, high) == pytest.approx((0.5, 0.5, 0.5))
    noisy = [0.5 * t * rng.lognormal(0.0, 0.5) for t in theirs]
    ratio, low, high = percentile_ratio_interval(noisy, theirs, 99)
    assert ratio == pytest.approx(np.percentile(np.concatenate(noisy), 99) / np.percentile(np.concatenate(theirs), 99))
    assert low < ratio < high


def test_log_softmax_survives_large_logits() -> None:
    assert np.exp(log_softmax(np.array([[1e4, 1e4]]))) == pytest.approx(0.5)
