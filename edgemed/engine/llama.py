"""Starts libllama with our ggml device, once per process.

The device must be registered with the same copy of ggml that libllama uses: the package ships three copies of each
library (see `edgemed.ggml`). Both must also share one OpenMP runtime, because two thread pools that spin against each
other make the engine up to five times slower.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from llama_cpp import llama_cpp

from edgemed.errors import SetupError
from edgemed.ggml import ggml
from edgemed.native import LIBRARY
from edgemed.native.engine import check, engine_library

_WARNING = 3  # enum ggml_log_level


@cache
def start_llama() -> None:
    """Initialise libllama and register our device. Raises SetupError if the installed version is not a known one."""
    ggml()  # raises SetupError for an unknown version
    folder = Path(llama_cpp.__file__).parent / "lib"
    check(
        engine_library().edgemed_bind(
            str(folder / "libggml-base.so.0").encode(), str(folder / "libggml-cpu.so.0").encode()
        )
    )
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    loader = ctypes.CDLL(str(folder / "libggml.so.0")).ggml_backend_load
    loader.restype, loader.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    if not loader(str(LIBRARY).encode()):
        raise SetupError(
            "ggml refuses edgemed's device; install the version of llama-cpp-python that edgemed requires."
        )
    runtimes = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libgomp" in line}
    if len(runtimes) > 1:
        raise SetupError(
            f"Two OpenMP runtimes are loaded ({', '.join(sorted(runtimes))}); "
            "build edgemed and llama-cpp-python with the same compiler."
        )


class LogCapture:
    """llama.cpp's log while a model loads: warnings and errors for our messages, and the sizes of its buffers."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._buffers: dict[tuple[str, str], float] = {}

    def __call__(self, level: int, text: str) -> None:
        if level >= _WARNING and text.strip():
            self.complaints.append(text.strip())
        if found := _BUFFER_SIZE.search(text):
            self._buffers[found[1], found[2]] = float(found[3])

    def compute_bytes(self, elsewhere: str | None) -> int:
        """Scratch that llama.cpp has reserved in this process but not touched yet.

        elsewhere: the name of a device's memory, which does not count. Raises SetupError if the log names no compute
        buffer, since every context has one: counting none would break the limit of --ram silently.
        """
        if not any(kind == "compute buffer" for _, kind in self._buffers):
            raise SetupError(
                "llama.cpp's log does not name its compute buffer, so the limit of --ram cannot be computed; "
                "install the llama-cpp-python that edgemed names."
            )
        return int(sum(mib for (owner, _), mib in self._buffers.items() if owner != elsewhere) * 2**20)


# Anchored at the start of a word: lines can quote the model file, and one word of 100 kB took 25 s without the anchor.
_BUFFER_SIZE = re.compile(r"(?<!\S)(\S+)\s+((?:compute|output) buffer) size\s*=\s*([\d.]+) MiB")
_capture: Callable[[int, str], None] | None = None


def capture_log(capture: Callable[[int, str], None] | None) -> None:
    """Send libllama's log to `capture`; with None, send only its warnings to standard error."""
    global _capture
    _capture = capture


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace")
    if _capture is not None:
        _capture(level, line)
    elif level >= _WARNING:
        sys.stderr.write(line)
