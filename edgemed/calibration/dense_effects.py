"""The effect of each group of dense matrices on the next token: how much the divergence from the original falls when
one group is stored in Q8_0 and all others in Q6_K, with all experts quantised.

The method and the unit are those of effects.py. Rounding one group alone is even more misleading here: Q8_0 in one
group of the demonstration model changes so many narrow routing decisions that it causes half the divergence of Q6_K.
With all experts quantised, as in a real file, it is a fifth (docs/decisions.md#dense-groups).

The quantised experts are in the scratch file of effects.py. All dense tensors are written to a second file, unchanged
and in both types. Each run is told which of these to use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.architectures.tensors import DENSE_GROUPS, block_of
from edgemed.corpus.passages import Passage
from edgemed.engine.process.job import Report
from edgemed.engine.scoring_model import ScoringModel
from edgemed.errors import SetupError
from edgemed.evaluation.readings import compare
from edgemed.model_file import ModelFile, Part, TensorInfo
from edgemed.model_file.header import DEFAULT_ALIGNMENT
from edgemed.quant import types
from edgemed.quant.dense import TYPES, group_of
from edgemed.quant.quantize import dequantize, quantize

CHUNK_WEIGHTS = 1 << 22


def scratch_bytes(file: ModelFile) -> int:
    """An upper limit of the bytes that `DenseEffects` writes, logits excluded."""
    weights = sum(prod(info.shape) for info in file.dense)
    each = sum(types.bits_per_weight(type_) for type_ in TYPES) / 8
    padding = DEFAULT_ALIGNMENT * (1 + len(TYPES)) * len(file.dense)
    return sum(info.nbytes for info in file.dense) + int(weights * each) + padding


@dataclass(frozen=True)
class DenseEffects:
    """Measures the effects of groups in `folder`.

    logits: the original's logits of `passages`, as written by `readings.store`; open_: loads a model.
    """

    folder: Path
    logits: Path
    passages: list[Passage]
    open_: Callable[[ModelFile], ScoringModel]

    def measure(self, file: ModelFile, report: Report) -> NDArray[np.float64]:
        """Divergence avoided by Q8_0 instead of Q6_K, nats [groups]; 0 for groups that `file` lacks. Raises
        EdgemedErrors."""
        try:
            with (self.folder / "dense.weights").open("w+b") as target:
                stored = {info.name: _copy(file, info, target) for info in file.dense}
                small, large = (
                    [_round(file, group, type_, target) for group in range(len(DENSE_GROUPS))] for type_ in TYPES
                )
            all_small = stored | {name: info for group in small for name, info in group.items()}
            path = Path(target.name)
            lost = self._divergence(_with(file, path, all_small), report, "all in Q6_K")
            won = np.zeros(len(DENSE_GROUPS))
            for number, group in enumerate(large):
                if group:
                    spared = _with(file, path, all_small | group)
                    won[number] = lost - self._divergence(spared, report, f"{DENSE_GROUPS[number]} in Q8_0")
        except OSError as error:
            raise SetupError(f"The temporary folder {self.folder} cannot be used: {error.strerror}.") from None
        return np.maximum(won, 0.0)  # a negative effect is noise

    def _divergence(self, file: ModelFile, report: Report, which: str) -> float:
        with closing(self.open_(file)) as model:
            scores, _ = compare(
                model, self.passages, self.logits, renamed(report, f"effects of dense matrices: {which}")
            )
        return float(scores["divergence"].mean())


def _copy(file: ModelFile, info: TensorInfo, target: BinaryIO) -> TensorInfo:
    """Append the tensor unchanged."""
    return _append(info, info.type, (data.tobytes() for data in _rows(file, info)), target)


def _round(file: ModelFile, group: int, type_: Type, target: BinaryIO) -> dict[str, TensorInfo]:
    """Append a group's matrices in the given type. Returns their locations by name; empty if the model has none."""
    made = {}
    for info in file.dense:
        is_mtp = (block_of(info.name) or 0) >= file.hparams.n_layer
        if group_of(info.name, file.hparams.DENSE_KINDS) == group and not is_mtp:
            columns = info.shape[0]
            stored = types.storable(type_, columns)
            parts = (quantize(dequantize(data, info.type, columns), stored).tobytes() for data in _rows(file, info))
            made[info.name] = _append(info, stored, parts, target)
    return made


def _append(info: TensorInfo, type_: Type, parts: Iterator[bytes], target: BinaryIO) -> TensorInfo:
    target.write(bytes(-target.tell() % DEFAULT_ALIGNMENT))
    offset = target.tell()
    for part in parts:
        target.write(part)
    return replace(info, type=type_, offset=offset, nbytes=target.tell() - offset)


def _rows(file: ModelFile, info: TensorInfo) -> Iterator[NDArray[np.uint8]]:
    """The tensor's bytes [rows, bytes per row], a few rows at a time."""
    rows = prod(info.shape[1:])
    each, step = info.nbytes // rows, max(1, CHUNK_WEIGHTS // info.shape[0])
    for first in range(0, rows, step):
        count = min(step, rows - first)
        data = file.read(replace(info, offset=info.offset + first * each, nbytes=count * each))
        yield np.frombuffer(data, np.uint8).reshape(count, each)


def _with(file: ModelFile, path: Path, dense: dict[str, TensorInfo]) -> ModelFile:
    """The model with its dense tensors, in the same order, from another file, which becomes its last part."""
    moved = {name: replace(info, part=len(file.parts)) for name, info in dense.items()}
    parts = (*file.parts, Part(path, path.stat().st_size))
    ordered = [moved[info.name] for info in file.dense]
    return replace(file, parts=parts, dense=ordered, tensors=file.tensors | moved, dense_checksums=None)


def renamed(report: Report, stage: str) -> Report:
    """A report that replaces the name of the stage by `stage`."""
    return lambda _, done, total: report(stage, done, total)
