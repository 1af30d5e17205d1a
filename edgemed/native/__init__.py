"""Binds the native library with ctypes. The library does not call Python; every call releases the GIL."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgemed.errors import SetupError

LIBRARY = Path(__file__).parent / "libedgemed.so"
KERNELS = "EDGEMED_KERNELS"
KERNEL_SETS = ("ggml", "avx2", "avx-vnni", "avx512")  # in the order of `Instructions` in instructions.h

Signatures = Mapping[str, tuple[Any, tuple[Any, ...]]]
"""Functions of capi.h: name -> (result type, argument types). `make lint` compares every _SIGNATURES with capi.h."""

_SIGNATURES: Signatures = {
    "edgemed_instructions": (ctypes.c_int, ()),
    "edgemed_limit_instructions": (ctypes.c_int, (ctypes.c_int,)),
    "edgemed_xxh3_64": (ctypes.c_uint64, (ctypes.c_void_p, ctypes.c_size_t)),
    "edgemed_xxh3_state_size": (ctypes.c_size_t, ()),
    "edgemed_xxh3_begin": (None, (ctypes.c_void_p,)),
    "edgemed_xxh3_update": (None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
    "edgemed_xxh3_digest": (ctypes.c_uint64, (ctypes.c_void_p,)),
}


@cache
def library() -> ctypes.CDLL:
    """Load the library. Raises SetupError if it was not built, or if EDGEMED_KERNELS names unknown kernels."""
    if (wish := os.environ.get(KERNELS, KERNEL_SETS[-1])) not in KERNEL_SETS:
        raise SetupError(f"{KERNELS}={wish} names no known kernels; unset it, or use one of {', '.join(KERNEL_SETS)}.")
    try:
        lib = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise SetupError(f"edgemed's native library cannot be loaded ({error}); reinstall edgemed.") from None
    declare(lib, _SIGNATURES)
    lib.edgemed_limit_instructions(KERNEL_SETS.index(wish))
    return lib


def declare(library: ctypes.CDLL, signatures: Signatures) -> None:
    """Declare the functions' result and argument types."""
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def xxh3_64(data: Any) -> int:
    """Return the XXH3 checksum (64 bits, seed 0) of a contiguous buffer: bytes, memoryview or array."""
    view = _bytes_of(data)
    return int(library().edgemed_xxh3_64(view.ctypes.data, view.nbytes))


class Xxh3:
    """The same checksum of data that arrives in pieces: call `update` for each piece, then `digest`."""

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(library().edgemed_xxh3_state_size())
        library().edgemed_xxh3_begin(self._state)

    def update(self, data: Any) -> None:
        view = _bytes_of(data)
        library().edgemed_xxh3_update(self._state, view.ctypes.data, view.nbytes)

    def digest(self) -> int:
        return int(library().edgemed_xxh3_digest(self._state))


def _bytes_of(data: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else np.ascontiguousarray(data)
