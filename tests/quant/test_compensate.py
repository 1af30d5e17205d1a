"""Error compensation writes valid blocks with less damage than ggml's rounding, never with more."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from edgemed.errors import PlanError
from edgemed.native.compensate import Codebook, Coupling, choose_codes
from edgemed.native.instructions import Instructions
from edgemed.quant import codecs, types
from edgemed.quant.compensate import Moments, compensate, row_damage
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.types import Type
from testing.processor import instructions_here, limited_to

# ggml needs half a minute to build search tables for IQ2_S; IQ3_S has the same kind of code.
CODED = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_XS, Type.IQ3_S]


def problem(columns: int, rows: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return Gaussian weights and the second moments of correlated inputs."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(columns, columns)) * rng.gamma(0.5, size=columns)
    inputs = rng.normal(size=(3 * columns, columns)) @ mixing / columns
    return rng.normal(0, 0.02, (rows, columns)).astype(np.float32), inputs.T @ inputs


def uncoupled(group: int) -> tuple[np.ndarray, ...]:
    """Return order, errors, solve and metric of a block whose columns are independent."""
    each = np.tile(np.eye(group, dtype=np.float32), (256 // group, 1, 1))
    return np.arange(0, 256, group, dtype=np.int32), np.eye(256, dtype=np.float32), each, each


def values_of(book: Codebook) -> np.ndarray:
    """Return all values that a group of weights can have at scale 1, [choices, group], in the order of their codes."""
    if book.group == 1:
        steps = np.arange(book.low, book.high + 1) if book.values is None else book.values
        return np.asarray(steps, np.float64)[:, None]
    signs = np.array(list(itertools.product((1, -1), repeat=book.group)))[:, ::-1]
    if book.even:
        signs[(signs < 0).sum(axis=1) % 2 == 1] = 0
    assert book.values is not None
    return (book.values.T[:, None] * signs).reshape(-1, book.group).astype(np.float64)


def plain_choice(
    book: Codebook, coupling: Coupling, scale: np.ndarray, offset: np.ndarray, goal: np.ndarray, pushed: np.ndarray
) -> np.ndarray:
    """Do what `choose_codes` documents, for one row and one group at a time over all choices; return the weights."""
    every, found = values_of(book), np.zeros(goal.shape)
    place = (coupling.order[:, None] + np.arange(book.group)).ravel()
    for row in range(len(goal)):
        asked, wanted = pushed[row, place].astype(np.float64), goal[row, place].astype(np.float64)
        for number, first in enumerate(coupling.order):
            at = slice(number * book.group, (number + 1) * book.group)
            wish = wanted[at] + asked[at] @ coupling.solve[number].astype(np.float64)
            away = scale[row, first] * every - offset[row, first] - wish
            best = np.einsum("ci,ij,cj->c", away, coupling.metric[number].astype(np.float64), away).argmin()
            found[row, first : first + book.group] = scale[row, first] * every[best] - offset[row, first]
            left = wanted[at] - found[row, first : first + book.group]
            asked[at.stop if coupling.later else 0 :] += left @ coupling.errors[at, at.stop if coupling.later else 0 :]
    return found


@pytest.fixture(params=[Instructions.NONE, *instructions_here()], ids=lambda which: which.name)
def on_each(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the test with the same loops compiled for each instruction set."""
    with limited_to(request.param):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("on_each")
@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("type_", [Type.Q2_K, Type.Q5_K, Type.IQ4_XS])
def test_native_code_matches_the_plain_loop(type_: Type, later: bool) -> None:
    codec = codecs.codec(type_)
    assert codec is not None
    weights, hessian = problem(256, rows=70)
    scale, offset = codec.scales(quantize(weights, type_))
    order = np.random.default_rng(2).permutation(256).astype(np.int32)
    metric = hessian[np.ix_(order, order)] / hessian.diagonal().mean() + np.eye(256) * 0.1
    errors = (np.linalg.cholesky(metric).T if later else metric).astype(np.float32)
    own = errors.diagonal()[:, None, None]
    coupling = Coupling(order, errors, 1 / own, own, later)
    pushed = np.random.default_rng(3).normal(0, 0.003, weights.shape).astype(np.float32)
    codes, values = choose_codes(codec.book, coupling, scale, offset, weights, pushed)
    expected = plain_choice(codec.book, coupling, scale, offset, weights, pushed)
    # A tie that rounding decides differently changes all later columns of its row, so rows agree as a whole or not.
    agree = np.isclose(values, expected, rtol=1e-5, atol=1e-8).all(axis=1)
    assert agree.mean() > 0.9
    assert np.array_equal(dequantize(codec.write(quantize(weights, type_), codes), type_, 256)[agree], values[agree])


