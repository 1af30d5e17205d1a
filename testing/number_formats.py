"""Independent encoders and decoders of checkpoint number formats: BF16, FP8 e4m3 and its 128x128 block scales."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FP8_BLOCK = 128
FP8_MAX = 448.0
Float = TypeVar("Float", np.float32, np.float64)


def encode_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite float32 to bfloat16 (nearest, ties to even)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def decode_bf16(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (codes.astype(np.uint32) << 16).view(np.float32)


def decode_fp8(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode FP8 e4m3 (the variant without infinities): exponent bias 7, 3 mantissa bits, 0x7F and 0xFF are NaN."""
    exponent = ((codes >> 3) & 15).astype(np.int32)
    mantissa = (codes & 7).astype(np.float32)
    magnitude = np.where(
        exponent == 0, np.ldexp(mantissa, -9), np.ldexp(1 + mantissa / 8, exponent - 7).astype(np.float32)
    )
    magnitude = np.where((codes & 0x7F) == 0x7F, np.nan, magnitude)
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.float32)


_FP8_MAGNITUDES = decode_fp8(np.arange(0x7F, dtype=np.uint8))
_FP8_MIDPOINTS = (_FP8_MAGNITUDES[1:] + _FP8_MAGNITUDES[:-1]) / 2


def encode_fp8(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round finite float32 within +-448 to FP8 e4m3 (nearest; ties go to the even code)."""
    magnitude = np.abs(values)
    low = np.searchsorted(_FP8_MIDPOINTS, magnitude, side="left")
    high = np.searchsorted(_FP8_MIDPOINTS, magnitude, side="right")
    code = np.where(low % 2 == 0, low, high)  # low and high differ only on a tie
    return (code | np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)


def quantise_fp8_blocks(
    weight: NDArray[np.float32], *, power_of_two: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return (codes [out, in], weight_scale_inv [ceil(out/128), ceil(in/128)]) of a float32 matrix [out, in]."""
    rows, columns = (-(-side // FP8_BLOCK) for side in weight.shape)
    padded = np.zeros((rows * FP8_BLOCK, columns * FP8_BLOCK), np.float32)
    padded[: weight.shape[0], : weight.shape[1]] = weight
    blocks = np.abs(padded).reshape(rows, FP8_BLOCK, columns, FP8_BLOCK).max(axis=(1, 3))
    scale = (np.maximum(blocks, np.float32(1e-4)) / np.float32(FP8_MAX)).astype(np.float32)
    if power_of_two:
        scale = np.exp2(np.ceil(np.log2(scale))).astype(np.float32)
    return encode_fp8(np.clip(weight / spread_blocks(scale, weight.shape), -FP8_MAX, FP8_MAX)), scale


def spread_blocks(scale: NDArray[Float], shape: tuple[int, ...]) -> NDArray[Float]:
    """Repeat block scales to one scale per weight, cut to shape [out, in]."""
    return scale.repeat(FP8_BLOCK, axis=0).repeat(FP8_BLOCK, axis=1)[: shape[0], : shape[1]]
