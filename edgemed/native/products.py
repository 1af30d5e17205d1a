"""products.h's part of the native library: one matrix times many rows by our own kernels, for tests and benchmarks."""

from __future__ import annotations

import ctypes

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.arrays import Bytes, Floats
from edgemed.native import library


def multiply_single(kind: Type, weights: Bytes, x: Floats) -> Floats | None:
    """x [columns] times the transpose of weights [rows, bytes of a row], as a token's activations are multiplied; else
    as `multiply`."""
    weights, x = np.ascontiguousarray(weights), np.ascontiguousarray(x, np.float32)
    y = np.empty(len(weights), np.float32)
    function = library().edgemed_multiply_single
    function.argtypes = (
        ctypes.c_int,
        ctypes.c_void_p,
        *(ctypes.c_int64,) * 2,
        *(ctypes.c_void_p,) * 2,
    )
    status = function(int(kind), weights.ctypes.data, len(weights), len(x), x.ctypes.data, y.ctypes.data)
    if status < 0:
        raise MemoryError
    return None if status else y


def multiply(kind: Type, weights: Bytes, x: Floats, threads: int = 1) -> Floats | None:
    """x [count, columns] times the transpose of weights [rows, bytes of a row], or None where there is no kernel of
    ours: for another type, rows not a multiple of 16, columns not of 256, another processor. ggml must be bound
    (`edgemed.engine.llama.start_llama`). Raises MemoryError."""
    weights, x = np.ascontiguousarray(weights), np.ascontiguousarray(x, np.float32)
    y = np.empty((len(x), len(weights)), np.float32)
    function = library().edgemed_multiply
    function.argtypes = (
        ctypes.c_int,
        ctypes.c_void_p,
        *(ctypes.c_int64,) * 2,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_int,
    )
    status = function(
        int(kind), weights.ctypes.data, len(weights), x.shape[1], x.ctypes.data, len(x), y.ctypes.data, threads
    )
    if status < 0:
        raise MemoryError
    return None if status else y
