"""Error compensation: real blocks, less damage than ggml's rounding, and never more."""

import numpy as np
import pytest

from edgemed.errors import PlanError
from edgemed.quant import codecs, types
from edgemed.quant.compensate import compensate, row_damage
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.types import Type

# ggml needs half a minute of search tables for IQ2_S; IQ3_S is the same kind of code.
CODED = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_XS, Type.IQ3_S]


def problem(columns: int, rows: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian weights, and the second moments of correlated inputs."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(columns, columns)) * rng.gamma(0.5, size=columns)
    inputs = rng.normal(size=(3 * columns, columns)) @ mixing / columns
    return rng.normal(0, 0.02, (rows, columns)).astype(np.float32), inputs.T @ inputs


@pytest.mark.parametrize("type_", [*CODED, Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S])
def test_codes_written_are_codes_read(type_: Type) -> None:
    codec = codecs.codec(type_)
    assert codec is not None
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (5, types.row_bytes(type_, 256)), np.uint8)
    for at in {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q6_K: (208,)}.get(type_, (0, 2)):
        if type_ in (Type.Q2_K, Type.Q3_K, Type.Q6_K, Type.Q4_K, Type.Q5_K) or at == 0:
            blocks[:, at : at + 2] = np.array([0.01], np.float16).view(np.uint8)
    scale, offset = codec.scales(blocks)
    target = rng.normal(0, 0.3, (5, 256)).astype(np.float32)
    chosen = [
        codec.nearest(target[:, at : at + codec.group], scale[:, at], offset[:, at], np.eye(codec.group, dtype="f4"))
        for at in range(0, 256, codec.group)
    ]
    written = codec.write(blocks, np.stack([codes for codes, _ in chosen], axis=1))
    np.testing.assert_allclose(
        dequantize(written, type_, 256), np.concatenate([values for _, values in chosen], axis=1), rtol=2e-6, atol=1e-9
    )
    assert all(np.array_equal(*pair) for pair in zip(codec.scales(written), (scale, offset), strict=True))


@pytest.mark.parametrize("type_", CODED)
@pytest.mark.parametrize("columns", [256, 768])
def test_damage_falls(type_: Type, columns: int) -> None:
    weights, hessian = problem(columns)
    plain = dequantize(quantize(weights, type_, np.diag(hessian)), type_, columns)
    better = dequantize(compensate(weights, type_, hessian), type_, columns)
    before, after = (row_damage(weights, quantised, hessian) for quantised in (plain, better))
    assert after.sum() < 0.7 * before.sum()


def test_no_row_gets_worse_under_the_damped_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemed.quant.compensate.DAMPING", 1e-6)
    weights, hessian = problem(256, rows=200, seed=3)
    plain = dequantize(quantize(weights, Type.Q6_K, np.diag(hessian)), Type.Q6_K, 256)
    better = dequantize(compensate(weights, Type.Q6_K, hessian), Type.Q6_K, 256)
    damped = hessian + np.eye(256) * 1e-6 * np.diag(hessian).mean()
    assert (row_damage(weights, better, damped) <= row_damage(weights, plain, damped) * (1 + 1e-9)).all()


def test_uncorrelated_inputs_leave_ggml_little_to_gain_from() -> None:
    weights, _ = problem(256)
    plain, better = quantize(weights, Type.Q4_K, np.ones(256)), compensate(weights, Type.Q4_K, np.eye(256))
    assert (plain == better).mean() > 0.99


def test_types_without_codec_and_empty_statistics_get_ggmls_rounding() -> None:
    weights, hessian = problem(256)
    assert np.array_equal(compensate(weights, Type.Q8_0, hessian), quantize(weights, Type.Q8_0, np.diag(hessian)))
    empty = np.zeros((256, 256))
    assert np.array_equal(compensate(weights, Type.Q4_K, empty), quantize(weights, Type.Q4_K, np.zeros(256)))


def test_wrong_statistics_are_refused() -> None:
    weights, hessian = problem(256)
    with pytest.raises(PlanError, match="256 by 256"):
        compensate(weights, Type.Q4_K, hessian[:128, :128])
    with pytest.raises(PlanError, match="finite"):
        compensate(weights, Type.Q4_K, hessian * np.nan)
