"""Experts weighed and written with what calibration saw of them.

With statistics of our own, damages and codes follow the inputs' second moments (sensitivity.py, compensate.py). A
llama.cpp importance matrix knows sums of squares only: then codes are weighted by them, and each projection counts by
its relative error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.architectures import HParams
from edgemed.errors import CalibrationError
from edgemed.quant import types
from edgemed.quant.compensate import Moments, compensate
from edgemed.quant.imatrix import read_calibration
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.sample import UNUSED
from edgemed.quant.sensitivity import PRIOR_TOKENS, charged_tokens, measure, scaled
from edgemed.quant.statistics import Statistics

ACTIVATION = "silu"  # of the experts' gate
TYPICAL_EXPERTS = 4  # of each layer, on which better codes are tried
MOST_TOKENS = (1 << 32) - 1
WEIGHED_ROWS = 64  # of each matrix, evenly spread: its relative damage is measured on these
# Once codes are compensated, these keep more than others of their size (docs/quantisation.md).
PALETTES = {
    "fast": types.FAST,
    "small": (Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S, Type.IQ3_S, Type.IQ4_XS, Type.Q4_K, Type.Q5_K, Type.Q6_K),
}
EFFECT_TYPE = Type.Q3_K  # of all experts while layers' effects are measured: in the middle of what plans hold
Floats = NDArray[np.float32]
Damages = NDArray[np.float64]
Matrices = tuple[Floats, Floats, Floats]  # gate, up, down


@dataclass(frozen=True)
class Calibrated:
    """Statistics in use. `digest`: SHA-256 of their file. `compensated`: whether codes make up for one another."""

    statistics: Statistics
    digest: str
    compensated: bool = True

    @classmethod
    def load(cls, path: Path, hparams: HParams, *, compensated: bool = True) -> Calibrated:
        """Our own file or an importance matrix. Raises CalibrationError if it is neither, or of another model."""
        if hparams.ACTIVATION != ACTIVATION:  # the formulas of sensitivity.py are its derivatives
            raise CalibrationError(
                f"{hparams.FAMILY} experts use the activation {hparams.ACTIVATION}; calibrated plans are for "
                f"{ACTIVATION} only. Convert without --calibration."
            )
        statistics = read_calibration(path, hparams)
        if not statistics.tokens.any():
            raise CalibrationError(f"The statistics {path} have seen no token; calibrate with some text.")
        with path.open("rb") as file:
            return cls(statistics, hashlib.file_digest(file, "sha256").hexdigest(), compensated)

    @cached_property
    def sampled(self) -> bool:
        """Whether there are whole tokens, and not only sums."""
        return bool((self.statistics.sample.key != UNUSED).any())

    @cached_property
    def expert_tokens(self) -> list[int]:
        """How many tokens each expert of each layer got, whatever their domain, in 32 bits."""
        tokens = np.minimum(np.rint(self.statistics.tokens.sum(axis=0)), MOST_TOKENS)
        return [int(count) for count in tokens.ravel()]

    def knows(self, layer: int) -> bool:
        """Whether calibration saw this block: MTP layers it did not."""
        return layer in self.statistics.layers

    def blocks(self, layer: int, expert: int, matrices: Matrices, chosen: Sequence[Type]) -> list[NDArray[np.uint8]]:
        """The expert's matrices in their types, each [rows, bytes]."""
        row = self.statistics.layers.index(layer)
        if not (self.sampled and self.compensated):
            importance = self._importance(row, expert)
            return [
                quantize(matrix, type_, sums) for matrix, type_, sums in zip(matrices, chosen, importance, strict=True)
            ]
        hessian = measure(self.statistics, row, expert, *matrices).hessian
        inputs, inner = Moments(hessian[0]), Moments(hessian[2])  # gate and up see the same
        parts = zip(matrices, chosen, (inputs, inputs, inner), strict=True)
        return [compensate(matrix, type_, moments) for matrix, type_, moments in parts]

    def weigh(
        self, row: int, expert: int, matrices: Matrices, palette: Sequence[Type], *, compensated: bool = False
    ) -> Damages:
        """Damage [3, types] of one expert's projections in every type, measured on some of their rows.

        compensated: with the codes that `blocks` would choose, which takes far longer.
        """
        damage = np.zeros((3, len(palette)))
        importance = self._importance(row, expert)
        known = measure(self.statistics, row, expert, *matrices) if self.sampled else None
        moments = [Moments(known.hessian[0]), Moments(known.hessian[2])] if known and compensated else []
        for projection, matrix in enumerate(matrices):
            picked = np.linspace(0, len(matrix) - 1, min(WEIGHED_ROWS, len(matrix))).astype(int)
            part, columns = matrix[picked], matrix.shape[1]
            if known is not None:
                h, slope = known.hessian[projection].astype(np.float32), known.row[projection]
                # Rows differ more in their size and slope than in the part of it that rounding loses.
                size = np.square(matrix) @ np.diag(h) * slope
                scale = known.tokens * size.sum() / max(size[picked].sum(), 1e-300)
            else:
                h, slope = importance[projection].astype(np.float32), np.ones(len(matrix))
                scale = self._charged[row, expert] / max((np.square(part) @ importance[projection]).sum(), 1e-300)
            for number, type_ in enumerate(palette):
                stored = types.storable(type_, columns)
                if moments:
                    blocks = compensate(part, stored, moments[projection == 2])
                else:
                    blocks = quantize(part, stored, importance[projection])
                error = part - dequantize(blocks, stored, columns)
                lost = np.einsum("rc,rc->r", error @ h, error) if h.ndim == 2 else np.square(error) @ h
                damage[projection, number] = scale * lost @ slope[picked]
        return damage

    def weigh_all(
        self,
        read: Callable[[int, int], Matrices],
        palette: Sequence[Type],
        threads: int,
        on_progress: Callable[[int, int], None],
    ) -> Damages:
        """Damages [L, E, 3, types]; `read` gives the weights of a block's expert, from any thread.

        Every expert is weighed with ggml's codes; what better codes leave of each type's damage is measured on some
        experts of each layer. Layers are made comparable by their measured effects; without those by the size of
        their experts' result: later layers' results are larger, and what counts is how much the following norm sees
        change.
        """
        layers, experts = self.statistics.layers, self.statistics.tokens.shape[2]
        weighed = (*palette, EFFECT_TYPE)
        damage = np.zeros((len(layers), experts, 3, len(weighed)))
        better = np.zeros((len(layers), 3, len(weighed)))
        chosen = self._typical_experts() if self.sampled and self.compensated else np.zeros((len(layers), 0), np.int64)
        places = [(row, int(e), True) for row, picked in enumerate(chosen) for e in picked]
        places += [(row, e, False) for row, e in product(range(len(layers)), range(experts))]

        def one(place: tuple[int, int, bool]) -> Damages:
            row, expert, compensated = place
            return self.weigh(row, expert, read(layers[row], expert), weighed, compensated=compensated)

        with ThreadPoolExecutor(threads, thread_name_prefix="weigh") as pool:
            try:
                for done, (place, found) in enumerate(zip(places, pool.map(one, places), strict=True), 1):
                    row, expert, compensated = place
                    if compensated:
                        better[row] += found
                    else:
                        damage[row, expert] = found
                    on_progress(done, len(places))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        effects, size = self.statistics.effects, self.statistics.output.sum(axis=(0, 2))
        result = damage[..., :-1]
        if not np.isfinite(damage).all():
            raise CalibrationError(
                "Some experts' weights or statistics are too large for their damage to be told; convert without "
                "--calibration, or with other statistics."
            )
        if chosen.size:
            same = np.stack([damage[row, picked].sum(axis=0) for row, picked in enumerate(chosen)])
            result = result * (better / np.maximum(same, 1e-300))[:, None, :, :-1]
        if effects.any():
            return scaled(result, damage[..., -1].sum(axis=(1, 2)), effects)
        return result / size[:, None, None, None] if (size > 0).all() else result

    def _typical_experts(self) -> NDArray[np.int64]:
        """A few experts of each layer, from seldom to often used, [L, few]."""
        used = np.argsort(self.statistics.tokens.sum(axis=0), axis=1, kind="stable")
        few = min(TYPICAL_EXPERTS, used.shape[1])
        return used[:, np.linspace(0, used.shape[1] - 1, few + 2).astype(int)[1:-1]]

    @cached_property
    def _charged(self) -> NDArray[np.float64]:
        return charged_tokens(self.statistics)

    def _importance(self, row: int, expert: int) -> tuple[NDArray[np.float64], ...]:
        """Columns' importance for gate, up and down: the expert's own sums, leaning on its layer's mean."""
        found = []
        for sums in (self.statistics.input_squares, self.statistics.inner_squares):
            tokens = self.statistics.tokens[:, row].sum(axis=0)
            mean = sums[row].sum(axis=0) / max(tokens.sum(), 1.0)
            found.append((sums[row, expert] + PRIOR_TOKENS * mean) / (tokens[expert] + PRIOR_TOKENS))
        return found[0], found[0], found[1]
