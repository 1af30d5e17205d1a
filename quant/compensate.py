"""Better codes under ggml's scales: what rounding one weight breaks, the weights not yet rounded make up for.

The damage of quantising a row w to q is (w - q) H (w - q)^T, with H the sum of share^2 x x^T over the inputs x that the
matrix sees. ggml's own search knows H's diagonal only. Here the weights of a block are rounded in turn, most important
first, and what each leaves behind is spread over the rest so that the damage is least (Optimal Brain Surgeon, in the
form GPTQ gave it: Frantar et al. 2022). Then every code is revisited with all others fixed (coordinate descent). Rows
for which that is no better than ggml's own rounding keep ggml's.
"""

from __future__ import annotations

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.errors import PlanError
from edgemed.quant import codecs
from edgemed.quant.quantize import dequantize, quantize

Floats = NDArray[np.float32]
# Share of H's mean diagonal that is added to it: a sample must not be believed in directions it hardly saw. Of 0.001,
# 0.01, 0.03 and 0.05 the middle ones are best on unseen text (docs/quantisation.md).
DAMPING = 0.03
REVISITS = 1


def row_damage(weights: Floats, quantised: Floats, hessian: NDArray[np.floating]) -> NDArray[np.float64]:
    """(w - q) H (w - q)^T of every row, [rows]."""
    error = weights.astype(np.float64) - quantised
    damage: NDArray[np.float64] = np.einsum("rc,rc->r", error @ hessian, error)
    return damage


def compensate(weights: Floats, type_: Type, hessian: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Blocks [rows, bytes] of weights [rows, columns] under the symmetric hessian [columns, columns].

    Types without a codec, and rows that gain nothing, get ggml's rounding with the hessian's diagonal as importance.
    Raises PlanError for a hessian of another size or with values that are not finite, and as `quantize` does.
    """
    columns = weights.shape[1]
    if hessian.shape != (columns, columns) or not np.isfinite(hessian).all():
        raise PlanError(
            f"The statistics of a matrix with {columns} columns must be {columns} by {columns} finite values."
        )
    plain = quantize(weights, type_, np.diag(hessian))
    codec = codecs.codec(type_)
    if codec is None or not np.diag(hessian).any() or columns % codecs.WEIGHTS:
        return plain
    damped = np.asarray(hessian, np.float64) + np.eye(columns) * DAMPING * np.diag(hessian).mean()
    matrix = _Matrix(weights, type_, codec, damped)
    matrix.round()
    for _ in range(REVISITS):
        matrix.revisit()
    worse = row_damage(weights, matrix.quantised, damped) >= row_damage(
        weights, dequantize(plain, type_, columns), damped
    )
    blocks = matrix.blocks()
    blocks[worse] = plain[worse]
    return blocks


class _Matrix:
    """One matrix on its way from weights to codes. A block is 256 columns of all rows."""

    def __init__(self, weights: Floats, type_: Type, codec: codecs.Codec, hessian: NDArray[np.float64]) -> None:
        self.weights, self.type, self.codec, self.hessian = weights, type_, codec, hessian
        rows, columns = weights.shape
        self.quantised = np.zeros((rows, columns), np.float32)
        self.spans = [slice(first, first + codecs.WEIGHTS) for first in range(0, columns, codecs.WEIGHTS)]
        self.under: list[tuple[NDArray[np.uint8], Floats, Floats]] = []  # of each block: ggml's bytes, scale, offset
        self.codes: list[NDArray[np.int32]] = []

    def blocks(self) -> NDArray[np.uint8]:
        """The blocks [rows, bytes] with the codes found."""
        parts = zip(self.under, self.codes, strict=True)
        return np.concatenate([self.codec.write(under[0], codes) for under, codes in parts], axis=1)

    def _groups(self, span: slice) -> list[slice]:
        """The columns of a block, by code, most important first."""
        starts = np.arange(span.start, span.stop, self.codec.group)
        importance = np.add.reduceat(np.diag(self.hessian), starts)[: len(starts)]
        if span.stop < len(self.hessian):  # reduceat ran the last group on to the end of the row
            importance[-1] = np.diag(self.hessian)[starts[-1] : span.stop].sum()
        return [slice(at, at + self.codec.group) for at in starts[np.argsort(-importance, kind="stable")]]

    def round(self) -> None:
        """Choose every code once. What the columns already rounded left behind moves the goal of the next.

        With H = R R^T, R upper triangular in the order of rounding, the least damage that a later choice can still
        reach is |(w - q) R|^2 column by column, so column k is best rounded from w_k + errors before it times
        R[before, k] / R[k, k] (LDLQ, the same as GPTQ without an inverse: Chee et al. 2023).
        """
        order = np.concatenate([np.r_[group] for span in self.spans for group in self._groups(span)])
        factor = _upper_factor(self.hessian[np.ix_(order, order)])
        goal = self.weights[:, order]
        error = np.zeros_like(goal)
        for span in self.spans:
            carried = error[:, : span.start] @ factor[: span.start, span]
            local = factor[span, span]
            expected = goal[:, span] + carried @ np.linalg.inv(local)
            blocks = quantize(expected[:, np.argsort(order[span])], self.type, np.diag(self.hessian)[span])
            self.under.append((blocks, *self.codec.scales(blocks)))
            self.codes.append(np.empty((len(goal), codecs.WEIGHTS // self.codec.group), np.int32))
            pushed = carried.T.copy()  # [columns, rows]: a column is contiguous
            for step, group in enumerate(self._groups(span)):
                at = slice(step * self.codec.group, (step + 1) * self.codec.group)
                inside = local[at, at]
                wish = goal[:, span][:, at] + pushed[at].T @ np.linalg.inv(inside)
                self._choose(len(self.under) - 1, group, wish, inside @ inside.T)
                left = goal[:, span][:, at] - self.quantised[:, group]
                error[:, span][:, at] = left
                pushed[at.stop :] += local[at, at.stop :].T @ left.T

    def revisit(self) -> None:
        """Choose every code again, with all others as they are."""
        for index, span in enumerate(self.spans):
            inside = self.hessian[span, span].astype(np.float32)
            slope = (self.weights - self.quantised) @ self.hessian[:, span].astype(np.float32)
            for group in self._groups(span):
                at = slice(group.start - span.start, group.stop - span.start)
                metric = inside[at, at]
                before = self.quantised[:, group].copy()
                wish = before + slope[:, at] @ np.linalg.inv(metric)
                self._choose(index, group, wish, metric)
                slope -= (self.quantised[:, group] - before) @ inside[at]

    def _choose(self, block: int, group: slice, wish: Floats, metric: Floats) -> None:
        """Code one group of columns of all rows as near to `wish` [rows, group] as the block's scales allow."""
        _, scale, offset = self.under[block]
        at = group.start - self.spans[block].start
        chosen, values = self.codec.nearest(wish, scale[:, at], offset[:, at], metric)
        self.codes[block][:, at // self.codec.group] = chosen
        self.quantised[:, group] = values


def _upper_factor(hessian: NDArray[np.float64]) -> Floats:
    """Upper triangular R with R R^T = hessian: the Cholesky factor seen from the last column."""
    factor: Floats = np.linalg.cholesky(hessian[::-1, ::-1])[::-1, ::-1].astype(np.float32)
    return factor
