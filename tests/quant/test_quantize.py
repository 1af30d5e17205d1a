"""Quantising with ggml: errors have the expected size, importance has an effect, hostile input is refused."""

import numpy as np
import pytest

from edgemed.errors import CheckpointError, PlanError
from edgemed.quant import types
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.types import Type


def weights(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, (rows, columns)).astype(np.float32)


def relative_error(array: np.ndarray, type_: Type, importance: np.ndarray | None = None) -> float:
    back = dequantize(quantize(array, type_, importance), type_, array.shape[1])
    return float(np.linalg.norm(back - array) / np.linalg.norm(array))


# ggml takes many seconds to build its search tables for the other IQ types.
QUICK = [t for t in types.ALLOWED if t not in (Type.IQ1_S, Type.IQ1_M, Type.IQ2_XS, Type.IQ2_S)]


@pytest.mark.parametrize("type_", QUICK)
def test_error_has_the_expected_size(type_: Type) -> None:
    array = weights(3, 512)
    blocks = quantize(array, type_)
    assert blocks.dtype == np.uint8
    assert blocks.shape == (3, types.row_bytes(type_, 512))
    # Gaussian weights at b bits have an error of about 2^-b of their size. Half of F16 and BF16 is exponent.
    precision = {Type.F16: 12.0, Type.BF16: 9.0}.get(type_, float(types.bits_per_weight(type_)))
    assert relative_error(array, type_) < 2.2 * 2.0**-precision


def test_more_bits_of_the_fast_palette_mean_less_error() -> None:
    array = weights(16, 1024)
    errors = [relative_error(array, type_) for type_ in types.FAST]
    assert errors == sorted(errors, reverse=True)
    assert len(set(errors)) == len(errors)


@pytest.mark.parametrize("type_", [Type.Q2_K, Type.Q4_K, Type.IQ3_S])
def test_importance_gives_precision_to_its_columns(type_: Type) -> None:
    array, importance = weights(32, 256), np.ones(256)
    importance[::16] = 1000.0
    plain, weighted = (dequantize(quantize(array, type_, use), type_, 256) for use in (None, importance))
    important = slice(None, None, 16)
    assert np.square(weighted - array)[:, important].sum() < 0.8 * np.square(plain - array)[:, important].sum()


def test_importance_may_be_scaled_and_contain_zeros() -> None:
    array, importance = weights(8, 256), np.random.default_rng(1).random(256)
    importance[:128] = 0
    for type_ in (Type.Q3_K, Type.IQ2_XXS, Type.IQ3_S):
        assert np.array_equal(quantize(array, type_, importance), quantize(array, type_, 4096.0 * importance))
    assert np.array_equal(quantize(array, Type.IQ2_XXS, np.zeros(256)), quantize(array, Type.IQ2_XXS))


def test_bytes_do_not_depend_on_the_split_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    array = weights(37, 256)
    whole = quantize(array, Type.Q4_K)
    monkeypatch.setattr("edgemed.quant.quantize.TASK_WEIGHTS", 512)
    assert np.array_equal(quantize(array, Type.Q4_K), whole)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinite_weights_are_refused(bad: float) -> None:
    array = weights(2, 256)
    array[1, 7] = bad
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        quantize(array, Type.Q4_K)


@pytest.mark.parametrize("importance", [np.ones(255), -np.ones(256), np.full(256, np.nan)])
def test_unusable_importance_is_refused(importance: np.ndarray) -> None:
    with pytest.raises(PlanError, match="256 finite values"):
        quantize(weights(1, 256), Type.Q4_K, importance)


def test_incomplete_block_is_refused() -> None:
    with pytest.raises(PlanError, match="do not divide"):
        quantize(weights(1, 250), Type.Q4_K)
