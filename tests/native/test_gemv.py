"""gemv for every type it has: against float64, against ggml, and at the ends of the codes' ranges."""

from collections.abc import Iterator

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.llama import start_llama
from edgemed.ggml import ggml
from edgemed.native.instructions import Instructions
from edgemed.native.matmul import gemv
from testing.activations import round_activations
from testing.ggml_matmul import GgmlMatmul, random_weights
from testing.processor import AVX2, gemv_types, instructions_here, limited_to, skip_without

BOOKS = (Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S, Type.IQ3_XXS, Type.IQ3_S, Type.IQ4_XS)
ERROR = 2e-6  # relative to the sum of magnitudes: the order of float additions
DOUBTFUL = 4e-5

start_llama()
skip_without(AVX2)


CASES = [(which, kind) for which in instructions_here() for kind in gemv_types(which)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1].name}")
def kind(request: pytest.FixtureRequest) -> Iterator[Type]:
    """Every type that gemv has on each instruction set of this processor; the test runs on that instruction set."""
    which, kind = request.param
    with limited_to(which):
        yield kind


def rounded_row(columns: int, kind: Type, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return activations of very different sizes with unambiguous codes, some blocks zero, and their rounded values."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.standard_normal(columns) * np.repeat(np.exp(rng.uniform(-6, 6, columns // 256)), 256)
        x[rng.integers(columns // 256) * 256 :][:256] *= rng.integers(2)
        x = x.astype(np.float32)
        rounded, margin = round_activations(x[None].astype(np.float64), kind.name)
        if margin[0] > DOUBTFUL:
            return x, rounded[0]


@pytest.mark.slow
@settings(max_examples=200)
@given(st.sampled_from(CASES), st.integers(1, 9), st.integers(1, 6), st.integers(0, 1 << 30))
def test_matches_float64(case: tuple[Instructions, Type], rows: int, blocks: int, seed: int) -> None:
    which, kind = case
    columns = 256 * blocks
    weights = random_weights(kind, rows, columns, seed)
    values = ggml().dequantise(kind, weights, columns).astype(np.float64).reshape(rows, columns)
    x, rounded = rounded_row(columns, kind, seed)
    with limited_to(which):
        y = gemv(kind, weights, x)
    assert y is not None
    # Minima are subtracted from dot products: the error is relative to both, not to their difference.
    size = np.abs(values) @ np.abs(rounded) + 64 * 0.02 * np.abs(rounded).sum()
    assert (np.abs(y - values @ rounded) <= ERROR * size).all()


@pytest.mark.parametrize("byte", [0x00, 0x55, 0xAA, 0xFF])
def test_no_sum_of_codes_overflows(kind: Type, byte: int) -> None:
    """Every code, scale and minimum at an end of its range, every activation -127 or 127."""
    weights = random_weights(kind, 4, 1024)
    scales = weights.copy()
    weights[:] = byte
    for at in {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,)}.get(kind.name, (0,) if kind in BOOKS else (0, 2)):
        for block in range(4):
            start = block * weights.shape[1] // 4 + at
            weights[:, start : start + 2] = scales[:, start : start + 2]
    values = ggml().dequantise(kind, weights, 1024).astype(np.float64).reshape(4, 1024)
    for x in (np.full(1024, 127, np.float32), np.full(1024, -127, np.float32), np.resize([127, -127], 1024)):
        y = gemv(kind, weights, x.astype(np.float32))
        assert y is not None
        size = np.abs(values).sum(axis=1) * 127 + 64 * 0.02 * 127 * 1024
        assert (np.abs(y - values @ x) <= ERROR * size).all()


def test_a_row_of_weights_gives_the_same_bits_at_any_position(kind: Type) -> None:
    weights = random_weights(kind, 23, 768)
    x, _ = rounded_row(768, kind, 3)
    together = gemv(kind, weights, x)
    assert together is not None
    for row in range(23):
        alone = gemv(kind, weights[row : row + 1], x)
        assert alone is not None
        assert alone[0] == together[row]


@pytest.mark.parametrize("blocks", [1, 3, 4, 16])
def test_equals_ggml_bit_for_bit(kind: Type, blocks: int) -> None:
    weights = random_weights(kind, 65, 256 * blocks)
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((1, 256 * blocks), np.float32)
        with GgmlMatmul(kind, [weights], x) as graph:
            graph.compute(1)
            theirs = graph.result()[0]
        assert np.array_equal(gemv(kind, weights, x[0]), theirs)  # type: ignore[arg-type]


def test_other_types_and_sizes_are_left_to_ggml(instructions: Instructions) -> None:
    weights = np.zeros((4, 1024), np.uint8)
    for kind in Type:
        ours = kind in gemv_types(instructions)
        assert (gemv(kind, weights, np.ones(256, np.float32)) is not None) == ours
    assert gemv(Type.Q3_K, weights, np.ones(288, np.float32)) is None
