"""Chooses the codes of one block of 256 columns, one after another (compensate.h)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.native import Signatures, declare, library

BLOCK = 256  # `kBlock`
Codes = NDArray[np.int32]


class _Codebook(ctypes.Structure):
    _fields_ = (
        ("group", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("low", ctypes.c_int32),
        ("high", ctypes.c_int32),
        ("even", ctypes.c_int32),
        ("values", ctypes.c_void_p),
    )


class _BlockTask(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("order", ctypes.c_void_p),
        ("coupling", ctypes.c_void_p),
        ("solve", ctypes.c_void_p),
        ("metric", ctypes.c_void_p),
        ("later", ctypes.c_int32),
        ("scale", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("goal", ctypes.c_void_p),
        ("pushed", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Codebook:
    """The values that codes stand for: a weight is scale * value - offset.

    Values are the integers low to high; or `values` [steps], ascending; or points, `values` [group, points] of
    magnitudes with a sign for each weight. even: the number of a point's negative signs must be even.
    """

    group: int = 1
    low: int = 0
    high: int = 0
    values: Floats | None = None
    even: bool = False


@dataclass(frozen=True)
class Coupling:
    """How the columns of a block depend on each other. Matrices have their columns in the order of choosing.

    order [groups]: the first column of each group of columns. errors [256, 256]: how an error in one column (row here)
    shifts the goals of the others; `later`: only of columns still to be chosen. A group's wish is goal + pushed @
    solve, and the point nearest to it in `metric` is chosen; both are [groups, group, group].
    """

    order: Codes
    errors: Floats
    solve: Floats
    metric: Floats
    later: bool


_SIGNATURES: Signatures = {
    "edgemed_choose_codes": (ctypes.c_int, (ctypes.POINTER(_Codebook), ctypes.POINTER(_BlockTask))),
}


@cache
def _library() -> ctypes.CDLL:
    lib = library()
    declare(lib, _SIGNATURES)
    return lib


def choose_codes(
    book: Codebook, coupling: Coupling, scale: Floats, offset: Floats, goal: Floats, pushed: Floats
) -> tuple[Codes, Floats]:
    """Return (codes [rows, 256 / group], weights [rows, 256]) for a block's scale, offset, goal, pushed [rows, 256].

    The code of a point is point << group | signs. Raises MemoryError.
    """
    rows = len(goal)
    inputs = [np.ascontiguousarray(array, np.float32) for array in (scale, offset, goal, pushed)]
    order = np.ascontiguousarray(coupling.order, np.int32)
    matrices = [np.ascontiguousarray(m, np.float32) for m in (coupling.errors, coupling.solve, coupling.metric)]
    values, count = None, 0
    if book.values is not None:
        values, count = np.ascontiguousarray(book.values, np.float32), book.values.shape[-1]
    assert all(array.shape == (rows, BLOCK) for array in inputs)
    assert len(order) * book.group == BLOCK
    assert matrices[0].shape == (BLOCK, BLOCK)
    assert all(m.shape == (len(order), book.group, book.group) for m in matrices[1:])
    assert book.group == 1 or (book.group in (4, 8) and count % 16 == 0 and count > 0)
    chosen, codes = np.empty((rows, BLOCK), np.float32), np.empty((rows, len(order)), np.int32)
    stored = _Codebook(
        book.group, count, book.low, book.high, book.even, None if values is None else values.ctypes.data
    )
    addresses = [array.ctypes.data for array in (order, *matrices)]
    task = _BlockTask(rows, *addresses, coupling.later, *(array.ctypes.data for array in (*inputs, chosen, codes)))
    if _library().edgemed_choose_codes(ctypes.byref(stored), ctypes.byref(task)):
        raise MemoryError
    return codes, chosen
