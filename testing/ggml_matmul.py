"""Quantised matrices of random bits, and ggml's own matmul of them as a reference."""

from __future__ import annotations

import ctypes
from functools import cache
from types import TracebackType
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type

from edgemed.arrays import Bytes, Floats
from edgemed.ggml import ggml, library_folder
from edgemed.native import declare

K_QUANTS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0")
CODEBOOKS = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS")
HALVES_AT = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_K": (0, 2), "Q5_K": (0, 2)}  # elsewhere: (0,)


def random_weights(kind: Type, rows: int, columns: int, seed: int = 0) -> Bytes:
    """Return [rows, bytes per row] of random bits, with block scales near 0.01 so that all values are finite."""
    rng = np.random.default_rng(seed)
    values, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows * columns // values, size), np.uint8)
    for at in HALVES_AT.get(kind.name, (0,)):
        scales = rng.uniform(0.005, 0.02, len(blocks)).astype(np.float16)
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    if kind is Type.IQ1_M:  # the scale is made of the top four bits of four words: 0x2400 is 0.0156
        blocks[:, 49::2] = blocks[:, 49::2] & 0x0F | np.array([0, 0, 0x40, 0x20], np.uint8)
    return blocks.reshape(rows, -1)


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@cache
def _ggml() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    base, cpu = ggml().library, ctypes.CDLL(str(library_folder() / "libggml-cpu.so.0"))
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    declared: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "ggml_init": (pointer, (_InitParams,)),
        "ggml_free": (None, (pointer,)),
        "ggml_new_tensor_2d": (pointer, (pointer, ctypes.c_int, size, size)),
        "ggml_mul_mat": (pointer, (pointer, pointer, pointer)),
        "ggml_new_graph": (pointer, (pointer,)),
        "ggml_build_forward_expand": (None, (pointer, pointer)),
        "ggml_get_data": (pointer, (pointer,)),
    }
    declare(base, declared)
    cpu.ggml_graph_compute_with_ctx.argtypes = (pointer, pointer, ctypes.c_int)
    return base, cpu


class GgmlMatmul:
    """A ggml graph that multiplies each matrix by the same x [count, columns]. A context manager."""

    def __init__(self, kind: Type, matrices: list[Bytes], x: Floats) -> None:
        base, _ = _ggml()
        self._shape = (len(x), len(matrices[0]))
        room = sum(m.nbytes for m in matrices) + 3 * x.nbytes + 4 * len(matrices) * len(x) * len(matrices[0])
        self._context = base.ggml_init(_InitParams(room + (64 << 20), None, False))
        rows = base.ggml_new_tensor_2d(self._context, int(Type.F32), x.shape[1], len(x))
        ctypes.memmove(base.ggml_get_data(rows), x.ctypes.data, x.nbytes)
        self._graph = base.ggml_new_graph(self._context)
        self._products = []
        for weights in matrices:
            matrix = base.ggml_new_tensor_2d(self._context, int(kind), x.shape[1], len(weights))
            ctypes.memmove(base.ggml_get_data(matrix), weights.ctypes.data, weights.nbytes)
            self._products.append(base.ggml_mul_mat(self._context, matrix, rows))
            base.ggml_build_forward_expand(self._graph, self._products[-1])

    def __enter__(self) -> GgmlMatmul:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ggml()[0].ggml_free(self._context)

    def compute(self, threads: int) -> None:
        """Compute all matrices."""
        _ggml()[1].ggml_graph_compute_with_ctx(self._context, self._graph, threads)

    def result(self, which: int = 0) -> Floats:
        """Return the result of one matrix, [count, rows]."""
        y = np.empty(self._shape, np.float32)
        ctypes.memmove(y.ctypes.data, _ggml()[0].ggml_get_data(self._products[which]), y.nbytes)
        return y
