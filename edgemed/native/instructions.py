"""instructions.h's part of the native library: which of the processor's instructions our kernels use."""

from __future__ import annotations

from enum import IntEnum

from edgemed.native import library


class Instructions(IntEnum):
    """The better ones last. NONE: ggml computes in place of our kernels."""

    NONE = 0
    AVX2 = 1
    AVX_VNNI = 2
    AVX512 = 3

    @property
    def label(self) -> str | None:
        """As people call them."""
        return (None, "AVX2", "AVX-VNNI", "AVX-512 VNNI")[self]


def instructions() -> Instructions:
    """The best that the processor has and EDGEMED_KERNELS allows. Raises SetupError where there is no library."""
    return Instructions(library().edgemed_instructions())


def limit_instructions(most: Instructions) -> Instructions:
    """Use no better ones from now on, and return those in use. For tests."""
    return Instructions(library().edgemed_limit_instructions(int(most)))
