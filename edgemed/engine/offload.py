"""Which of the dense layers a device beside the processor computes, and which device that is.

Experts stay where they are, in the cache of this process; attention, shared experts, router, output head and the KV
cache of the layers concerned live in the device's memory. A device is what the installed llama.cpp was built for
(CUDA, Vulkan and so on), or one that a llama.cpp RPC server lends. The scheduler then copies three tensors of an MoE
layer to us (activations, expert ids, their weights) and one back; `edgemed.evaluation.offload_check` counts them.

An RPC server neither asks who connects nor encrypts. So that nothing else can leave this process, `reach` makes the one
connection there is before privacy's locks close, and they close as tightly as ever.
"""

from __future__ import annotations

import ctypes
import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from edgemed.errors import SetupError, UsageError

if TYPE_CHECKING:
    from edgemed.model_file import ModelFile

RESERVE_BYTES = 1 << 30
"""Of the device's free memory, what `auto` leaves for a batch's intermediate results and the driver."""
DRIVER_BYTES = 256 << 20
"""Of this process's memory, what a GPU's driver and its libraries take once they compute, kernels above all (0.18 GiB
measured with CUDA 13, beyond what they took for loading)."""
PIP = "pip install --force-reinstall --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36"
_REACH_SECONDS = 5.0
_NO_GPUS = ("CPU", "RPC", "BLAS", "edgemed")  # what else registers with ggml
_GPU = 1  # enum ggml_backend_dev_type; an integrated one (2) has no memory of its own and would break --ram
_KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}
_ENDPOINT = re.compile(r"([0-9.]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Offload:
    """What the user wants.

    layers: so many of the last ones, the output head counted as one; None takes as many as fit. rpc: ADDRESS:PORT of a
    llama.cpp RPC server; None means this machine's own devices. unencrypted: the address may be another machine's.
    Raises UsageError for values that mean nothing or need that word.
    """

    layers: int | None = None
    rpc: str | None = None
    unencrypted: bool = False

    def __post_init__(self) -> None:
        if self.layers == 0 and self.rpc is not None:
            raise UsageError("--gpu off leaves nothing for an RPC server to do; leave one of the two away.")
        if self.rpc is not None and not self.local and not self.unencrypted:
            raise UsageError(
                f"{self.rpc} is another machine, and RPC sends what becomes of your text without encryption or "
                "password; say --rpc-unencrypted as well if the network between is yours alone."
            )

    @property
    def local(self) -> bool:
        """Whether nothing leaves this machine. Raises UsageError for an address that is none."""
        return self.rpc is None or _address(self.rpc).is_loopback


AUTO, HOST = Offload(), Offload(layers=0)


@dataclass(frozen=True, slots=True)
class Device:
    """A ggml device. `buffer_name`: what llama.cpp's log calls its memory; `driver_bytes`: what its driver is still
    going to take of ours."""

    handle: int
    name: str
    description: str
    free_bytes: int
    buffer_name: str
    driver_bytes: int


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of it: the last `layers` of `of` on `device`, all in the process's own memory where there is none."""

    device: Device | None
    layers: int
    of: int

    @property
    def handles(self) -> ctypes.Array[ctypes.c_void_p]:
        """For llama_model_params.devices. An empty list also keeps llama.cpp from waking a GPU it has no work for."""
        handles = [self.device.handle] if self.device is not None else []
        return (ctypes.c_void_p * (len(handles) + 1))(*handles)

    def __str__(self) -> str:
        if self.device is None:
            return "processor"
        return f"{self.layers} of {self.of} layers on {self.device.name} ({self.device.description})"


def reach(offload: Offload) -> None:
    """Connect to the RPC server, if one is wanted, and stay connected; to be called before `privacy.lock_down`.

    Raises SetupError where nobody answers, where the installed llama.cpp has no RPC, and where this process may not
    open a socket: it was started by one that is locked down already, as every chat is.
    """
    if offload.rpc is None:
        return
    _rpc_registry()
    try:
        # llama.cpp aborts the process where it cannot connect.
        socket.create_connection(offload.rpc.split(":"), _REACH_SECONDS).close()  # type: ignore[arg-type]
    except PermissionError:
        raise SetupError("This process may not use the network, so it cannot use an RPC server either.") from None
    except OSError as error:
        raise SetupError(
            f"Nobody answers at {offload.rpc} ({error.strerror or error}); start llama.cpp's RPC server there first."
        ) from None
    device = _rpc_device(offload.rpc)
    _kept_open.append(_ggml().ggml_backend_dev_init(device.handle, None))


_kept_open: list[Any] = []  # backends; the connection lasts as long as one of them uses it


def place(file: ModelFile, offload: Offload, n_ctx: int, kv_type: str) -> Placement:
    """Decide before loading. Raises SetupError where layers were asked for and there is no device for them, or one that
    cannot hold them."""
    needs = layer_bytes(file, n_ctx, kv_type)
    nowhere = Placement(None, 0, len(needs))
    if offload.layers == 0:
        return nowhere
    device = _rpc_device(offload.rpc) if offload.rpc is not None else _own_device()
    if device is None:
        if offload.layers is None:
            return nowhere
        raise SetupError(f"{why_no_device()}, or leave --gpu away.")
    fitting = layers_that_fit(needs, device.free_bytes - RESERVE_BYTES)
    layers = fitting if offload.layers is None else min(offload.layers, len(needs))
    if sum(needs[:layers]) > device.free_bytes:
        raise SetupError(
            f"{_free(device)}, which does not hold {layers} layers; {fitting} fit and leave 1 GiB for the rest "
            f"(--gpu {fitting or 'off'})."
        )
    return Placement(device, layers, len(needs)) if layers else nowhere


def layer_bytes(file: ModelFile, n_ctx: int, kv_type: str) -> list[int]:
    """What each layer takes on a device, in the order llama.cpp hands them over: the output head, then the last layer
    up to the first. The embedding table stays with the processor."""
    h = file.hparams
    keys_and_values = int(2 * h.n_head_kv * h.head_dim * n_ctx * _KV_BYTES[kv_type])
    layers = [keys_and_values] * h.n_layer
    head = 0
    for tensor in file.dense:
        owner = re.match(r"blk\.([0-9]+)\.", tensor.name)
        if owner is None:
            head += tensor.nbytes if tensor.name.startswith("output") else 0
        elif int(owner[1]) < h.n_layer:
            layers[int(owner[1])] += tensor.nbytes
    if "output.weight" not in file.tensors:  # tied: llama.cpp copies the embedding table
        head += file.tensors["token_embd.weight"].nbytes
    return [head, *reversed(layers)]


def layers_that_fit(needs: Sequence[int], room: int) -> int:
    """How many of `needs`, from the first on, `room` bytes hold."""
    return sum(total <= room for total in accumulate(needs))


def _address(endpoint: str) -> ipaddress.IPv4Address:
    """Raises UsageError for what is no ADDRESS:PORT. Names are not resolved: asking a name server is traffic, too."""
    found = _ENDPOINT.fullmatch(endpoint)
    try:
        if found is None or not 0 < int(found[2]) < 1 << 16:
            raise ValueError
        return ipaddress.IPv4Address(found[1])
    except ValueError:
        raise UsageError(f"{endpoint!r} is no IPv4 address with a port; write, for example, 127.0.0.1:50052.") from None


def _own_device() -> Device | None:
    """This machine's GPU; where there are several, the one with the most free memory."""
    return max(_own_devices(), key=lambda device: device.free_bytes, default=None)


def _own_devices() -> Iterator[Device]:
    for number in range(_ggml().ggml_backend_dev_count()):
        handle = _ggml().ggml_backend_dev_get(number)
        if _ggml().ggml_backend_dev_type(handle) == _GPU:
            yield _described(handle, DRIVER_BYTES)


def why_no_device() -> str:
    """What this machine lacks, and what to do about it; a sentence without its full stop."""
    device = _own_device()
    if device is not None:
        return f"{_free(device)}, which holds no layer beside the 1 GiB that a batch and the driver may want"
    kinds = [kind for kind in _registries() if kind not in _NO_GPUS]
    if kinds:
        return (
            f"llama.cpp was built for {kinds[0]}, but sees no GPU: run the driver's own tool first (for NVIDIA "
            "nvidia-smi: it lists the GPU, and makes the device files that a locked process may not make)"
        )
    return (
        "The installed llama.cpp was built for the processor alone; for an NVIDIA GPU build it with "
        f'CMAKE_ARGS="-DGGML_CUDA=on" {PIP} (docs/gpu.md names other devices)'
    )


def _free(device: Device) -> str:
    return f"{device.name} ({device.description}) has {device.free_bytes / 2**30:.2f} GiB of memory free"


def _registries() -> list[str]:
    ggml = _ggml()
    found = (ggml.ggml_backend_reg_name(ggml.ggml_backend_reg_get(i)) for i in range(ggml.ggml_backend_reg_count()))
    return [name.decode() for name in found]


def _rpc_device(endpoint: str) -> Device:
    """The server's first device. The first call connects; llama.cpp remembers the server."""
    add_server = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(
        _ggml().ggml_backend_reg_get_proc_address(_rpc_registry(), b"ggml_backend_rpc_add_server")
    )
    server = add_server(endpoint.encode())
    if server is None:
        raise SetupError(f"The RPC server at {endpoint} has no device to lend.")
    return _described(_ggml().ggml_backend_reg_dev_get(server, 0))


def _rpc_registry() -> int:
    registry: int | None = _ggml().ggml_backend_reg_by_name(b"RPC")
    if registry is None:
        raise SetupError(
            f'The installed llama.cpp has no RPC; build it with CMAKE_ARGS="-DGGML_RPC=on" {PIP} (docs/gpu.md).'
        )
    return registry


def _described(handle: int, driver_bytes: int = 0) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _ggml().ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    return Device(
        handle=handle,
        name=_ggml().ggml_backend_dev_name(handle).decode(),
        description=_ggml().ggml_backend_dev_description(handle).decode(),
        free_bytes=free.value,
        buffer_name=_ggml().ggml_backend_buft_name(_ggml().ggml_backend_dev_buffer_type(handle)).decode(),
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
def _ggml() -> ctypes.CDLL:
    """ggml's registry and devices, as libllama sees them. In the engine's process only."""
    from edgemed.engine.library import start_llama
    from edgemed.ggml import library_folder
    from edgemed.native import declare

    start_llama()
    lib = ctypes.CDLL(str(library_folder() / "libggml.so.0"))
    declare(lib, _SIGNATURES)
    return lib
