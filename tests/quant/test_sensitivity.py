"""The estimated damage equals the damage that happens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.quant.compensate import row_damage
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.sample import token_keys
from edgemed.quant.sensitivity import charged_tokens, measure, scaled
from edgemed.quant.statistics import Statistics
from edgemed.quant.types import Type

EMBD, FF, EXPERTS, TOKENS = 256, 256, 4, 900


@pytest.fixture(scope="module")
def scene() -> tuple[Statistics, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Return statistics of one layer, the weights of its expert 0, and that expert's inputs and routing weights."""
    rng = np.random.default_rng(0)
    weights = tuple(rng.normal(0, 0.06, (FF, EMBD)).astype(np.float32) for _ in range(3))
    inputs = (rng.normal(size=(TOKENS, EMBD)) @ rng.normal(size=(EMBD, EMBD)) / 16).astype(np.float32)
    experts = np.stack([rng.permutation(EXPERTS)[:2] for _ in range(TOKENS)])
    experts[:800][experts[:800] == 3] = 0  # expert 3 is rare
    shares = rng.uniform(0.2, 1.5, (TOKENS, 2)).astype(np.float32)
    statistics = Statistics.empty(["a"], [1], n_expert=EXPERTS, n_used=2, n_embd=EMBD, n_ff=FF, sample=TOKENS)
    statistics.observe_layer(0, 0, token_keys("x", TOKENS), inputs, experts, shares, np.ones(TOKENS), np.ones(TOKENS))
    token, rank = np.nonzero(experts == 0)
    return statistics, weights, inputs[token].astype(np.float16).astype(np.float32), shares[token, rank]


def output(weights: tuple[np.ndarray, ...], x: np.ndarray) -> np.ndarray:
    g, u = x @ weights[0].T, x @ weights[1].T
    return (g / (1 + np.exp(-g)) * u) @ weights[2].T


@pytest.mark.parametrize("projection", [0, 1, 2])
@pytest.mark.parametrize("type_", [Type.Q3_K, Type.Q5_K])
def test_estimated_damage_equals_the_output_error(scene, projection: int, type_: Type, monkeypatch) -> None:
    monkeypatch.setattr("edgemed.quant.sensitivity.PRIOR_TOKENS", 0)
    statistics, weights, x, share = scene
    expert = measure(statistics, 0, 0, *weights)
    changed = list(weights)
    changed[projection] = dequantize(quantize(weights[projection], type_), type_, 256)
    true = np.square(share[:, None] * (output(tuple(changed), x) - output(weights, x))).sum()
    predicted = expert.damage(projection, weights[projection], changed[projection])
    # The estimate is exact for down, which is linear; for gate and up it averages the slopes over tokens.
    assert predicted == pytest.approx(true, rel=1e-2 if projection == 2 else 0.25)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 24), st.integers(1, 40), st.floats(0.01, 30))
def test_error_measure(seed: int, rows: int, columns: int, tokens: int, factor: float) -> None:
    """It is zero without error, sees only what inputs see, grows with the square, and is a sum over rows and tokens."""
    rng = np.random.default_rng(seed)
    weights, error = rng.normal(size=(2, rows, columns))
    x = rng.normal(size=(tokens, columns))
    hessian = x.T @ x
    damage = row_damage(weights, weights + error, hessian)
    assert row_damage(weights, weights, hessian) == pytest.approx(0)
    assert damage == pytest.approx(np.square(x @ error.T).sum(axis=0))
    assert row_damage(weights, weights + factor * error, hessian) == pytest.approx(factor**2 * damage, rel=1e-6)
    assert row_damage(weights[:1], weights[:1] + error[:1], hessian) == pytest.approx(damage[:1])
    half = tokens // 2
    parts = [row_damage(weights, weights + error, part.T @ part) for part in (x[half:], x[:half])]
    assert parts[0] + parts[1] == pytest.approx(damage)


def test_rare_experts_use_their_layers_moments(scene) -> None:
    statistics, weights, _, _ = scene
    own, *_ = statistics.sample.of_expert(0, 3)
    assert len(own) < 100
    expert = measure(statistics, 0, 3, *weights)
    assert np.linalg.matrix_rank(expert.hessian[0]) == EMBD  # its own tokens alone would give less than 100
    assert expert.tokens > statistics.tokens[0, 0, 3]
    assert charged_tokens(statistics).sum() == pytest.approx(statistics.tokens.sum())
    assert (np.diff(charged_tokens(statistics)[0][np.argsort(statistics.tokens[0, 0])]) >= 0).all()


def test_layers_are_scaled_to_measured_effects() -> None:
    damage = np.random.default_rng(0).random((3, 5, 3, 4))
    predicted = damage[..., 1].sum(axis=(1, 2))
    effects = np.array([2.0, 1.0, 0.5])
    result = scaled(damage, predicted, effects)
    np.testing.assert_allclose(result[..., 1].sum(axis=(1, 2)), effects)
    factor = result / damage
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1, :1, :1], factor.shape))


def test_effects_within_noise_count_a_little() -> None:
    damage = np.ones((4, 2, 3, 2))
    result = scaled(damage, damage[..., 0].sum(axis=(1, 2)), np.array([1.0, 1.0, -0.1, 0.1]))
    assert result[2, 0, 0, 0] == pytest.approx(0.05 * result[0, 0, 0, 0])


def test_tokens_with_high_entropy_count_more() -> None:
    rng = np.random.default_rng(1)
    weights = tuple(rng.normal(0, 0.06, (FF, EMBD)).astype(np.float32) for _ in range(3))
    inputs = np.zeros((TOKENS, EMBD), np.float32)
    inputs[: TOKENS // 2, 0] = inputs[TOKENS // 2 :, 1] = 1  # only tokens with low entropy use the first column
    entropy = np.where(np.arange(TOKENS) < TOKENS // 2, 0.5, 1.5)
    statistics = Statistics.empty(["a"], [1], n_expert=EXPERTS, n_used=1, n_embd=EMBD, n_ff=FF, sample=TOKENS)
    zeros, ones = np.zeros((TOKENS, 1), np.int64), np.ones((TOKENS, 1), np.float32)
    statistics.observe_layer(0, 0, token_keys("x", TOKENS), inputs, zeros, ones, np.ones(TOKENS), entropy)
    h = measure(statistics, 0, 0, *weights).hessian[0]
    assert h[0, 0] == pytest.approx(h[1, 1] / 3, rel=1e-2)
