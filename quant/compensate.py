"""Error compensation: choosing codes under ggml's scales so that each corrects the error of those chosen before.

The damage of quantising a row w to q is (w - q) H (w - q)^T, with H the sum of s^2 x x^T over the inputs x of the
matrix and their routing weights s. ggml's own search uses only the diagonal of H. Here the weights of a block are
rounded one after another, most important first, and the error of each shifts the target of those still to come so that
the damage is least (LDLQ: Chee et al. 2023; the same as GPTQ, Frantar et al. 2022, without its inverse). Then every
code is chosen again with all others fixed (coordinate descent). Between blocks this takes matmuls; within a block
native code goes over the columns.

Why: docs/decisions.md#error-compensation.
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

# This fraction of H's mean diagonal is added to its diagonal, because the sample says little about directions that it
# hardly contains. Of 0.001, 0.01, 0.03 and 0.05 the middle ones are best on unseen text (docs/quantisation.md).
DAMPING = 0.03
REVISITS = 2


class Moments:
    """H [columns, columns] of the inputs of a matrix, with its factors. Matrices with the same inputs share an object.

    Raises PlanError if H is not square or not finite.
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
        """The importance of the columns as ggml's own quantisers take it."""
        return np.diag(self.hessian).astype(np.float64)

    @cached_property
    def damped(self) -> Floats:
        """H with DAMPING added."""
        result = self.hessian.astype(np.float32)
        result[np.diag_indices_from(result)] += np.float32(DAMPING * self.diagonal.mean())
        return result

    def order(self, first: int, group: int) -> NDArray[np.int32]:
        """The first column of every group, within the block that begins at `first`; the most important group first."""
        importance = self.diagonal[first : first + BLOCK].reshape(-1, group).sum(axis=1)
        return (np.argsort(-importance, kind="stable") * group).astype(np.int32)

    def factor(self, group: int) -> Floats:
        """R with R R^T = damped H, upper triangular if columns are in the order of rounding (here they are not).

        The damage is |(w - q) R|^2. Its term for a column depends only on that column and those rounded before.
        """
        if group not in self._factors:
            # Columns in the reverse order of rounding: Cholesky gives a lower triangle, seen from the last column.
            starts = [first + self.order(first, group) for first in range(0, self.columns, BLOCK)]
            place = np.ix_(*(((np.concatenate(starts)[:, None] + np.arange(group)).ravel()[::-1],) * 2))
            damped = self.damped[place].astype(np.float64)
            self._factors[group] = factor = np.zeros_like(self.damped)
            factor[place] = np.linalg.cholesky(damped)
        return self._factors[group]


def row_damage(weights: Floats, quantised: Floats, hessian: NDArray[np.floating]) -> Doubles:
    """(w - q) H (w - q)^T of every row, [rows]."""
    error = weights.astype(np.float64) - quantised
    damage: Doubles = np.einsum("rc,rc->r", error @ hessian, error)
    return damage


def compensate(weights: Floats, type_: Type, moments: Moments) -> NDArray[np.uint8]:
    """Blocks [rows, bytes] of weights [rows, columns], with codes chosen by the moments of their inputs.

    Types without a codec get ggml's rounding with H's diagonal as importance. Raises PlanError for moments of another
    size, and the errors of `quantize`.
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
    """The state of choosing codes for one matrix. A block here is 256 columns of all rows."""

    def __init__(self, weights: Floats, type_: Type, codec: codecs.Codec, moments: Moments) -> None:
        self.weights, self.type, self.codec, self.moments = weights, type_, codec, moments
        self.error = np.zeros_like(weights)  # weights minus their quantised values
        self.spans = [slice(first, first + BLOCK) for first in range(0, weights.shape[1], BLOCK)]
        self.under: list[
            tuple[NDArray[np.uint8], Floats, Floats]
        ] = []  # for each block: ggml's bytes, and scale and offset of every weight
        self.codes: list[NDArray[np.int32]] = []

    def blocks(self) -> NDArray[np.uint8]:
        """The blocks [rows, bytes] with the chosen codes."""
        parts = zip(self.under, self.codes, strict=True)
        return np.concatenate([self.codec.write(under[0], codes) for under, codes in parts], axis=1)

    def round(self) -> None:
        """Choose every code once, block after block.

        The least damaging target of column k is w_k + (errors before it times R[before, k]) / R[k, k]. ggml chooses a
        block's scales for its targets given the errors of the blocks before.
        """
        factor = self.moments.factor(self.codec.book.group)
        for span in self.spans:
            goal = self.weights[:, span]
            pushed = self.error[:, : span.start] @ factor[: span.start, span]
            within = factor[span, span]
            # Targets of the whole block, as if nothing within it were rounded yet.
            expected = goal + pushed @ np.linalg.inv(within)
            # Importance is damped too: ggml's search for IQ2_XXS fails where it differs by orders of magnitude.
            under = quantize(expected, self.type, np.diag(self.moments.damped)[span])
            self.under.append((under, *self.codec.scales(under)))
            codes, values = self._choose(len(self.codes), span, within, goal, pushed, first=True)
            self.codes.append(codes)
            self.error[:, span] = goal - values

    def revisit(self) -> None:
        """Choose every code again with all others fixed."""
        hessian = self.moments.damped
        for index, span in enumerate(self.spans):
            pushed = self.error @ hessian[:, span]  # half the gradient of the damage by the block's errors
            before = self.weights[:, span] - self.error[:, span]
            self.codes[index], values = self._choose(index, span, hessian[span, span], before, pushed, first=False)
            self.error[:, span] += before - values

    def _choose(
        self, index: int, span: slice, within: Floats, goal: Floats, pushed: Floats, *, first: bool
    ) -> tuple[NDArray[np.int32], Floats]:
        """Codes and quantised weights of one block. within: the block's part of R at first, of H when revisiting."""
        book = self.codec.book
        order = self.moments.order(span.start, book.group)
        place = (order[:, None] + np.arange(book.group)).ravel()  # the block's columns in the order of rounding
        errors = within[np.ix_(place, place)]
        square = errors.reshape(len(order), book.group, len(order), book.group)
        # own [groups, group, group]: the diagonal blocks; metric: the quadratic form of a group's own error.
        own = square[np.arange(len(order)), :, np.arange(len(order)), :].astype(np.float64)
        metric = own @ own.transpose(0, 2, 1) if first else own
        coupling = Coupling(order, errors, np.linalg.inv(own), metric, later=first)
        _, scale, offset = self.under[index]
        return choose_codes(book, coupling, scale, offset, goal, pushed)