@pytest.mark.slow
@pytest.mark.usefixtures("on_each")
@pytest.mark.parametrize("type_", [Type.IQ3_S, Type.IQ2_XXS])
def test_codebook_points_are_close_to_an_exhaustive_search(type_: Type) -> None:
    """Native code fixes the signs first, while an exhaustive search does not. The loss is small and bounded."""
    codec = codecs.codec(type_)
    assert codec is not None
    weights, hessian = problem(256, rows=3)
    scale, offset = codec.scales(quantize(weights, type_, np.ones(256)))
    order, errors, solve, _ = uncoupled(codec.book.group)
    square = (hessian / hessian.diagonal().mean() + np.eye(256)).reshape(len(order), codec.book.group, len(order), -1)
    metric = square[np.arange(len(order)), :, np.arange(len(order)), :].astype(np.float32)
    coupling = Coupling(order, errors, solve, metric, later=True)
    found = choose_codes(codec.book, coupling, scale, offset, weights, np.zeros_like(weights))[1]
    best = plain_choice(codec.book, coupling, scale, offset, weights, np.zeros_like(weights))
    lost = [
        np.einsum("rgi,gij,rgj->", e, metric, e)
        for e in ((v - weights).reshape(3, len(order), -1) for v in (found, best))
    ]
    assert lost[1] * (1 - 1e-6) <= lost[0] < 1.15 * lost[1]


@pytest.mark.parametrize("type_", [*CODED, Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S])
def test_written_codes_are_read_back(type_: Type) -> None:
    codec = codecs.codec(type_)
    assert codec is not None
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (5, types.row_bytes(type_, 256)), np.uint8)
    for at in {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q6_K: (208,)}.get(type_, (0, 2)):
        if type_ in (Type.Q2_K, Type.Q3_K, Type.Q6_K, Type.Q4_K, Type.Q5_K) or at == 0:
            blocks[:, at : at + 2] = np.array([0.01], np.float16).view(np.uint8)
    scale, offset = codec.scales(blocks)
    target = rng.normal(0, 0.3, (5, 256)).astype(np.float32)
    alone = Coupling(*uncoupled(codec.book.group), later=True)
    codes, values = choose_codes(codec.book, alone, scale, offset, target, np.zeros_like(target))
    written = codec.write(blocks, codes)
    np.testing.assert_allclose(dequantize(written, type_, 256), values, rtol=2e-6, atol=1e-9)
    assert all(np.array_equal(*pair) for pair in zip(codec.scales(written), (scale, offset), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("type_", CODED)
@pytest.mark.parametrize("columns", [256, 768])
def test_compensation_reduces_damage(type_: Type, columns: int) -> None:
    weights, hessian = problem(columns)
    plain = dequantize(quantize(weights, type_, np.diag(hessian)), type_, columns)
    better = dequantize(compensate(weights, type_, Moments(hessian)), type_, columns)
    before, after = (row_damage(weights, quantised, hessian) for quantised in (plain, better))
    assert after.sum() < 0.7 * before.sum()


def test_uncorrelated_inputs_gain_little() -> None:
    weights, _ = problem(256)
    plain, better = quantize(weights, Type.Q4_K, np.ones(256)), compensate(weights, Type.Q4_K, Moments(np.eye(256)))
    assert (plain == better).mean() > 0.99


def test_types_without_codec_and_empty_statistics_use_ggml_rounding() -> None:
    weights, hessian = problem(256)
    assert np.array_equal(
        compensate(weights, Type.Q8_0, Moments(hessian)), quantize(weights, Type.Q8_0, np.diag(hessian))
    )
    empty = np.zeros((256, 256))
    assert np.array_equal(compensate(weights, Type.Q4_K, Moments(empty)), quantize(weights, Type.Q4_K, np.zeros(256)))


def test_wrong_statistics_are_refused() -> None:
    weights, hessian = problem(256)
    with pytest.raises(PlanError, match="256 by 256"):
        compensate(weights, Type.Q4_K, Moments(hessian[:128, :128]))
    with pytest.raises(PlanError, match="finite"):
        Moments(hessian * np.nan)
