"""Stored weights to float32: BF16, F16, F32, and FP8 e4m3 with one scale for each block.

Every conversion is exact, except that the product of an FP8 value and its scale is rounded to float32.
"""

from __future__ import annotations

import numpy as np

from edgemed.arrays import Bytes, Floats


def _e4m3_values() -> Floats:
    """The 256 values of FP8 e4m3fn: exponent bias 7, three mantissa bits, no infinities, NaN at 0x7F and 0xFF.

    Formula: OCP 8-bit Floating Point Specification, revision 1.0, section 5.
    """
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    magnitude = np.where(exponent > 0, np.ldexp(1 + mantissa / 8, exponent - 7), np.ldexp(mantissa / 8, -6))
    magnitude[(code & 0x7F) == 0x7F] = np.nan
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


E4M3 = _e4m3_values()


def to_float32(raw: Bytes, dtype: str) -> Floats:
    """Decode `raw`, a 1-D array of bytes, to a flat float32 array. F8_E4M3 values are not yet scaled."""
    if dtype == "F32":
        return raw.view("<f4")
    if dtype == "F16":
        return raw.view("<f2").astype(np.float32)
    if dtype == "BF16":
        bits = raw.view("<u2").astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    assert dtype == "F8_E4M3", dtype
    return E4M3[raw]


def apply_block_scales(values: Floats, scales: Floats, block: tuple[int, int], first_row: int) -> None:
    """Multiply values [rows, columns] in place by the scales of their blocks. The values are the tensor's rows from
    `first_row` on.

    `scales` [ceil(all rows / block[0]), ceil(columns / block[1])] is the checkpoint's `weight_scale_inv`.
    """
    height, width = block
    columns = values.shape[1]
    row = 0
    while row < len(values):
        # Rows of one band of blocks share a row of scales.
        band = (first_row + row) // height
        end = min(len(values), (band + 1) * height - first_row)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller checks that the results are finite
            values[row:end] *= np.repeat(scales[band], width)[:columns]
        row = end
