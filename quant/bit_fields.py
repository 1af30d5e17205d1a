"""Reading and writing the fields of ggml's blocks: F16 numbers, packed bit fields, and one value per sub-block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Bytes, Floats
from edgemed.native.compensate import BLOCK as WEIGHTS

Codes = NDArray[np.int32]


def f16_at(blocks: Bytes, at: int) -> Floats:
    """The F16 number at byte `at` of every block, [blocks, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def spread(values: Floats) -> Floats:
    """Repeat the value of each sub-block [blocks, sub-blocks] for each of its weights, [blocks, 256]."""
    return np.repeat(values, WEIGHTS // values.shape[1], axis=1)


def without_offset(scale: Floats) -> tuple[Floats, Floats]:
    """Scale and offset of every weight, [blocks, 256] each: that of its sub-block [blocks, sub-blocks], and zero."""
    each = spread(scale)
    return each, np.zeros_like(each)


def fields(packed: Bytes, bits: int) -> Bytes:
    """Split bytes [blocks, n] into bit fields, lowest bits first: [blocks, 8 / bits, n]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[None, :, None]
    found: Bytes = (packed[:, None, :] >> shifts) & np.uint8((1 << bits) - 1)
    return found


def pack(parts: NDArray[np.integer], bits: int) -> Bytes:
    """The inverse of `fields`."""
    shifts = np.arange(0, 8, bits)[None, :, None]
    result: Bytes = (parts.astype(np.int32) << shifts).sum(axis=1).astype(np.uint8)
    return result


def pack_halves(codes: Codes, bits: int) -> Bytes:
    """Pack codes [blocks, 256] into bytes. In each half of 128 weights runs of 32 share bytes, the first run lowest."""
    runs = 8 // bits
    return pack(codes.reshape(-1, runs, 32), bits).reshape(len(codes), -1)
