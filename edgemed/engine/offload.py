"""Which of the dense layers a device beside the processor computes, and which device that is.

Experts stay where they are, in the cache of this process; attention, shared experts, router, output head and the KV
cache of the layers concerned live in the device's memory. A device is what the installed llama.cpp was built for
(CUDA, Vulkan and so on), or one that a llama.cpp RPC server lends. The scheduler then copies three tensors of an MoE
layer to us (activations, expert ids, their weights) and one back; `edgemed.forecast.gpu_check` counts them.

An RPC server neither asks who connects nor encrypts. So that nothing else can leave this process, `reach` makes the one
connection there is before privacy's locks close, and they close as tightly as ever.
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
"""Of the device's free memory, what `auto` leaves for a batch's intermediate results and the driver."""
_REACH_SECONDS = 5.0
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
class Placement:
    """What became of it: the last `layers` of `of` on `device`, all in the process's own memory where there is none.
    `host_bytes`: what those take that are left here, their keys and values included."""

    device: Device | None
    layers: int
    of: int
    host_bytes: int

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
    rpc_registry()
    try:
        # llama.cpp aborts the process where it cannot connect.
        socket.create_connection(offload.rpc.split(":"), _REACH_SECONDS).close()  # type: ignore[arg-type]
    except PermissionError:
        raise SetupError("This process may not use the network, so it cannot use an RPC server either.") from None
    except OSError as error:
        raise SetupError(
            f"Nobody answers at {offload.rpc} ({error.strerror or error}); start llama.cpp's RPC server there first."
        ) from None
    device = rpc_device(offload.rpc)
    _kept_open.append(registry().ggml_backend_dev_init(device.handle, None))


_kept_open: list[Any] = []  # backends; the connection lasts as long as one of them uses it


def place(file: ModelFile, offload: Offload, n_ctx: int, kv_type: str) -> Placement:
    """Decide before loading. Raises SetupError where layers were asked for and there is no device for them, or one that
    cannot hold them."""
    needs = layer_bytes(file, n_ctx, kv_type)
    nowhere = Placement(None, 0, len(needs), sum(needs))
    if offload.layers == 0:
        return nowhere
    device = rpc_device(offload.rpc) if offload.rpc is not None else own_device()
    if device is None:
        if offload.layers is None:
            return nowhere
        raise SetupError(f"{why_no_device()}, or leave --gpu away.")
    fitting = layers_that_fit(needs, device.free_bytes - RESERVE_BYTES)
    layers = fitting if offload.layers is None else min(offload.layers, len(needs))
    if sum(needs[:layers]) > device.free_bytes:
        raise SetupError(
            f"{free_memory(device)}, which does not hold {layers} layers; {fitting} fit and leave 1 GiB for the rest "
            f"(--gpu {fitting or 'off'})."
        )
    return Placement(device, layers, len(needs), sum(needs[layers:])) if layers else nowhere


def layer_bytes(file: ModelFile, n_ctx: int, kv_type: str) -> list[int]:
    """What each layer takes on a device, in the order llama.cpp hands them over: the output head, then the last layer
    up to the first. The embedding table stays with the processor."""
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
