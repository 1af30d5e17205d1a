"""Every instruction set gives the same bits."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.llama import start_llama
from edgemed.ggml import ggml
from edgemed.native.attention import attend
from edgemed.native.matmul import gemm, gemv
from testing.ggml_matmul import CODEBOOKS, HALVES_AT, K_QUANTS, random_weights
from testing.processor import AVX2, GEMV_BY_AVX2, instructions_here, limited_to, skip_without

pytestmark = pytest.mark.slow

ODD = st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 1e38, 1e-40]), max_size=3)
TYPES = [*K_QUANTS, *CODEBOOKS]

start_llama()
skip_without(AVX2)


def bits_on_each(compute: Callable[[], NDArray[np.float32] | None]) -> list[bytes]:
    """Return the result's bytes for each instruction set of this processor.

    All NaNs count as equal: which of two NaNs an operation returns is the compiler's choice.
    """
    answers = []
    for which in instructions_here():
        with limited_to(which):
            answer = compute()
        assert answer is not None
        answers.append(np.where(np.isnan(answer), np.float32(np.nan), answer).tobytes())
    return answers


@settings(max_examples=150)
@given(
    seed=st.integers(0, 1 << 30),
    asking=st.one_of(st.just(1), st.integers(2, 40)),
    width=st.sampled_from([64, 128]),
    shared_by=st.integers(1, 9),
    tokens=st.integers(1, 400),
    visible=st.floats(0, 1),
    size=st.sampled_from([1e-6, 1.0, 30.0, 1e3]),  # at 30, some weights are subnormal
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


@settings(max_examples=150)
@given(
    st.sampled_from((*K_QUANTS, *CODEBOOKS)),
    st.integers(1, 40),
    st.integers(1, 4),
    st.booleans(),
    ODD,
    st.integers(0, 1 << 30),
)
def test_gemm(name: str, count: int, blocks: int, at_the_ends: bool, odd: list[float], seed: int) -> None:
    """Any weights; with `at_the_ends`, all activation codes are -127 or 127."""
    rng = np.random.default_rng(seed)
    weights = random_weights(Type[name], 32, 256 * blocks, seed)
    x = rng.standard_normal((count, 256 * blocks), np.float32)
    if at_the_ends:
        x = np.sign(x)
    for value in odd:
        x.flat[rng.integers(x.size)] = value
    first, *others = bits_on_each(partial(gemm, Type[name], weights, x))
    assert all(other == first for other in others)


@settings(max_examples=150)
@given(
    st.sampled_from(GEMV_BY_AVX2),
    st.integers(1, 9),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(0, 255)),
    st.booleans(),
    ODD,
    st.integers(0, 1 << 30),
)
def test_gemv(
    kind: Type, rows: int, blocks: int, byte: int | None, at_the_ends: bool, odd: list[float], seed: int
) -> None:
    """The same for a single row; with `byte`, all bytes of the weights have that value, scales included."""
    rng = np.random.default_rng(seed)
    weights = random_weights(kind, rows, 256 * blocks, seed)
    if byte is not None:
        weights[:] = byte
    x = rng.standard_normal(256 * blocks).astype(np.float32)
    if at_the_ends:
        x = np.sign(x)
    for value in odd:
        x[rng.integers(x.size)] = value
    first, *others = bits_on_each(partial(gemv, kind, weights, x))
    assert all(other == first for other in others)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("byte", [0x00, 0x55, 0x7F, 0x80, 0xAA, 0xFF])
def test_no_sum_of_codes_overflows(name: str, byte: int) -> None:
    """With every code and scale at an end of its range, 16-bit sums must not overflow."""
    weights = random_weights(Type[name], 16, 1024)
    scales = weights.copy()
    weights[:] = byte
    block = weights.shape[1] // (1024 // GGML_QUANT_SIZES[Type[name]][0])
    for at in HALVES_AT.get(name, (0,)):
        for start in range(at, weights.shape[1], block):
            weights[:, start : start + 2] = scales[:, start : start + 2]
    for x in (np.full(1024, 127, np.float32), np.full(1024, -127, np.float32), np.resize([127, -127], 1024)):
        first, *others = bits_on_each(partial(gemm, Type[name], weights, np.tile(x.astype(np.float32), (3, 1))))
        assert all(other == first for other in others)
        if name != "IQ1_M":
            values = ggml().dequantise(Type[name], weights, 1024).astype(np.float64).reshape(16, 1024)
            size = np.abs(values).sum(axis=1) * 127 + 64 * 0.02 * 127 * 1024
            assert (np.abs(np.frombuffer(first, np.float32).reshape(3, 16) - values @ x) <= 3e-6 * size).all()
