"""compensate.h's part of the native library: the codes of one block of 256 columns, chosen one after another."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.native import library

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
    """What a code may stand for: a weight is scale * value - offset.

    Values are integers low..high; or `values` [steps] that ascend; or points, `values` [group, points] of magnitudes
    with a sign for each weight. even: an even number of a point's signs are negative.
    """

    group: int = 1
    low: int = 0
    high: int = 0
    values: Floats | None = None
    even: bool = False


@dataclass(frozen=True)
class Coupling:
    """How the columns of a block depend on one another. Matrices have their columns in the order of choosing.

    order [groups]: first column of each group of columns. errors [256, 256]: how an error in one column (row here)
    moves what is asked of another; `later`: only of those still to come. A group's wish is goal + pushed @ solve, and
    the nearest point to it is searched in metric; both [groups, group, group].
    """

    order: Codes
    errors: Floats
    solve: Floats
    metric: Floats
    later: bool


@cache
def _function() -> Any:
    function = library().edgemed_choose_codes
    function.argtypes = (ctypes.POINTER(_Codebook), ctypes.POINTER(_BlockTask))
    function.restype = ctypes.c_int
    return function


def choose_codes(
    book: Codebook, coupling: Coupling, scale: Floats, offset: Floats, goal: Floats, pushed: Floats
) -> tuple[Codes, Floats]:
    """(codes [rows, 256 / group], weights [rows, 256]) for a block's goal, scale, offset, pushed [rows, 256].

    A point's code is point << group | signs. Raises MemoryError.
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
    if _function()(ctypes.byref(stored), ctypes.byref(task)):
        raise MemoryError
    return codes, chosen
