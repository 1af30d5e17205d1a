"""Our attention kernel (attention/attention_api.cpp), for tests."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.native import Signatures, declare, library

Halves = NDArray[np.float16]

_SIGNATURES: Signatures = {
    "edgemed_attend": (
        ctypes.c_int,
        (*(ctypes.c_void_p,) * 4, ctypes.c_float, *(ctypes.c_int64,) * 5, ctypes.c_int, ctypes.c_void_p),
    ),
}


@cache
def _library() -> ctypes.CDLL:
    lib = library()
    declare(lib, _SIGNATURES)
    return lib


def attend(q: Floats, k: Halves, v: Halves, mask: Halves | None, scale: float, threads: int = 1) -> Floats | None:
    """Return softmax(scale * q k^T + mask) v.

    q and the result: [queries, heads, width]; k, v: [tokens, kv_heads, width]; mask: [queries, tokens]. Query head h
    uses the keys of head h // (heads / kv_heads). Returns None if that is left to ggml: a width other than 64 and 128,
    or a processor without AVX2. ggml must be bound (`edgemed.engine.llama.start_llama`). Raises MemoryError.
    """
    q, k, v = np.ascontiguousarray(q), np.ascontiguousarray(k), np.ascontiguousarray(v)
    mask = None if mask is None else np.ascontiguousarray(mask)
    out = np.empty_like(q)
    status = _library().edgemed_attend(
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
