"""The native library, bound with ctypes. It has no Python in it, and every call below releases the GIL."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgemed.errors import SetupError

LIBRARY = Path(__file__).parent / "libedgemed.so"


@cache
def library() -> ctypes.CDLL:
    """The loaded library. Raises SetupError where it was not built."""
    try:
        lib = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise SetupError(f"edgemed's native library cannot be loaded ({error}); install edgemed again.") from None
    lib.edgemed_xxh3_64.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    lib.edgemed_xxh3_64.restype = ctypes.c_uint64
    return lib


def xxh3_64(data: Any) -> int:
    """XXH3 (64 bits, seed 0) of any contiguous buffer: bytes, memoryview or array."""
    view = np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else np.ascontiguousarray(data)
    return int(library().edgemed_xxh3_64(view.ctypes.data, view.nbytes))
