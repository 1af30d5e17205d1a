"""The instruction set that our kernels use (instructions.h)."""

from __future__ import annotations

from enum import IntEnum

from edgemed.native import library


class Instructions(IntEnum):
    """Instruction sets in order of preference. NONE: ggml computes instead of our kernels."""

    NONE = 0
    AVX2 = 1
    AVX_VNNI = 2
    AVX512 = 3

    @property
    def label(self) -> str | None:
        """The name shown to people, or None for NONE."""
        return (None, "AVX2", "AVX-VNNI", "AVX-512 VNNI")[self]


def instructions() -> Instructions:
    """Return the best one that the processor has and EDGEMED_KERNELS allows. Raises SetupError without a library."""
    return Instructions(library().edgemed_instructions())


def limit_instructions(most: Instructions) -> Instructions:
    """Use nothing better than `most` from now on; return what is in use. For tests."""
    return Instructions(library().edgemed_limit_instructions(int(most)))
