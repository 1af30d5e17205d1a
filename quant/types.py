"""The ggml types that a plan may name, their sizes, the palettes, and the substitutes for rows too short for a block.

All types of the palettes are multiplied with Q8_K activations, so the matrices of an expert may differ in type and its
input is still quantised once. "fast" has the K-quants; "small" also has the IQ types, which are slower to compute with
on a CPU and take far longer to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type

from edgemed.errors import PlanError

FAST = (Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K)
SMALL = (
    Type.IQ1_S,
    Type.IQ1_M,
    Type.IQ2_XXS,
    Type.IQ2_XS,
    Type.IQ2_S,
    Type.Q2_K,
    Type.IQ3_XXS,
    Type.Q3_K,
    Type.IQ3_S,
    Type.IQ4_XS,
    Type.Q4_K,
    Type.Q5_K,
    Type.Q6_K,
)


@dataclass(frozen=True, slots=True)
class Palette:
    """The types that the experts of one plan may have, fewest bits first.

    plain: without calibration, when ggml rounds every weight by itself.
    calibrated: with calibration, when codes are chosen so that errors compensate one another (compensate.py).
    """

    plain: tuple[Type, ...]
    calibrated: tuple[Type, ...]


PALETTES = {
    "fast": Palette(plain=FAST, calibrated=FAST),
    # Compensation reverses the order of types of equal size: IQ2_S then does 17 % less damage than Q2_K, and IQ3_S 18 %
    # less than Q3_K (docs/quantisation.md), so those two K-quants are left out. IQ1_S, IQ1_M and IQ3_XXS are left out
    # because they have no codec (codecs.py): their codes cannot be compensated.
    "small": Palette(
        plain=SMALL,
        calibrated=(
            Type.IQ2_XXS,
            Type.IQ2_XS,
            Type.IQ2_S,
            Type.IQ3_S,
            Type.IQ4_XS,
            Type.Q4_K,
            Type.Q5_K,
            Type.Q6_K,
        ),
    ),
}

# Types that do not use Q8_K activations: for dense tensors, for rows too short for a K-quant's block, and for tests.
PLAIN = (Type.Q8_0, Type.BF16, Type.F16, Type.F32)
ALLOWED = SMALL + PLAIN
DENSE_FLOOR = (Type.Q6_K, *PLAIN)  # dense tensors are not stored below Q6_K, since every token uses them

# As ggml's own `ggml_quantize_requires_imatrix` says; a test compares them.
NEEDS_IMPORTANCE = frozenset({Type.IQ1_S, Type.IQ2_XXS, Type.IQ2_XS})


def parse_type(name: str) -> Type:
    """The type of that name, in upper or lower case. Raises PlanError, which lists the allowed types."""
    chosen = next((allowed for allowed in ALLOWED if allowed.name == name.upper()), None)
    if chosen is None:
        raise PlanError(f'"{name}" is not a type a plan may use; it may use {", ".join(a.name for a in ALLOWED)}.')
    return chosen


def palette(name: str) -> Palette:
    """The palette of that name. Raises PlanError."""
    if name not in PALETTES:
        raise PlanError(f'There is no palette "{name}"; choose {" or ".join(PALETTES)}.')
    return PALETTES[name]


def block_size(type_: Type) -> int:
    """Weights in one block."""
    return int(GGML_QUANT_SIZES[type_][0])


def bits_per_weight(type_: Type) -> Fraction:
    """Exact bits per weight, block scales included."""
    weights, size = GGML_QUANT_SIZES[type_]
    return Fraction(8 * size, weights)


def row_bytes(type_: Type, columns: int) -> int:
    """Bytes of one row. Raises PlanError if the columns are not a multiple of the block."""
    weights, size = GGML_QUANT_SIZES[type_]
    if columns % weights:
        raise PlanError(f"Rows of {columns} weights do not divide into {type_.name} blocks of {weights}.")
    return int(columns // weights * size)


def storable(type_: Type, columns: int) -> Type:
    """`type_`, or its substitute if `columns` is not a multiple of its block: Q8_0, else F16.

    The substitute is never less precise. Published models have multiples of 256; small test models need this.
    """
    for candidate in (type_, Type.Q8_0):
        if columns % block_size(candidate) == 0:
            return candidate
    return Type.F16


def nearest_type(bits: float, among: tuple[Type, ...] = FAST) -> Type:
    """The type whose bits per weight are nearest to `bits`; of two equally near, the smaller."""
    return min(among, key=lambda type_: (abs(bits_per_weight(type_) - Fraction(bits)), bits_per_weight(type_)))
