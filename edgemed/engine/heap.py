"""How the C library's allocator behaves while a model loads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MMAP_MAX_DEFAULT, _TRIM_DEFAULT = 65536, 128 << 10


@contextmanager
def reused_heap() -> Iterator[None]:
    """Large blocks come from the heap and stay there until the block ends, instead of being mapped anew each time.

    libllama allocates a staging buffer for every virtual expert tensor (150 MB each at AntAngelMed's shape, 93 times);
    mapped, each costs the kernel as many zeroed pages again.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # not glibc: slower, and nothing else
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _MMAP_MAX_DEFAULT)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_DEFAULT)
        libc.malloc_trim(0)
