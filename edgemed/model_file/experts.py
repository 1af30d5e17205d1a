"""The location of each expert's three matrices in the file, in either layout.

In the edgemed layout every expert has three 2-D tensors (`blk.L.ffn_gate.E.weight`, llama.cpp's historic per-expert
names). The stock layout stacks the experts of a layer in three 3-D tensors, or in two, with gate and up in one. They
are sliced here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemed.architectures import HParams
from edgemed.architectures.tensors import PROJECTIONS, fused_name, stacked_name, tensor_name
from edgemed.errors import ModelFileError
from edgemed.model_file.header import TensorInfo
from edgemed.sizes import PAGE


@dataclass(frozen=True, slots=True)
class Experts:
    """Arrays [MoE layer, expert, projection]: MoE layer m is block `layers[m]`; the projections are gate, up, down.

    part: i32, the file that holds it (`ModelFile.parts`); offset: u64, from the start of that file; nbytes: u64; type:
    i32, ggml's type numbers. checksum: u64 [MoE layer, expert], xxh3-64 over an expert's whole extent, or None if the
    file has none.
    """

    layers: tuple[int, ...]
    part: npt.NDArray[np.int32]
    offset: npt.NDArray[np.uint64]
    nbytes: npt.NDArray[np.uint64]
    type: npt.NDArray[np.int32]
    checksum: npt.NDArray[np.uint64] | None

    @property
    def per_layer(self) -> int:
        return int(self.offset.shape[1])


def find_experts(
    tensors: Mapping[str, TensorInfo], hparams: HParams, checksums: list[int] | None
) -> tuple[Experts, set[str]]:
    """Locate every expert, and return the names of the tensors that hold them.

    Raises ModelFileError if a tensor is missing or has the wrong shape, or if an expert with a checksum is not stored
    in one run of pages in the order gate, up, down.
    """
    layers = tuple(hparams.stored_moe_layers)
    shape = (len(layers), hparams.n_expert, len(PROJECTIONS))
    offset, nbytes = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
    part, types = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    taken: set[str] = set()
    for moe_layer, layer in enumerate(layers):
        for p, projection in enumerate(PROJECTIONS):
            inner = hparams.expert_matrix_shape(projection)[::-1]
            if found := _stack(tensors, layer, projection):
                stacked, together, place = found
                _expect(stacked, (inner[0], together * inner[1], hparams.n_expert))
                each = stacked.nbytes // hparams.n_expert // together
                number = together * np.arange(hparams.n_expert, dtype=np.uint64) + np.uint64(place)
                offset[moe_layer, :, p] = stacked.offset + each * number
                part[moe_layer, :, p], nbytes[moe_layer, :, p] = stacked.part, each
                types[moe_layer, :, p] = int(stacked.type)
                taken.add(stacked.name)
                continue
            for expert in range(hparams.n_expert):
                name = tensor_name(layer, expert, projection)
                info = tensors.get(name)
                if info is None:
                    raise ModelFileError(f"The model file has no tensor {name}; get a complete file of the model.")
                _expect(info, inner)
                offset[moe_layer, expert, p], nbytes[moe_layer, expert, p] = info.offset, info.nbytes
                part[moe_layer, expert, p], types[moe_layer, expert, p] = info.part, int(info.type)
                taken.add(name)
    return Experts(layers, part, offset, nbytes, types, _shape_checksums(checksums, part, offset, nbytes)), taken


def _stack(tensors: Mapping[str, TensorInfo], layer: int, projection: str) -> tuple[TensorInfo, int, int] | None:
    """(tensor that stacks this projection of a layer's experts, matrices of one expert in it, place among these)."""
    stacked, fused = tensors.get(stacked_name(layer, projection)), tensors.get(fused_name(layer))
    if stacked is not None:
        return stacked, 1, 0
    return (fused, 2, PROJECTIONS.index(projection)) if fused is not None and projection != "down" else None


def _expect(info: TensorInfo, shape: tuple[int, ...]) -> None:
    if info.shape != shape:
        raise ModelFileError(f"The model file's {info.name} has the shape {info.shape}, not {shape}.")


def _shape_checksums(
    checksums: list[int] | None,
    part: npt.NDArray[np.int32],
    offset: npt.NDArray[np.uint64],
    nbytes: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64] | None:
    if checksums is None:
        return None
    moe_layers, experts, _ = offset.shape
    if len(checksums) != moe_layers * experts:
        raise ModelFileError(
            f"The model file has {len(checksums)} expert checksums for {moe_layers * experts} experts."
        )
    if (part[..., 1:] != part[..., :2]).any():
        raise ModelFileError("The model file divides an expert between two parts; convert the checkpoint again.")
    end = offset + nbytes
    if not ((end[..., 0] <= offset[..., 1]) & (end[..., 1] <= offset[..., 2])).all():
        raise ModelFileError(
            "The model file does not store its experts in the order gate, up, down; convert the checkpoint again."
        )
    # The reader loads and verifies an expert as one run of pages, so no whole page may lie between its matrices.
    page = np.uint64(PAGE)
    if (offset[..., 1:] // page > (end[..., :2] + page - np.uint64(1)) // page).any():
        raise ModelFileError("The model file scatters an expert's matrices; convert the checkpoint again.")
    return np.array(checksums, np.uint64).reshape(moe_layers, experts)
