"""Which BLAS kernels numpy uses: calibrated codes depend on the order in which they add."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

UNKNOWN = "unknown"
_CORE_NAME = "scipy_openblas_get_corename64_"


def blas_kernels() -> str:
    """OpenBLAS's name for the kernels it chose on this processor, such as "SkylakeX"; UNKNOWN for another BLAS.

    numpy's wheels bundle OpenBLAS in the folder numpy.libs beside the package.
    """
    for library in sorted((Path(np.__file__).parent.parent / "numpy.libs").glob("libscipy_openblas64_*")):
        try:
            name = getattr(ctypes.CDLL(str(library)), _CORE_NAME)
        except (OSError, AttributeError):
            continue
        name.restype = ctypes.c_char_p
        return str(name().decode())
    return UNKNOWN
