"""Quantising rows of weights to ggml blocks and back, by ggml's own quantisers, on all cores.

A pool of threads quantises ranges of rows; ggml runs without the GIL. The blocks of a row depend only on that row and
the importance vector, so the bytes do not depend on the number of threads.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.control_group import usable_processors
from edgemed.errors import CheckpointError, PlanError
from edgemed.ggml import ggml
from edgemed.quant import types

# Weights in one task: about 20 ms of Q4_K, so that threads finish together and scheduling costs nothing.
TASK_WEIGHTS = 1 << 18
# Columns without any input get this fraction of the mean importance: ggml's searches fail on blocks of zeros.
LEAST_IMPORTANCE = 1e-4


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_processors(), thread_name_prefix="quantize")


def quantize(
    array: NDArray[np.float32], type_: Type, importance: NDArray[np.floating] | None = None
) -> NDArray[np.uint8]:
    """Blocks [rows, bytes] of array [rows, columns] in `type_`.

    importance [columns]: not negative weights of the columns' squared errors, such as sums of the squared inputs; only
    proportions matter. If it is None, types that need one get equal weights. Raises PlanError if the columns are not a
    multiple of the block, and CheckpointError if a weight is NaN or infinite (ggml would abort or write garbage).
    """
    rows, columns = array.shape
    source = np.ascontiguousarray(array, np.float32)
    out = np.empty((rows, types.row_bytes(type_, columns)), np.uint8)
    if not np.isfinite(source).all():
        raise CheckpointError(
            "The weights contain NaN or infinite values, which cannot be quantised; download them again."
        )
    weights = _usable(importance, columns, type_)
    step = max(1, TASK_WEIGHTS // columns)
    tasks = [
        _pool().submit(ggml().quantize_chunk, type_, source, out, first, min(step, rows - first), weights)
        for first in range(0, rows, step)
    ]
    for task in tasks:
        task.result()
    return out


def dequantize(data: NDArray[np.uint8], type_: Type, columns: int) -> NDArray[np.float32]:
    """The weights [rows, columns] that blocks [rows, bytes] stand for."""
    return ggml().dequantise(type_, data, columns)


def _usable(importance: NDArray[np.floating] | None, columns: int, type_: Type) -> NDArray[np.float32] | None:
    """The importance in the form that ggml takes: positive, with mean 1. None stays None if the type allows it."""
    if importance is None:
        return np.ones(columns, np.float32) if type_ in types.NEEDS_IMPORTANCE else None
    values = np.asarray(importance, np.float64)
    if values.shape != (columns,) or not np.isfinite(values).all() or (values < 0).any():
        raise PlanError(f"An importance vector must have {columns} finite values that are not negative.")
    mean = values.mean()
    if mean == 0:
        return np.ones(columns, np.float32)
    usable: NDArray[np.float32] = np.maximum(values / mean, LEAST_IMPORTANCE).astype(np.float32)
    return usable
