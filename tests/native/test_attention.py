"""One token's attention against float64: what is masked, what is large, and that threads change nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.library import start_llama
from edgemed.native.attention import Floats, Halves, attend

ERROR = 3e-6  # of the largest value

start_llama()
if (
    attend(np.ones((1, 64), np.float32), np.ones((1, 1, 64), np.float16), np.ones((1, 1, 64), np.float16), None, 1)
    is None
):
    pytest.skip("this processor lacks AVX-512 VNNI: ggml attends", allow_module_level=True)


def right(q: Floats, k: Halves, v: Halves, mask: Halves | None, scale: float) -> NDArray[np.float64]:
    """[heads, width]; a token that sees nothing gets nothing."""
    heads, shared_by = len(q), len(q) // k.shape[1]
    out = np.zeros(q.shape)
    added = np.zeros(len(k)) if mask is None else mask.astype(np.float64)
    seen = added > -np.inf
    for head in range(heads if seen.any() else 0):
        keys, values = (x[seen, head // shared_by].astype(np.float64) for x in (k, v))
        scores = scale * (keys @ q[head].astype(np.float64)) + added[seen]
        weights = np.exp(scores - scores.max())
        out[head] = weights @ values / weights.sum()
    return out


def scene(seed: int, width: int, heads: int, shared_by: int, tokens: int) -> tuple[Floats, Halves, Halves]:
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((heads * shared_by, width), np.float32)
    k, v = (rng.standard_normal((tokens, heads, width)).astype(np.float16) for _ in range(2))
    return q, k, v


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 1 << 30),
    width=st.sampled_from([64, 128]),
    heads=st.integers(1, 3),
    shared_by=st.integers(1, 9),
    tokens=st.integers(1, 600),
    visible=st.floats(0, 1),
    size=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_matches_float64(
    seed: int, width: int, heads: int, shared_by: int, tokens: int, visible: float, size: float
) -> None:
    q, k, v = scene(seed, width, heads, shared_by, tokens)
    rng = np.random.default_rng(seed + 1)
    mask = np.where(rng.random(tokens) <= visible, rng.integers(-3, 1, tokens), -np.inf).astype(np.float16)
    scale = size / np.sqrt(width)
    for masked in (None, mask):
        found = attend(q, k, v, masked, scale)
        assert found is not None
        # A score's own rounding changes its weight by as much again.
        assert np.abs(found - right(q, k, v, masked, scale)).max() <= ERROR * max(1.0, size) * 4


def test_what_is_masked_is_never_looked_at() -> None:
    q, k, v = scene(1, 128, 2, 4, 300)
    mask = np.zeros(300, np.float16)
    mask[10:200] = -np.inf  # a whole piece among them
    expected = right(q, k, v, mask, 0.1)
    k[10:200], v[10:200] = np.nan, np.inf
    found = attend(q, k, v, mask, 0.1)
    assert found is not None
    assert np.abs(found - expected).max() < 1e-5
    assert (attend(q, k, v, np.full(300, -np.inf, np.float16), 0.1) == 0).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing(threads: int) -> None:
    q, k, v = scene(2, 128, 4, 8, 1000)
    assert np.array_equal(attend(q, k, v, None, 0.1, threads), attend(q, k, v, None, 0.1))  # type: ignore[arg-type]


def test_the_rest_is_left_to_ggml() -> None:
    q, k, v = scene(3, 96, 1, 1, 4)
    assert attend(q, k, v, None, 1) is None
