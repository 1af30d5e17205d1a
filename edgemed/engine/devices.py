"""The devices besides the processor that the installed llama.cpp can use, or why there is none.

Querying them starts the device's driver, so only the engine's process does it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from edgemed.errors import SetupError

DRIVER_BYTES = 256 << 20
"""Host memory that a GPU's driver and libraries take once they compute, mostly for kernels: with CUDA 13, 0.18 GiB on
top of what they take while loading."""
# pip's cache ignores CMAKE_ARGS, so it must be bypassed.
PIP = "pip install --force-reinstall --no-deps --no-cache-dir llama-cpp-python==0.3.36"
_NO_GPUS = ("CPU", "RPC", "BLAS", "edgemed")  # registered with ggml, but not GPUs
_GPU = 1  # enum ggml_backend_dev_type; an integrated GPU (2) shares the host's memory and would exceed --ram


@dataclass(frozen=True, slots=True)
class Device:
    """A ggml device. buffer_name: the name of its memory in llama.cpp's log; driver_bytes: host memory that its driver
    has yet to take."""

    handle: int
    name: str
    description: str
    free_bytes: int
    buffer_name: str
    driver_bytes: int


def own_device() -> Device | None:
    """This machine's GPU with the most free memory, or None."""
    return max(_own_devices(), key=lambda device: device.free_bytes, default=None)


def _own_devices() -> Iterator[Device]:
    for number in range(registry().ggml_backend_dev_count()):
        handle = registry().ggml_backend_dev_get(number)
        if registry().ggml_backend_dev_type(handle) == _GPU:
            yield _described(handle, DRIVER_BYTES)


def why_no_device() -> str:
    """Why no GPU can be used, and what to do about it: a sentence without its full stop."""
    device = own_device()
    if device is not None:
        return f"{free_memory(device)}, too little for one layer besides the 1 GiB reserved for a batch and the driver"
    kinds = _kinds()
    if kinds:
        return (
            f"llama.cpp was built for {kinds[0]}, but finds no GPU: run the driver's own tool first (for NVIDIA "
            "nvidia-smi, which lists the GPU and creates device files that a locked process cannot create)"
        )
    return (
        "The installed llama.cpp was built for the processor only; for an NVIDIA GPU build it with "
        f'CMAKE_ARGS="-DGGML_CUDA=on" {PIP} (docs/gpu.md names other devices)'
    )


def survey_gpu() -> str:
    """What `edgemed doctor` says about this machine's GPU."""
    device = own_device()
    if device is not None:
        return f"{free_memory(device)}, for the dense part (--gpu); the rates and the forecast do not include it"
    return why_no_device() if _kinds() else "none used: llama.cpp was built for the processor only (docs/gpu.md)"


def free_memory(device: Device) -> str:
    return f"{device.name} ({device.description}) has {device.free_bytes / 2**30:.2f} GiB of memory free"


def _kinds() -> list[str]:
    """The kinds of GPU that the installed llama.cpp was built for."""
    ggml = registry()
    found = (ggml.ggml_backend_reg_name(ggml.ggml_backend_reg_get(i)) for i in range(ggml.ggml_backend_reg_count()))
    return [kind for kind in (name.decode() for name in found) if kind not in _NO_GPUS]


def rpc_device(endpoint: str) -> Device:
    """The RPC server's first device. The first call connects, and llama.cpp keeps the server. Raises SetupError."""
    add_server = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(
        registry().ggml_backend_reg_get_proc_address(rpc_registry(), b"ggml_backend_rpc_add_server")
    )
    server = add_server(endpoint.encode())
    if server is None:
        raise SetupError(f"The RPC server at {endpoint} offers no device; start it with one.")
    return _described(registry().ggml_backend_reg_dev_get(server, 0))


def rpc_registry() -> int:
    """ggml's registry of RPC devices. Raises SetupError if the installed llama.cpp has no RPC."""
    found: int | None = registry().ggml_backend_reg_by_name(b"RPC")
    if found is None:
        raise SetupError(
            f'The installed llama.cpp has no RPC; build it with CMAKE_ARGS="-DGGML_RPC=on" {PIP} (docs/gpu.md).'
        )
    return found


def _described(handle: int, driver_bytes: int = 0) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    registry().ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    return Device(
        handle=handle,
        name=registry().ggml_backend_dev_name(handle).decode(),
        description=registry().ggml_backend_dev_description(handle).decode(),
        free_bytes=free.value,
        buffer_name=registry().ggml_backend_buft_name(registry().ggml_backend_dev_buffer_type(handle)).decode(),
        driver_bytes=driver_bytes,
    )


_HANDLE = ctypes.c_void_p
_SIZE_OUT = ctypes.POINTER(ctypes.c_size_t)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_backend_dev_count": (ctypes.c_size_t, ()),
    "ggml_backend_dev_get": (_HANDLE, (ctypes.c_size_t,)),
    "ggml_backend_dev_type": (ctypes.c_int, (_HANDLE,)),
    "ggml_backend_dev_name": (ctypes.c_char_p, (_HANDLE,)),
    "ggml_backend_dev_description": (ctypes.c_char_p, (_HANDLE,)),
    "ggml_backend_dev_memory": (None, (_HANDLE, _SIZE_OUT, _SIZE_OUT)),
    "ggml_backend_dev_buffer_type": (_HANDLE, (_HANDLE,)),
    "ggml_backend_buft_name": (ctypes.c_char_p, (_HANDLE,)),
    "ggml_backend_dev_init": (_HANDLE, (_HANDLE, ctypes.c_char_p)),
    "ggml_backend_reg_count": (ctypes.c_size_t, ()),
    "ggml_backend_reg_get": (_HANDLE, (ctypes.c_size_t,)),
    "ggml_backend_reg_name": (ctypes.c_char_p, (_HANDLE,)),
    "ggml_backend_reg_by_name": (_HANDLE, (ctypes.c_char_p,)),
    "ggml_backend_reg_get_proc_address": (_HANDLE, (_HANDLE, ctypes.c_char_p)),
    "ggml_backend_reg_dev_get": (_HANDLE, (_HANDLE, ctypes.c_size_t)),
}


@cache
def registry() -> ctypes.CDLL:
    """ggml's registry of devices, as libllama sees it. Only for the engine's process."""
    from edgemed.engine.llama import start_llama
    from edgemed.ggml import library_folder
    from edgemed.native import declare

    start_llama()
    lib = ctypes.CDLL(str(library_folder() / "libggml.so.0"))
    declare(lib, _SIGNATURES)
    return lib
