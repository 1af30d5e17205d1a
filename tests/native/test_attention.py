"""Attention against float64: masks, large scores, NaN, and independence of threads and of the rest of the batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.llama import start_llama
from edgemed.native.attention import Floats, Halves, attend
from testing.processor import AVX2, skip_without

ERROR = 3e-6  # of the largest value

start_llama()
skip_without(AVX2)
pytestmark = pytest.mark.usefixtures("instructions")


def right(q: Floats, k: Halves, v: Halves, mask: Halves | None, scale: float) -> NDArray[np.float64]:
    """Return [queries, heads, width]; a query that sees no key gets zeros."""
    shared_by = q.shape[1] // k.shape[1]
    out = np.zeros(q.shape)
    for token, head in np.ndindex(q.shape[:2]):
        added = np.zeros(len(k)) if mask is None else mask[token].astype(np.float64)
        seen = added > -np.inf
        if not seen.any():
            continue
        keys, values = (x[seen, head // shared_by].astype(np.float64) for x in (k, v))
        scores = scale * (keys @ q[token, head].astype(np.float64)) + added[seen]
        weights = np.exp(scores - scores.max())
        out[token, head] = weights @ values / weights.sum()
    return out


def scene(seed: int, asking: int, width: int, heads: int, shared_by: int, tokens: int) -> tuple[Floats, Halves, Halves]:
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((asking, heads * shared_by, width), np.float32)
    k, v = (rng.standard_normal((tokens, heads, width)).astype(np.float16) for _ in range(2))
    return q, k, v


def causal(asking: int, tokens: int) -> Halves:
    """Return the mask [asking, tokens] of queries that are the last `asking` of `tokens` tokens."""
    ahead = np.arange(tokens) > np.arange(tokens - asking, tokens)[:, None]
    return np.where(ahead, -np.inf, 0).astype(np.float16)


@pytest.mark.slow
@settings(max_examples=120)
@given(
    seed=st.integers(0, 1 << 30),
    asking=st.one_of(st.just(1), st.integers(2, 40)),
    width=st.sampled_from([64, 128]),
    heads=st.integers(1, 3),
    shared_by=st.integers(1, 9),
    tokens=st.integers(1, 400),
    visible=st.floats(0, 1),
    size=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_matches_float64(
    seed: int, asking: int, width: int, heads: int, shared_by: int, tokens: int, visible: float, size: float
) -> None:
    q, k, v = scene(seed, asking, width, heads, shared_by, tokens)
    rng = np.random.default_rng(seed + 1)
    shape = asking, tokens
    mask = np.where(rng.random(shape) <= visible, rng.integers(-3, 1, shape), -np.inf).astype(np.float16)
    scale = size / np.sqrt(width)
    for masked in (None, mask):
        found = attend(q, k, v, masked, scale)
        assert found is not None
        # Rounding a score changes its weight by the same relative error.
        assert np.abs(found - right(q, k, v, masked, scale)).max() <= ERROR * max(1.0, size) * 4


@pytest.mark.parametrize("asking", [1, 30])
def test_keys_masked_for_all_queries_are_never_read(asking: int) -> None:
    q, k, v = scene(1, asking, 128, 2, 4, 300)
    mask = np.zeros((asking, 300), np.float16)
    mask[:, 10:200] = -np.inf  # includes a whole piece
    expected = right(q, k, v, mask, 0.1)
    k[10:200], v[10:200] = np.nan, np.inf
    found = attend(q, k, v, mask, 0.1)
    assert found is not None
    assert np.abs(found - expected).max() < 1e-5
    assert (attend(q, k, v, np.full_like(mask, -np.inf), 0.1) == 0).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_nan_or_infinite_key_affects_only_queries_that_see_it(broken: float) -> None:
    q, k, v = scene(6, 30, 64, 1, 4, 200)
    expected = right(q, k, v, causal(30, 200), 0.1)
    k[190] = broken  # query 20 is the first to see it
    found = attend(q, k, v, causal(30, 200), 0.1)
    assert found is not None
    assert np.abs(found[:20] - expected[:20]).max() < 1e-5
    assert not np.isfinite(found[20:]).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["q", "k", "v"])
@pytest.mark.parametrize("asking", [1, 30])
def test_nan_and_infinity_propagate(asking: int, where: str, broken: float) -> None:
    """The engine stops at NaN or infinite logits, so attention must not turn them into plausible numbers."""
    q, k, v = scene(5, asking, 64, 1, 4, 200)
    q = np.abs(q)  # makes infinite scores +inf; -inf would only give a weight of 0
    {"q": q, "k": k, "v": v}[where][0, 0, 3] = broken
    found = attend(q, k, v, None, 0.1)
    assert found is not None
    assert not np.isfinite(found[0, 0]).any() if where != "v" else not np.isfinite(found[0, 0, 3])


@pytest.mark.parametrize("asking", [1, 30])
def test_nan_is_not_lost_behind_minus_infinity(asking: int) -> None:
    q, k, v = scene(7, asking, 64, 1, 4, 200)
    q = np.abs(q)
    k[:128:4] = -np.inf  # all visible scores of the first piece
    k[0] = np.nan
    mask = np.zeros((asking, 200), np.float16)
    mask[:, :128] = -np.inf
    mask[:, :128:4] = 0
    found = attend(q, k, v, mask, 0.1)
    assert found is not None
    assert np.isnan(found).all()


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("asking", [1, 50])
def test_threads_change_nothing(asking: int, threads: int) -> None:
    q, k, v = scene(2, asking, 128, 4, 8, 1000)
    assert np.array_equal(attend(q, k, v, None, 0.1, threads), attend(q, k, v, None, 0.1))  # type: ignore[arg-type]


@settings(max_examples=20)
@given(
    asking=st.integers(2, 60),
    behind=st.integers(0, 200),
    shared_by=st.sampled_from([1, 3, 8, 100]),
    cut=st.integers(1, 59),
)
def test_the_rest_of_the_batch_changes_nothing(asking: int, behind: int, shared_by: int, cut: int) -> None:
    """A token's result has the same bits in every batch of two or more tokens."""
    q, k, v = scene(4, asking, 64, 2, shared_by, asking + behind)
    mask = causal(asking, asking + behind)
    whole = attend(q, k, v, mask, 0.125, 2)
    assert whole is not None
    for part in (slice(0, cut), slice(cut, asking)):
        if len(q[part]) > 1:
            assert np.array_equal(attend(q[part], k, v, mask[part], 0.125), whole[part])  # type: ignore[arg-type]


def test_other_widths_are_left_to_ggml() -> None:
    q, k, v = scene(3, 1, 96, 1, 1, 4)
    assert attend(q, k, v, None, 1) is None
