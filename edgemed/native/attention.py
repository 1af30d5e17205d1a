"""attention.h's part of the native library, for tests."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.native import library

Halves = NDArray[np.float16]


def attend(q: Floats, k: Halves, v: Halves, mask: Halves | None, scale: float, threads: int = 1) -> Floats | None:
    """softmax(scale q k + mask) v, [tokens that ask, heads, width], for q of that shape, k and v [tokens, heads that
    others share, width], mask [tokens that ask, tokens]; None where that is left to ggml: other widths than 64 and 128,
    another processor. ggml must be bound (`edgemed.engine.llama.start_llama`). Raises MemoryError."""
    q, k, v = np.ascontiguousarray(q), np.ascontiguousarray(k), np.ascontiguousarray(v)
    mask = None if mask is None else np.ascontiguousarray(mask)
    out = np.empty_like(q)
    function = library().edgemed_attend
    function.argtypes = (
        *(ctypes.c_void_p,) * 4,
        ctypes.c_float,
        *(ctypes.c_int64,) * 5,
        ctypes.c_int,
        ctypes.c_void_p,
    )
    status = function(
        q.ctypes.data,
        k.ctypes.data,
        v.ctypes.data,
        None if mask is None else mask.ctypes.data,
        scale,
        q.shape[2],
        q.shape[1],
        k.shape[1],
        len(q),
        len(k),
        threads,
        out.ctypes.data,
    )
    if status < 0:
        raise MemoryError
    return None if status else out
