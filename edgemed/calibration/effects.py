"""The effect of each layer's experts on the next token: how much the divergence from the original falls when one
layer's experts stay unquantised and all others are quantised.

This is what the allocator needs to know. Quantising one layer alone would be misleading: in early layers it flips
routing decisions that flip anyway once everything is quantised (docs/decisions.md#layer-effects).

It takes one run per layer and one with all layers quantised, on a few passages. All experts are quantised once, to
EFFECT_TYPE, into a scratch file. The experts of the spared layer are appended to it unchanged, and the engine is told
where to find each expert.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.calibration.dense_effects import renamed, scratch_bytes
from edgemed.control_group import usable_processors
from edgemed.corpus.passages import Passage
from edgemed.engine.process.job import Report
from edgemed.engine.scoring_model import ScoringModel
from edgemed.errors import SetupError
from edgemed.evaluation.readings import compare, store
from edgemed.model_file import Experts, ModelFile, Part
from edgemed.quant import types
from edgemed.quant.calibrated import EFFECT_TYPE, Calibrated, Matrices
from edgemed.quant.planner import expert_bytes
from edgemed.quant.quantize import dequantize
from edgemed.quant.statistics import Statistics
from edgemed.sizes import PAGE, format_size

Open = Callable[[ModelFile], ScoringModel]


def spread(passages: list[Passage], tokens: int) -> list[Passage]:
    """Passages of about `tokens` tokens in total, spread evenly over the list, which is ordered by domain."""
    total = sum(len(passage.tokens) for passage in passages)
    ends = np.cumsum([len(passage.tokens) for passage in passages]) * min(1.0, tokens / total)
    mean = total / len(passages)
    # Scale the cumulated lengths to the wanted total, and take a passage wherever they cross a multiple of the mean.
    return [p for p, end, before in zip(passages, ends, [0.0, *ends[:-1]], strict=True) if end // mean > before // mean]


@dataclass(frozen=True)
class Effects:
    """Measures the effects of layers. folder: for the original's logits of `passages` and the quantised experts; open_:
    loads a model."""

    folder: Path
    passages: list[Passage]
    open_: Open

    def keep_reference(self, model: ScoringModel, report: Report) -> None:
        """Store the original's logits. Raises SetupError, also if the disk lacks space for all that follows."""
        file = model.file
        positions = sum(passage.positions for passage in self.passages)
        logits = 2 * positions * model.vocabulary.size
        needed = logits + _extents(file)[1] + _most_bytes_of_a_layer(file) + scratch_bytes(file)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise SetupError(
                f"Measuring the effects of layers needs {format_size(needed)} of temporary space and {self.folder} has "
                f"{format_size(free)} left; name another folder with --scratch, or skip this step with --effects 0."
            )
        store(model, self.passages, self.logits, renamed(report, "effects of layers: the original"))

    def quantise(self, file: ModelFile, statistics: Statistics, report: Report) -> ModelFile:
        """The model with all experts in EFFECT_TYPE, from the scratch file. Raises SetupError."""
        try:
            place = self._quantise(file, statistics, report)
        except OSError as error:
            raise SetupError(f"The temporary folder {self.folder} cannot be used: {error.strerror}.") from None
        return self._with_scratch(file, place)

    def measure(self, file: ModelFile, quantised: ModelFile, report: Report) -> NDArray[np.float64]:
        """Divergence avoided by sparing each layer, nats [layers]. Raises EdgemedErrors."""
        try:
            moe_layers = range(-1, len(quantised.experts.layers))
            found = [self._divergence(file, quantised, moe_layer, report) for moe_layer in moe_layers]
            os.truncate(self._experts, quantised.parts[-1].size)  # without what `_spare` appended
        except OSError as error:
            raise SetupError(f"The temporary folder {self.folder} cannot be used: {error.strerror}.") from None
        return np.maximum(found[0] - np.array(found[1:]), 0.0)  # a negative effect is noise

    @property
    def logits(self) -> Path:
        """The file with the original's logits of `passages`."""
        return self.folder / "effects.f16"

    @property
    def _experts(self) -> Path:
        return self.folder / "effects.experts"

    def _quantise(self, file: ModelFile, statistics: Statistics, report: Report) -> Experts:
        """Write all experts in EFFECT_TYPE, quantised with their importance, and return their locations."""
        quick = Calibrated(statistics, "", compensated=False)
        place, _ = _extents(file)
        h, shapes = file.hparams, file.hparams.expert_matrix_shapes
        chosen = [types.storable(EFFECT_TYPE, columns) for _, columns in shapes]
        target = os.open(self._experts, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

        def one(at: tuple[int, int]) -> None:
            gate, up, down = (
                dequantize(_read(file, at, p).reshape(rows, -1), _type(file.experts, at, p), columns)
                for p, (rows, columns) in enumerate(shapes)
            )
            matrices: Matrices = (gate, up, down)
            for p, blocks in enumerate(quick.blocks(statistics.layers[at[0]], at[1], matrices, chosen)):
                os.pwrite(target, blocks.tobytes(), int(place.offset[(*at, p)]))

        everything = list(product(range(len(statistics.layers)), range(h.n_expert)))
        try:
            with ThreadPoolExecutor(usable_processors()) as pool:
                for done, _ in enumerate(pool.map(one, everything), 1):
                    report("effects of layers: quantising", done, len(everything))
        finally:
            os.close(target)
        return place

    def _divergence(self, file: ModelFile, quantised: ModelFile, spared: int, report: Report) -> float:
        """Mean divergence from the original with all experts quantised except those of the MoE layer `spared` (-1:
        none)."""
        place = quantised.experts
        model = self.open_(self._with_scratch(file, self._spare(file, place, spared) if spared >= 0 else place))
        try:
            what = f"effects of layers: {spared + 1} of {len(place.layers)}"
            scores, _ = compare(model, self.passages, self.logits, renamed(report, what))
        finally:
            model.close()
        return float(scores["divergence"].mean())

    def _with_scratch(self, file: ModelFile, place: Experts) -> ModelFile:
        """`file` with its experts in the scratch file, which becomes its last part."""
        scratch = Part(self._experts, self._experts.stat().st_size)
        here = np.full(place.part.shape, len(file.parts), np.int32)
        return replace(file, parts=(*file.parts, scratch), experts=replace(place, part=here))

    def _spare(self, file: ModelFile, place: Experts, moe_layer: int) -> Experts:
        """Append the experts of one MoE layer unchanged, and return the locations with these replaced."""
        offset, nbytes, kinds = place.offset.copy(), place.nbytes.copy(), place.type.copy()
        at = int((place.offset + place.nbytes).max())
        with self._experts.open("r+b") as target:
            for expert in range(place.per_layer):
                at += -at % PAGE
                for p in range(3):
                    content = _read(file, (moe_layer, expert), p)
                    os.pwrite(target.fileno(), content.tobytes(), at)
                    offset[moe_layer, expert, p], nbytes[moe_layer, expert, p] = at, len(content)
                    kinds[moe_layer, expert, p] = file.experts.type[moe_layer, expert, p]
                    at += len(content)
        return replace(place, offset=offset, nbytes=nbytes, type=kinds)


def _extents(file: ModelFile) -> tuple[Experts, int]:
    """The locations of experts in EFFECT_TYPE in a file that holds only them, each starting on a new page; and the
    file's size in bytes."""
    h, count = file.hparams, file.hparams.n_moe_layers
    sizes = expert_bytes(h, (EFFECT_TYPE,))[:, 0]
    whole = int(sizes.sum())
    stride = whole + -whole % PAGE
    first = np.arange(count * h.n_expert, dtype=np.uint64).reshape(count, h.n_expert) * np.uint64(stride)
    inside = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.uint64)
    shape = (count, h.n_expert, 3)
    kinds = [types.storable(EFFECT_TYPE, columns) for _, columns in h.expert_matrix_shapes]
    found = Experts(
        tuple(h.moe_layers),
        part=np.zeros(shape, np.int32),
        offset=first[..., None] + inside,
        nbytes=np.broadcast_to(sizes.astype(np.uint64), shape),
        type=np.broadcast_to(np.array(kinds, np.int32), shape),
        checksum=None,
    )
    return found, stride * count * h.n_expert


def _most_bytes_of_a_layer(file: ModelFile) -> int:
    """Bytes that `_spare` appends at most."""
    return int(file.experts.nbytes.sum(axis=(1, 2)).max()) + PAGE * file.hparams.n_expert


def _read(file: ModelFile, at: tuple[int, int], projection: int) -> NDArray[np.uint8]:
    return np.frombuffer(file.read_expert(*at, projection), np.uint8)


def _type(experts: Experts, at: tuple[int, int], projection: int) -> Type:
    return Type(int(experts.type[(*at, projection)]))
