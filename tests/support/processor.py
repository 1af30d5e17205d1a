"""What the processor has, by its own word: there products and attention of ours must not be missing."""

import os

import pytest

from edgemed.engine.survey import cpu_flags

PRODUCTS = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx2", "fma", "f16c")
SINGLE_PRODUCTS = (*PRODUCTS, "gfni", "avx512vbmi", "bmi2")


def skip_without(flags: tuple[str, ...]) -> None:
    """Skip the test, or outside one its module, where ggml computes instead of us."""
    if lacking := set(flags).difference(cpu_flags(flags)):
        pytest.skip(
            f"this processor lacks {', '.join(sorted(lacking))}: ggml computes instead of us", allow_module_level=True
        )
    if os.environ.get("EDGEMED_KERNELS") == "ggml":
        pytest.skip("EDGEMED_KERNELS says that ggml computes instead of us", allow_module_level=True)
