"""Giving the device the model's routers, so that it can run the next layer's router early and prefetch its experts.

Why: docs/decisions.md#prefetch.
"""

from __future__ import annotations

import ctypes

import numpy as np
from gguf import GGMLQuantizationType

from edgemed.architectures.router import SigmoidGroups
from edgemed.arrays import Floats
from edgemed.model_file import ModelFile
from edgemed.native.engine import RouterShape, engine_library


def enable_prefetch(handle: int, file: ModelFile, limit: int) -> None:
    """Pass the routers, their biases and the norms before them to the store `handle`; `limit` is the number of experts
    to prefetch per layer.

    Does nothing for a router that the device does not know, or one that is not stored in F32.
    """
    h, router = file.hparams, file.hparams.router
    if not isinstance(router, SigmoidGroups):
        return
    weight = _stacked(file, router.weight, h.n_expert * h.n_embd)
    bias, norm = _stacked(file, router.bias, h.n_expert), _stacked(file, router.norm, h.n_embd)
    if weight is None or bias is None or norm is None:
        return
    groups = router.n_group, router.n_group_used
    shape = RouterShape(h.n_moe_layers, h.n_expert, h.n_expert_used, *groups, h.n_embd)
    engine_library().edgemed_enable_prefetch(
        handle, ctypes.byref(shape), weight.ctypes.data, bias.ctypes.data, norm.ctypes.data, limit
    )


def _stacked(file: ModelFile, name: str, size: int) -> Floats | None:
    """A tensor of every MoE layer, [MoE layers x size]; a missing one is zeros. None if one has another size in F32."""
    layers = []
    for layer in file.hparams.moe_layers:
        tensor = file.tensors.get(f"blk.{layer}.{name}")
        if tensor is not None and tensor.type != GGMLQuantizationType.F32:
            return None
        values = np.zeros(size, np.float32) if tensor is None else np.frombuffer(file.read(tensor), np.float32)
        layers.append(values)
    return np.concatenate(layers) if all(values.size == size for values in layers) else None
