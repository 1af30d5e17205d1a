"""The weights of a GGUF as float32, read in ranges of rows: `GgufWeights(model).read(name, first_row, rows)`.

Tensors have the names of the edgemed layout, so an expert's matrix is found by the same name in a stacked stock tensor.
Where the file has checksums, an expert is compared with its own before it is read for the first time, and the dense
tensors when the file is opened.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.architectures.tensors import PROJECTIONS, tensor_name
from edgemed.arrays import Bytes, Floats
from edgemed.convert.shards import stamp
from edgemed.errors import CheckpointError
from edgemed.model_file import ModelFile, TensorInfo
from edgemed.native import Xxh3
from edgemed.quant import types
from edgemed.quant.quantize import dequantize

READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix of the model, or a vector as one row. `expert`: [MoE layer, expert] of a routed expert's matrix."""

    part: int
    offset: int
    nbytes: int
    type: Type
    columns: int
    expert: tuple[int, int] | None = None


class GgufWeights:
    """All weights of `model`, by name. Reading is thread-safe. Raises CheckpointError for damaged weights."""

    def __init__(self, model: ModelFile) -> None:
        self._model = model
        self._name = model.path.name
        self._matrices = dict(_matrices(model))
        self._lock = threading.Lock()
        self._checked: set[tuple[int, int]] = set()
        self._files: list[int] = []
        try:
            self._files += (os.open(part.path, os.O_RDONLY | os.O_CLOEXEC) for part in model.parts)
            self._statuses = [os.fstat(file) for file in self._files]
            self._check_dense()
        except BaseException:
            self.close()
            raise

    @property
    def stamps(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name, and size, times and inode, of each file."""
        parts = zip(self._model.parts, self._statuses, strict=True)
        return [(part.path.name, stamp(seen)) for part, seen in parts]

    def checksum(self, names: Iterable[str]) -> int:
        """XXH3-64 of the stored bytes of these tensors. Raises CheckpointError."""
        state = Xxh3()
        for name in names:
            matrix = self._matrices[name]
            for data in self._stored(matrix.part, matrix.offset, matrix.nbytes):
                state.update(data)
        return state.digest()

    def read(self, name: str, first_row: int, rows: int) -> Floats:
        """Rows `first_row` to `first_row + rows` of a tensor as float32 [rows, columns]; a vector is one row.

        Raises CheckpointError if the bytes do not match their checksum or stand for NaN or infinite values.
        """
        matrix = self._matrices[name]
        if matrix.expert is not None:
            self._check_expert(matrix.expert)
        row_bytes = types.row_bytes(matrix.type, matrix.columns)
        blocks = np.empty(rows * row_bytes, np.uint8)
        self._read_into(blocks, matrix.part, matrix.offset + first_row * row_bytes)
        values = dequantize(blocks, matrix.type, matrix.columns)
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise CheckpointError(f"{self._name} holds NaN or infinite values in {name}; use another copy.")
        return values

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def _check_dense(self) -> None:
        for tensor, wanted in zip(self._model.dense, self._model.dense_checksums or (), strict=False):
            self._compare(tensor.name, self._stored(tensor.part, tensor.offset, tensor.nbytes), wanted)

    def _check_expert(self, expert: tuple[int, int]) -> None:
        experts = self._model.experts
        with self._lock:
            if experts.checksum is None or expert in self._checked:
                return
            self._checked.add(expert)
        part, start = int(experts.part[*expert, 0]), int(experts.offset[*expert, 0])
        end = int(experts.offset[*expert, -1] + experts.nbytes[*expert, -1])
        label = f"expert {expert[1]} of layer {experts.layers[expert[0]]}"
        self._compare(label, self._stored(part, start, end - start), int(experts.checksum[expert]))

    def _compare(self, label: str, stored: Iterator[Bytes], wanted: int) -> None:
        state = Xxh3()
        for data in stored:
            state.update(data)
        if state.digest() != wanted:
            raise CheckpointError(f"{self._name} is damaged: {label} does not match its checksum; use another copy.")

    def _stored(self, part: int, offset: int, count: int) -> Iterator[Bytes]:
        """`count` bytes of a part from `offset` on, in chunks."""
        for done in range(0, count, READ_BYTES):
            data = np.empty(min(READ_BYTES, count - done), np.uint8)
            self._read_into(data, part, offset + done)
            yield data

    def _read_into(self, buffer: Bytes, part: int, offset: int) -> None:
        view, done = buffer.data, 0
        while done < len(view):
            got = os.preadv(self._files[part], [view[done:]], offset + done)
            if got == 0:
                raise CheckpointError(f"{self._name} became shorter while it was read; run the command again.")
            done += got


def with_head(model: ModelFile) -> list[TensorInfo]:
    """The dense tensors, and an output head where it is tied to the embedding."""
    if "output.weight" in model.tensors:
        return model.dense
    return [*model.dense, replace(model.tensors["token_embd.weight"], name="output.weight")]


def _matrices(model: ModelFile) -> Iterator[tuple[str, _Matrix]]:
    for tensor in with_head(model):
        yield tensor.name, _Matrix(tensor.part, tensor.offset, tensor.nbytes, tensor.type, tensor.shape[0])
    experts = model.experts
    columns = [shape[1] for shape in model.hparams.expert_matrix_shapes]
    for moe_layer, layer in enumerate(experts.layers):
        for expert in range(experts.per_layer):
            for number, projection in enumerate(PROJECTIONS):
                place = moe_layer, expert, number
                yield (
                    tensor_name(layer, expert, projection),
                    _Matrix(
                        int(experts.part[place]),
                        int(experts.offset[place]),
                        int(experts.nbytes[place]),
                        Type(int(experts.type[place])),
                        columns[number],
                        (moe_layer, expert),
                    ),
                )
