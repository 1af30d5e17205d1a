"""gemm for every type: against float64, against ggml's kernels, and with our own kernels switched off."""

import os
import subprocess
import sys

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.llama import start_llama
from edgemed.ggml import ggml
from edgemed.native.matmul import gemm
from testing.activations import round_activations
from testing.ggml_matmul import CODEBOOKS, K_QUANTS, GgmlMatmul, random_weights
from testing.processor import AVX2, skip_without

TYPES = [Type[name] for name in (*K_QUANTS, *CODEBOOKS)]
TILED_FROM = 8  # ggml uses its tiled kernels from this number of rows
COLUMNS = 768
DOUBTFUL = 4e-5  # activations closer than this to the middle between two codes (in codes) may get either code
ERROR = 3e-6  # relative to the sum of magnitudes; only the order of float additions differs

start_llama()
skip_without(AVX2)
pytestmark = pytest.mark.usefixtures("instructions")


def activations(count: int, columns: int = COLUMNS, seed: int = 1) -> NDArray[np.float32]:
    """Return [count, columns] of very different sizes, including one block of zeros."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, columns)) * np.exp(rng.uniform(-6, 6, (count, 1)))
    x[0, :256] = 0
    return np.asarray(x, np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_row_count_matches_float64(kind: Type) -> None:
    weights = random_weights(kind, 48, COLUMNS)
    values = ggml().dequantise(kind, weights, COLUMNS).astype(np.float64).reshape(48, COLUMNS)
    for count in (*range(1, 41), 513):
        x = activations(count, seed=count)
        rounded, margin = round_activations(x.astype(np.float64), kind.name)
        clear = margin > DOUBTFUL  # [count]
        y = gemm(kind, weights, x)
        assert y is not None
        size = np.abs(rounded) @ np.abs(values).T
        assert clear.sum() >= count // 2
        assert (np.abs(y - rounded @ values.T) <= ERROR * size)[clear].all()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_equals_ggml_bit_for_bit(kind: Type) -> None:
    """From eight rows on ggml has tiled kernels, and ours round like them; otherwise equal to float32 noise."""
    weights = random_weights(kind, 32, COLUMNS, seed=3)
    for count in (1, 2, TILED_FROM - 1, TILED_FROM, 13, 40, 130):
        x = activations(count)
        y = gemm(kind, weights, x)
        with GgmlMatmul(kind, [weights], x) as graph:
            graph.compute(1)
            theirs = graph.result()
        assert y is not None
        if count >= TILED_FROM and kind is not Type.Q8_0:
            assert np.array_equal(y, theirs)
        else:
            assert np.abs(y - theirs).max() <= 1e-5 * np.abs(theirs).max()


@settings(max_examples=40)
@given(st.sampled_from(TYPES), st.integers(1, 60), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_a_row_depends_only_on_itself(kind: Type, count: int, blocks: int, panels: int, threads: int) -> None:
    weights = random_weights(kind, 16 * panels, 256 * blocks)
    x = activations(count, 256 * blocks)
    together = gemm(kind, weights, x, threads)
    assert together is not None
    row = count // 2
    alone = gemm(kind, weights[:16], x[row : row + 1])
    assert alone is not None
    assert np.array_equal(alone[0], together[row, :16])


@pytest.mark.parametrize(("kind", "rows", "columns"), [(Type.F16, 16, 256), (Type.Q8_0, 16, 288), (Type.Q4_K, 24, 256)])
def test_other_types_and_sizes_are_left_to_ggml(kind: Type, rows: int, columns: int) -> None:
    assert gemm(kind, random_weights(kind, rows, columns), activations(3, columns)) is None


SWITCHED_OFF = """
import numpy as np
from gguf import GGMLQuantizationType as Type
from testing.ggml_matmul import random_weights
from edgemed.engine.llama import start_llama
from edgemed.native.matmul import gemm, gemv

start_llama()
weights = random_weights(Type.Q4_K, 16, 256)
assert gemm(Type.Q4_K, weights, np.ones((9, 256), np.float32)) is None
assert gemv(Type.Q4_K, weights, np.ones(256, np.float32)) is None
"""


@pytest.mark.slow
def test_our_kernels_can_be_switched_off() -> None:
    environment = os.environ | {"EDGEMED_KERNELS": "ggml"}
    subprocess.run([sys.executable, "-c", SWITCHED_OFF], env=environment, check=True, timeout=60)
