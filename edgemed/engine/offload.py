"""Which layers have their dense part computed on a device besides the processor, and which device that is.

Experts stay in this process's cache. Attention, shared experts, router, output head and the KV cache of the offloaded
layers are in the device's memory. The device is one that the installed llama.cpp was built for (CUDA, Vulkan and so on)
or one of a llama.cpp RPC server. For each MoE layer the scheduler copies three tensors to the experts (activations,
expert ids, weights) and one back; `edgemed.forecast.gpu_check` counts them.

RPC has neither authentication nor encryption. `reach` makes the only connection before the privacy locks close, so that
nothing else can leave this process.

Why: docs/decisions.md#gpu-offload.
"""

from __future__ import annotations

import ctypes
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from edgemed.engine.devices import Device, free_memory, own_device, registry, rpc_device, rpc_registry, why_no_device
from edgemed.errors import SetupError, UsageError

if TYPE_CHECKING:
    from edgemed.model_file import ModelFile

RESERVE_BYTES = 1 << 30
"""Free device memory that `auto` leaves for a batch's intermediate results and for the driver."""
_REACH_SECONDS = 5.0
_KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}
_ENDPOINT = re.compile(r"([0-9.]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Offload:
    """What the user asked for.

    layers: the number of last layers to offload, the output head included; None: as many as fit. rpc: ADDRESS:PORT of a
    llama.cpp RPC server; None: this machine's devices. unencrypted: the address may belong to another machine. Raises
    UsageError for contradictory values, and for another machine's address without `unencrypted`.
    """

    layers: int | None = None
    rpc: str | None = None
    unencrypted: bool = False

    def __post_init__(self) -> None:
        if self.layers == 0 and self.rpc is not None:
            raise UsageError("--gpu off leaves nothing for an RPC server to do; omit one of the two options.")
        if self.rpc is not None and not self.local and not self.unencrypted:
            raise UsageError(
                f"{self.rpc} is another machine, and RPC sends data derived from your text without encryption or "
                "password; add --rpc-unencrypted if only you use the network in between."
            )

    @property
    def local(self) -> bool:
        """True if no data leaves this machine. Raises UsageError for an invalid address."""
        return self.rpc is None or _address(self.rpc).is_loopback


AUTO, HOST = Offload(), Offload(layers=0)


@dataclass(frozen=True, slots=True)
class Placement:
    """The result: the last `layers` of `of` layers are on `device`. Without a device all are in this process's memory.
    host_bytes: memory of the layers that stay here, their KV cache included."""

    device: Device | None
    layers: int
    of: int
    host_bytes: int

    @property
    def handles(self) -> ctypes.Array[ctypes.c_void_p]:
        """For llama_model_params.devices. An empty list keeps llama.cpp from starting the driver of an unused GPU."""
        handles = [self.device.handle] if self.device is not None else []
        return (ctypes.c_void_p * (len(handles) + 1))(*handles)

    def __str__(self) -> str:
        if self.device is None:
            return "processor"
        return f"{self.layers} of {self.of} layers on {self.device.name} ({self.device.description})"


def reach(offload: Offload) -> None:
    """Connect to the RPC server, if there is one, and stay connected. Call it before `privacy.lock_down`.

    Raises SetupError if the server does not answer, if the installed llama.cpp has no RPC, or if this process may not
    open a socket because its parent is already locked down, as every chat is.
    """
    if offload.rpc is None:
        return
    rpc_registry()
    try:
        # llama.cpp aborts the process if it cannot connect, so try first.
        socket.create_connection(offload.rpc.split(":"), _REACH_SECONDS).close()  # type: ignore[arg-type]
    except PermissionError:
        raise SetupError("This process has no network access, so it cannot use an RPC server; omit --rpc.") from None
    except OSError as error:
        raise SetupError(
            f"No RPC server answers at {offload.rpc} ({error.strerror or error}); start llama.cpp's RPC server "
            f"there first."
        ) from None
    device = rpc_device(offload.rpc)
    _kept_open.append(registry().ggml_backend_dev_init(device.handle, None))


_kept_open: list[Any] = []  # backends: the connection stays open as long as one of them uses it


def place(file: ModelFile, offload: Offload, n_ctx: int, kv_type: str) -> Placement:
    """Decide the placement before loading. Raises SetupError if layers were asked for and there is no device or too
    little memory on it."""
    needs = layer_bytes(file, n_ctx, kv_type)
    nowhere = Placement(None, 0, len(needs), sum(needs))
    if offload.layers == 0:
        return nowhere
    device = rpc_device(offload.rpc) if offload.rpc is not None else own_device()
    if device is None:
        if offload.layers is None:
            return nowhere
        raise SetupError(f"{why_no_device()}, or omit --gpu.")
    fitting = layers_that_fit(needs, device.free_bytes - RESERVE_BYTES)
    layers = fitting if offload.layers is None else min(offload.layers, len(needs))
    if sum(needs[:layers]) > device.free_bytes:
        raise SetupError(
            f"{free_memory(device)}, too little for {layers} layers; use --gpu {fitting or 'off'}, which leaves 1 GiB "
            "for the rest."
        )
    return Placement(device, layers, len(needs), sum(needs[layers:])) if layers else nowhere


def layer_bytes(file: ModelFile, n_ctx: int, kv_type: str) -> list[int]:
    """Bytes that each layer takes on a device, in the order in which llama.cpp offloads them: the output head, then the
    last layer to the first. The embedding table stays with the processor."""
    h = file.hparams
    layers = [int(h.kv_values(layer) * n_ctx * _KV_BYTES[kv_type]) for layer in range(h.n_layer)]
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
    """How many of the first `needs` fit into `room` bytes together."""
    return sum(total <= room for total in accumulate(needs))


def _address(endpoint: str) -> ipaddress.IPv4Address:
    """The address in ADDRESS:PORT. Raises UsageError for anything else. Names are refused, because resolving them sends
    packets."""
    found = _ENDPOINT.fullmatch(endpoint)
    try:
        if found is None or not 0 < int(found[2]) < 1 << 16:
            raise ValueError
        return ipaddress.IPv4Address(found[1])
    except ValueError:
        raise UsageError(
            f"{endpoint!r} is not an IPv4 address with a port; write, for example, 127.0.0.1:50052."
        ) from None
