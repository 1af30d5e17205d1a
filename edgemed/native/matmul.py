"""Our own matrix multiplications (matmul_api.cpp), for tests and benchmarks."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.arrays import Bytes, Floats
from edgemed.native import Signatures, declare, library

_SIGNATURES: Signatures = {
    "edgemed_gemm": (
        ctypes.c_int,
        (
            ctypes.c_int,
            ctypes.c_void_p,
            *(ctypes.c_int64,) * 2,
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_int,
        ),
    ),
    "edgemed_gemv": (
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_void_p, *(ctypes.c_int64,) * 2, *(ctypes.c_void_p,) * 2),
    ),
}


@cache
def _library() -> ctypes.CDLL:
    lib = library()
    declare(lib, _SIGNATURES)
    return lib


def gemv(kind: Type, weights: Bytes, x: Floats) -> Floats | None:
    """Multiply a matrix by one row, as for a single token: x [columns] times weights^T [rows, bytes of a row].

    Returns None if there is no kernel of ours: another type, columns not a multiple of 256, another processor. ggml
    must be bound (`edgemed.engine.llama.start_llama`). Raises MemoryError.
    """
    weights, x = np.ascontiguousarray(weights), np.ascontiguousarray(x, np.float32)
    y = np.empty(len(weights), np.float32)
    status = _library().edgemed_gemv(int(kind), weights.ctypes.data, len(weights), len(x), x.ctypes.data, y.ctypes.data)
    if status < 0:
        raise MemoryError
    return None if status else y


def gemm(kind: Type, weights: Bytes, x: Floats, threads: int = 1) -> Floats | None:
    """Multiply a matrix by several rows: x [count, columns] times weights^T [rows, bytes of a row].

    Returns None if there is no kernel of ours: another type, rows not a multiple of 16, columns not of 256, another
    processor. ggml must be bound (`edgemed.engine.llama.start_llama`). Raises MemoryError.
    """
    weights, x = np.ascontiguousarray(weights), np.ascontiguousarray(x, np.float32)
    y = np.empty((len(x), len(weights)), np.float32)
    status = _library().edgemed_gemm(
        int(kind), weights.ctypes.data, len(weights), x.shape[1], x.ctypes.data, len(x), y.ctypes.data, threads
    )
    if status < 0:
        raise MemoryError
    return None if status else y
