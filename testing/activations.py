"""What ggml's CPU kernels do to the input of a matmul before they multiply, emulated in numpy.

The weight's type decides: float types round the input to themselves, quants with blocks of 32 to Q8_0 (or Q8_1), those
with blocks of 256 to Q8_K. Formulas: ggml's quantize_row_q8_0_ref and quantize_row_q8_K_ref.

If a value lies almost halfway between two codes, float32 noise decides the code. That one code changes codes in later
layers, and logits then differ by a few hundredths between two correct engines. So the rounding margin is returned too.
"""

import numpy as np
from numpy.typing import NDArray

from testing.number_formats import decode_bf16, encode_bf16

Floats = NDArray[np.float64]


def round_activations(x: Floats, weight_type: str) -> tuple[Floats, Floats]:
    """Return x [rows, in] as the kernel for this weight type (a ggml type name) sees it, and rounding margins [rows].

    A margin is the distance of a row's most doubtful value from halfway between two 8-bit codes, in codes (up to 0.5).
    """
    sure = np.full(len(x), 0.5)
    match weight_type:
        case "F32":
            return x, sure
        case "F16":
            return x.astype(np.float16).astype(np.float64), sure
        case "BF16":
            return decode_bf16(encode_bf16(x.astype(np.float32))).astype(np.float64), sure
        case "Q4_0" | "Q5_0" | "Q8_0" | "IQ4_NL" | "Q4_1" | "Q5_1":
            return _q8_0(x)
        case name if name.startswith(("Q", "IQ")) and ("_K" in name or name.startswith("IQ")):
            return _q8_k(x)
        case other:
            raise ValueError(f"no activation format is known for {other}")


def _q8_0(x: Floats) -> tuple[Floats, Floats]:
    """Round in blocks of 32 with an F16 scale; codes are computed with the unrounded scale."""
    blocks = x.astype(np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    unrounded = blocks * _inverse(scale)
    codes = np.rint(unrounded)
    return (codes * scale.astype(np.float16).astype(np.float64)).reshape(x.shape), _margin(unrounded, codes, len(x))


def _q8_k(x: Floats) -> tuple[Floats, Floats]:
    """Round in blocks of 256 with an F32 scale; the value of largest magnitude becomes exactly -127."""
    blocks = x.astype(np.float32).reshape(-1, 256)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    inverse_scale = np.float32(-127) * _inverse(extreme)
    unrounded = blocks * inverse_scale
    codes = np.minimum(np.rint(unrounded), 127)
    return (codes * _inverse(inverse_scale).astype(np.float64)).reshape(x.shape), _margin(unrounded, codes, len(x))


def _margin(unrounded: NDArray[np.float32], codes: NDArray[np.float32], rows: int) -> Floats:
    margin: Floats = 0.5 - np.abs(unrounded - codes).reshape(rows, -1).max(axis=1).astype(np.float64)
    return margin


def _inverse(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """1/x, and 0 where x is 0."""
    return np.divide(np.float32(1), x, out=np.zeros_like(x), where=x != 0)
