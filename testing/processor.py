"""The instruction sets that the processor reports. Each one that it has must have our kernels."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.forecast.survey import cpu_flags
from edgemed.native import KERNELS
from edgemed.native.instructions import Instructions, instructions, limit_instructions

AVX2 = ("avx2", "fma", "f16c")
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", *AVX2)
GEMV_BY_AVX2 = (Type.Q3_K, Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S, Type.IQ3_XXS, Type.IQ3_S, Type.IQ4_XS)
GEMV_BY_AVX512 = (Type.Q2_K, Type.Q4_K, Type.Q5_K, Type.Q6_K)  # in addition to those
_FLAGS = {
    Instructions.AVX2: AVX2,
    Instructions.AVX_VNNI: (*AVX2, "avx_vnni"),
    Instructions.AVX512: AVX512,
}


def instructions_here() -> list[Instructions]:
    """Return the instruction sets that kernels are written for and this processor has."""
    return [which for which, flags in _FLAGS.items() if not _lacking(flags)]


def gemv_types(which: Instructions) -> tuple[Type, ...]:
    """Return the types that have gemv kernels of ours on this instruction set."""
    wide = which is Instructions.AVX512 and not _lacking(("gfni", "avx512vbmi", "bmi2"))
    return GEMV_BY_AVX2 + GEMV_BY_AVX512 if wide else GEMV_BY_AVX2


@contextmanager
def limited_to(which: Instructions) -> Iterator[None]:
    """Limit our kernels to this instruction set within the context."""
    before = instructions()
    try:
        assert limit_instructions(which) is which
        yield
    finally:
        limit_instructions(before)


def skip_without(flags: tuple[str, ...]) -> None:
    """Skip the test (at import time: the module) if ggml computes instead of our kernels."""
    if lacking := _lacking(flags):
        pytest.skip(f"this processor lacks {', '.join(lacking)}: ggml computes for us", allow_module_level=True)
    needed = Instructions.AVX512 if set(flags) >= set(AVX512) else Instructions.AVX2
    if instructions() < needed:
        pytest.skip(f"{KERNELS} selects ggml instead of our kernels", allow_module_level=True)


def _lacking(flags: tuple[str, ...]) -> list[str]:
    return sorted(set(flags).difference(cpu_flags(flags)))
