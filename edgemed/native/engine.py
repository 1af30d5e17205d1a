"""The engine's part of the native library: its structures and the signatures of its functions.

graph/engine_api.cpp documents the functions. The structures mirror those of the native headers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from edgemed.errors import SetupError
from edgemed.native import Signatures, declare, library

EXPERT_RECORD = np.dtype(
    {
        "names": ["offset", "nbytes", "part", "type", "checksum", "has_checksum"],
        "formats": [("<u8", 3), ("<u8", 3), ("<i4", 3), ("<i4", 3), "<u8", "<i4"],
        "offsets": [0, 24, 48, 60, 72, 80],
        "itemsize": 88,
    }
)
"""`ExpertRecord` of expert.h."""


class PartFile(ctypes.Structure):
    """`PartFile` of parts.h."""

    _fields_ = (("path", ctypes.c_char_p), ("size", ctypes.c_uint64))


class StoreOptions(ctypes.Structure):
    """`StoreOptions` of store.h."""

    _fields_ = (
        ("budget_bytes", ctypes.c_uint64),
        ("reader_threads", ctypes.c_int32),
        ("direct", ctypes.c_int32),
        ("first_layer", ctypes.c_int32),
        ("half_life", ctypes.c_float),
        ("background", ctypes.c_int32),
    )


class StoreStats(ctypes.Structure):
    """`StoreStats` of store.h."""

    _fields_ = (
        ("hits", ctypes.c_uint64),
        ("misses", ctypes.c_uint64),
        ("prefetches", ctypes.c_uint64),
        ("prefetches_used", ctypes.c_uint64),
        ("evictions", ctypes.c_uint64),
        ("predicted", ctypes.c_uint64),
        ("predicted_right", ctypes.c_uint64),
        ("bytes_read", ctypes.c_uint64),
        ("resident_bytes", ctypes.c_uint64),
        ("budget_bytes", ctypes.c_uint64),
        ("shared_bytes", ctypes.c_uint64),
        ("wait_s", ctypes.c_double),
        ("compute_s", ctypes.c_double),
    )


class StreamExtent(ctypes.Structure):
    """`StreamExtent` of dense_stream.h."""

    _fields_ = (
        ("at", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("source", ctypes.c_uint64),
        ("checksum", ctypes.c_uint64),
        ("has_checksum", ctypes.c_int32),
        ("number", ctypes.c_int32),
        ("part", ctypes.c_int32),
    )


class RouterShape(ctypes.Structure):
    """`RouterShape` of predictor.h."""

    _fields_ = (
        ("moe_layers", ctypes.c_int32),
        ("experts", ctypes.c_int32),
        ("used", ctypes.c_int32),
        ("groups", ctypes.c_int32),
        ("groups_used", ctypes.c_int32),
        ("n_embd", ctypes.c_int64),
    )


_HANDLE = ctypes.c_void_p
_SIGNATURES: Signatures = {
    "edgemed_error": (ctypes.c_char_p, ()),
    "edgemed_bind": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_char_p)),
    "edgemed_buffer_type": (ctypes.c_void_p, ()),
    "edgemed_open": (
        _HANDLE,
        (
            ctypes.POINTER(PartFile),
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.POINTER(StoreOptions),
        ),
    ),
    "edgemed_close": (None, (_HANDLE,)),
    "edgemed_open_stream": (
        ctypes.c_void_p,
        (
            _HANDLE,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint64,
            ctypes.POINTER(StreamExtent),
            ctypes.c_int,
        ),
    ),
    "edgemed_end_stream": (None, ()),
    "edgemed_stream_damaged": (ctypes.c_int, (_HANDLE,)),
    "edgemed_stream_read_error": (ctypes.c_int, (_HANDLE,)),
    "edgemed_stream_verified": (ctypes.c_int, (_HANDLE,)),
    "edgemed_abort": (None, (_HANDLE, ctypes.c_int)),
    "edgemed_fault": (ctypes.c_int, (_HANDLE,)),
    "edgemed_clear_fault": (None, (_HANDLE,)),
    "edgemed_stats": (None, (_HANDLE, ctypes.POINTER(StoreStats))),
    "edgemed_set_budget": (None, (_HANDLE, ctypes.c_uint64)),
    "edgemed_store_state": (None, (_HANDLE, *(ctypes.c_void_p,) * 3)),
    "edgemed_stop_watching": (None, (_HANDLE,)),
    "edgemed_begin_batch": (None, (_HANDLE,)),
    "edgemed_batch_layer": (ctypes.c_int, (_HANDLE,)),
    "edgemed_copy_scores": (None, (_HANDLE, ctypes.c_void_p)),
    "edgemed_restore_scores": (None, (_HANDLE, ctypes.c_void_p)),
    "edgemed_batch_scratch": (
        ctypes.c_uint64,
        (ctypes.c_void_p, *(ctypes.c_int64,) * 4, *(ctypes.c_int,) * 3),
    ),
    "edgemed_record_trace": (ctypes.c_int, (_HANDLE, ctypes.c_char_p)),
    "edgemed_claim_attention": (None, (_HANDLE,)),
    "edgemed_enable_prefetch": (None, (_HANDLE, ctypes.POINTER(RouterShape), *(ctypes.c_void_p,) * 3, ctypes.c_int)),
    "edgemed_start_observing": (None, (_HANDLE, ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)),
    "edgemed_take_routing": (None, (_HANDLE, *(ctypes.c_void_p,) * 4)),
    "edgemed_stop_observing": (None, (_HANDLE,)),
    "edgemed_take_sums": (None, (_HANDLE, *(ctypes.c_void_p,) * 3)),
}


@cache
def engine_library() -> ctypes.CDLL:
    """The native library with the engine's functions declared. Raises SetupError if it was not built."""
    lib = library()
    declare(lib, _SIGNATURES)
    return lib


def error_text() -> str:
    """The sentence that the last failed call of this thread left."""
    return str(engine_library().edgemed_error().decode())


def check(result: Any, raised: Callable[[str], Exception] = SetupError) -> Any:
    """Return a call's result, or raise the library's sentence if it is a failure (negative, or a null pointer)."""
    if result is None or (isinstance(result, int) and result < 0):
        raise raised(error_text())
    return result
