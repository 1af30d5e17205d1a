"""Better codes under ggml's scales: what rounding one weight breaks, the weights not yet rounded make up for.

The damage of quantising a row w to q is (w - q) H (w - q)^T, with H the sum of share^2 x x^T over the inputs x that the
matrix sees. ggml's own search knows H's diagonal only. Here the weights of a block are rounded in turn, most important
first, and what each leaves behind moves the goal of those still to come so that the damage is least (LDLQ: Chee et al.
2023; the same as GPTQ, Frantar et al. 2022, without its inverse). Then every code is revisited with all others fixed
(coordinate descent). From block to block it is matrix products; within a block native code runs over the columns.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.arrays import Doubles, Floats
from edgemed.errors import PlanError
from edgemed.native.compensate import BLOCK, Coupling, choose_codes
from edgemed.quant import codecs
from edgemed.quant.quantize import quantize

# Share of H's mean diagonal that is added to it: a sample must not be believed in directions it hardly saw. Of 0.001,
# 0.01, 0.03 and 0.05 the middle ones are best on unseen text (docs/quantisation.md).
DAMPING = 0.03
REVISITS = 2


class Moments:
    """H [columns, columns] of the inputs that a matrix sees. Matrices with the same inputs share one, and its factor.

    Raises PlanError for values that are not finite.
    """

    def __init__(self, hessian: NDArray[np.floating]) -> None:
        if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1] or not np.isfinite(hessian).all():
            raise PlanError(f"The statistics of inputs must be a square of finite values, not {hessian.shape}.")
        self.hessian = hessian
        self._factors: dict[int, Floats] = {}

    @property
    def columns(self) -> int:
        return len(self.hessian)

    @cached_property
    def diagonal(self) -> Doubles:
        """What ggml's own quantisers take for the columns' importance."""
        return np.diag(self.hessian).astype(np.float64)

    @cached_property
    def damped(self) -> Floats:
        result = self.hessian.astype(np.float32)
        result[np.diag_indices_from(result)] += np.float32(DAMPING * self.diagonal.mean())
        return result

    def order(self, first: int, group: int) -> NDArray[np.int32]:
        """The first column (within the block that begins at `first`) of every group, most important group first."""
        importance = self.diagonal[first : first + BLOCK].reshape(-1, group).sum(axis=1)
        return (np.argsort(-importance, kind="stable") * group).astype(np.int32)

    def factor(self, group: int) -> Floats:
        """R with R R^T = damped H, upper triangular once columns are in the order of rounding (here they are not).

        The least damage that later choices can still reach is |(w - q) R|^2 column by column.
        """
        if group not in self._factors:
            starts = [first + self.order(first, group) for first in range(0, self.columns, BLOCK)]
            place = np.ix_(*(((np.concatenate(starts)[:, None] + np.arange(group)).ravel()[::-1],) * 2))
            damped = self.damped[place].astype(np.float64)
            self._factors[group] = factor = np.zeros_like(self.damped)
            factor[place] = np.linalg.cholesky(damped)  # seen from the last column
        return self._factors[group]


def row_damage(weights: Floats, quantised: Floats, hessian: NDArray[np.floating]) -> Doubles:
    """(w - q) H (w - q)^T of every row, [rows]."""
    error = weights.astype(np.float64) - quantised
    damage: Doubles = np.einsum("rc,rc->r", error @ hessian, error)
    return damage


def compensate(weights: Floats, type_: Type, moments: Moments) -> NDArray[np.uint8]:
    """Blocks [rows, bytes] of weights [rows, columns] under the moments of their inputs.

    Types without a codec get ggml's rounding with H's diagonal as importance. Raises PlanError for moments of another
    size, and as `quantize` does.
    """
    columns = weights.shape[1]
    if moments.columns != columns:
        raise PlanError(f"The statistics of a matrix with {columns} columns must be {columns} by {columns} values.")
    codec = codecs.codec(type_)
    if codec is None or not moments.diagonal.any() or columns % BLOCK:
        return quantize(weights, type_, moments.diagonal)
    matrix = _Matrix(weights, type_, codec, moments)
    matrix.round()
    for _ in range(REVISITS):
        matrix.revisit()
    return matrix.blocks()


class _Matrix:
    """One matrix on its way from weights to codes. A block is 256 columns of all rows."""

    def __init__(self, weights: Floats, type_: Type, codec: codecs.Codec, moments: Moments) -> None:
        self.weights, self.type, self.codec, self.moments = weights, type_, codec, moments
        self.error = np.zeros_like(weights)  # weights less what they became
        self.spans = [slice(first, first + BLOCK) for first in range(0, weights.shape[1], BLOCK)]
        self.under: list[tuple[NDArray[np.uint8], Floats, Floats]] = []  # of each block: ggml's bytes, scale, offset
        self.codes: list[NDArray[np.int32]] = []

    def blocks(self) -> NDArray[np.uint8]:
        """The blocks [rows, bytes] with the codes found."""
        parts = zip(self.under, self.codes, strict=True)
        return np.concatenate([self.codec.write(under[0], codes) for under, codes in parts], axis=1)

    def round(self) -> None:
        """Choose every code once. Blocks get ggml's scales for what is asked of them once earlier ones are rounded.

        Column k is best rounded from w_k + (errors before it times R[before, k]) / R[k, k].
        """
        factor = self.moments.factor(self.codec.book.group)
        for span in self.spans:
            goal = self.weights[:, span]
            pushed = self.error[:, : span.start] @ factor[: span.start, span]
            within = factor[span, span]
            expected = goal + pushed @ np.linalg.inv(within)
            # Damped too: ggml's search for IQ2_XXS goes astray where importances differ by orders of magnitude.
            under = quantize(expected, self.type, np.diag(self.moments.damped)[span])
            self.under.append((under, *self.codec.scales(under)))
            codes, values = self._choose(len(self.codes), span, within, goal, pushed, first=True)
            self.codes.append(codes)
            self.error[:, span] = goal - values

    def revisit(self) -> None:
        """Choose every code again, with all others as they are."""
        hessian = self.moments.damped
        for index, span in enumerate(self.spans):
            pushed = self.error @ hessian[:, span]
            before = self.weights[:, span] - self.error[:, span]
            self.codes[index], values = self._choose(index, span, hessian[span, span], before, pushed, first=False)
            self.error[:, span] += before - values

    def _choose(
        self, index: int, span: slice, within: Floats, goal: Floats, pushed: Floats, *, first: bool
    ) -> tuple[NDArray[np.int32], Floats]:
        """Codes and weights of one block; within: R's part while rounding first, H's when revisiting."""
        book = self.codec.book
        order = self.moments.order(span.start, book.group)
        place = (order[:, None] + np.arange(book.group)).ravel()
        errors = within[np.ix_(place, place)]
        square = errors.reshape(len(order), book.group, len(order), book.group)
        own = square[np.arange(len(order)), :, np.arange(len(order)), :].astype(np.float64)
        metric = own @ own.transpose(0, 2, 1) if first else own
        coupling = Coupling(order, errors, np.linalg.inv(own), metric, later=first)
        _, scale, offset = self.under[index]
        return choose_codes(book, coupling, scale, offset, goal, pushed)
