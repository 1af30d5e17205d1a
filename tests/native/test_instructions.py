"""Whichever of the processor's instructions our kernels use, results are the same bits."""

from collections.abc import Callable
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.library import start_llama
from edgemed.native.attention import attend
from tests.support.processor import AVX2, instructions_here, limited_to, skip_without

start_llama()
skip_without(AVX2)


def bits_on_each(compute: Callable[[], NDArray[np.float32] | None]) -> list[bytes]:
    """Of all instructions that the processor has. What is no number may be any of those that are none: which of two is
    passed on is the compiler's choice."""
    answers = []
    for which in instructions_here():
        with limited_to(which):
            answer = compute()
        assert answer is not None
        answers.append(np.where(np.isnan(answer), np.float32(np.nan), answer).tobytes())
    return answers


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 1 << 30),
    asking=st.one_of(st.just(1), st.integers(2, 40)),
    width=st.sampled_from([64, 128]),
    shared_by=st.integers(1, 9),
    tokens=st.integers(1, 400),
    visible=st.floats(0, 1),
    size=st.sampled_from([1e-6, 1.0, 30.0, 1e3]),  # at 30, some weights are less than a normal number
    broken=st.lists(
        st.tuples(st.sampled_from("qkvm"), st.sampled_from([np.nan, np.inf, -np.inf, 6e-8, 65504])), max_size=3
    ),
)
def test_attention(
    seed: int,
    asking: int,
    width: int,
    shared_by: int,
    tokens: int,
    visible: float,
    size: float,
    broken: list[tuple[str, float]],
) -> None:
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((asking, 2 * shared_by, width), np.float32)
    k, v = (rng.standard_normal((tokens, 2, width)).astype(np.float16) for _ in range(2))
    shape = asking, tokens
    mask = np.where(rng.random(shape) <= visible, rng.integers(-3, 1, shape), -np.inf).astype(np.float16)
    for where, value in broken:
        array = {"q": q, "k": k, "v": v, "m": mask}[where]
        array.flat[rng.integers(array.size)] = value
    for masked in (None, mask):
        first, *others = bits_on_each(partial(attend, q, k, v, masked, size / np.sqrt(width)))
        assert all(other == first for other in others)
