"""Measuring the damage of types, and encoding experts, with what calibration saw of them.

Statistics of `edgemed calibrate` have a sample of whole tokens, so damages and codes follow the second moments of the
inputs (sensitivity.py, compensate.py). An imatrix has sums of squares only: then these weigh the columns when weights
are rounded, and the damage of a projection is its relative error.
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
from edgemed.arrays import Floats
from edgemed.errors import CalibrationError
from edgemed.quant import types
from edgemed.quant.calibration import read_calibration
from edgemed.quant.compensate import Moments, compensate
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.sample import UNUSED
from edgemed.quant.sensitivity import PRIOR_TOKENS, charged_tokens, measure, scaled
from edgemed.quant.statistics import Statistics

ACTIVATION = "silu"  # of the experts' gate: sensitivity.py has the derivatives of no other
TYPICAL_EXPERTS = 4  # of each layer, on which the gain of error compensation is measured
MOST_TOKENS = (1 << 32) - 1
WEIGHED_ROWS = 64  # of each matrix, evenly spaced, on which its damage is measured
EFFECT_TYPE = Type.Q3_K  # of all experts while the layers' effects are measured: mid-range among types of plans
Damages = NDArray[np.float64]
Matrices = tuple[Floats, Floats, Floats]  # gate, up, down


@dataclass(frozen=True)
class Calibrated:
    """Statistics in use. digest: SHA-256 of their file. compensated: whether codes are chosen by error compensation."""

    statistics: Statistics
    digest: str
    compensated: bool = True

    @classmethod
    def load(cls, path: Path, hparams: HParams, *, compensated: bool = True) -> Calibrated:
        """Statistics from a file of either kind. Raises CalibrationError if it is neither, or of another model."""
        if hparams.ACTIVATION != ACTIVATION:
            raise CalibrationError(
                f"{hparams.FAMILY} experts use the activation {hparams.ACTIVATION}, but calibration supports "
                f"{ACTIVATION} only; convert without --calibration."
            )
        statistics = read_calibration(path, hparams)
        if not statistics.tokens.any():
            raise CalibrationError(f"The statistics {path} have seen no token; calibrate with more text.")
        with path.open("rb") as file:
            return cls(statistics, hashlib.file_digest(file, "sha256").hexdigest(), compensated)

    @cached_property
    def sampled(self) -> bool:
        """Whether the statistics have whole tokens, and not only sums."""
        return bool((self.statistics.sample.key != UNUSED).any())

    @cached_property
    def expert_tokens(self) -> list[int]:
        """Tokens of each expert of each layer over all domains, [layers * experts], each within 32 bits."""
        tokens = np.minimum(np.rint(self.statistics.tokens.sum(axis=0)), MOST_TOKENS)
        return [int(count) for count in tokens.ravel()]

    def knows(self, layer: int) -> bool:
        """Whether calibration saw the experts of this layer. It does not see MTP layers."""
        return layer in self.statistics.layers

    def blocks(self, layer: int, expert: int, matrices: Matrices, chosen: Sequence[Type]) -> list[NDArray[np.uint8]]:
        """The expert's gate, up and down in the chosen types, each [rows, bytes]."""
        moe_layer = self.statistics.layers.index(layer)
        if not (self.sampled and self.compensated):
            importance = self._importance(moe_layer, expert)
            return [
                quantize(matrix, type_, sums) for matrix, type_, sums in zip(matrices, chosen, importance, strict=True)
            ]
        hessian = measure(self.statistics, moe_layer, expert, *matrices).hessian
        inputs, inner = Moments(hessian[0]), Moments(hessian[2])  # gate and up have the same inputs
        parts = zip(matrices, chosen, (inputs, inputs, inner), strict=True)
        return [compensate(matrix, type_, moments) for matrix, type_, moments in parts]

    def weigh(
        self, moe_layer: int, expert: int, matrices: Matrices, palette: Sequence[Type], *, compensated: bool = False
    ) -> Damages:
        """Damage [3, types] of one expert's projections in every type, measured on some of their rows.

        compensated: with the codes that `blocks` would choose, which takes far longer; else with ggml's.
        """
        damage = np.zeros((3, len(palette)))
        importance = self._importance(moe_layer, expert)
        known = measure(self.statistics, moe_layer, expert, *matrices) if self.sampled else None
        moments = [Moments(known.hessian[0]), Moments(known.hessian[2])] if known and compensated else []
        for projection, matrix in enumerate(matrices):
            picked = np.linspace(0, len(matrix) - 1, min(WEIGHED_ROWS, len(matrix))).astype(int)
            part, columns = matrix[picked], matrix.shape[1]
            # h: H [columns, columns], or its diagonal [columns]; slope [rows]: the weight of each row's error.
            if known is not None:
                h, slope = known.hessian[projection].astype(np.float32), known.slope[projection]
                # Scale from the picked rows to all rows by w diag(H) w^T times slope: rows differ much in that, and
                # little in the fraction of it that rounding loses.
                size = np.square(matrix) @ np.diag(h) * slope
                scale = known.tokens * size.sum() / max(size[picked].sum(), 1e-300)
            else:
                # Sums of squares only: the relative error, times the tokens that the expert is charged with.
                h, slope = importance[projection].astype(np.float32), np.ones(len(matrix))
                scale = self._charged[moe_layer, expert] / max((np.square(part) @ importance[projection]).sum(), 1e-300)
            for number, type_ in enumerate(palette):
                stored = types.storable(type_, columns)
                if moments:
                    blocks = compensate(part, stored, moments[projection == 2])
                else:
                    blocks = quantize(part, stored, importance[projection])
                # The damage of a row is e H e^T with e its quantisation error.
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
        """Damages [L, E, 3, types]. `read` gives the weights of a layer's expert and is called from several threads.

        Every expert is weighed with ggml's codes. The fraction of that damage that remains with error compensation is
        measured on TYPICAL_EXPERTS of each layer, and applied to all.
        """
        layers, experts = self.statistics.layers, self.statistics.tokens.shape[2]
        weighed = (*palette, EFFECT_TYPE)  # the effects are measured in a type that the palette may lack
        damage = np.zeros((len(layers), experts, 3, len(weighed)))
        better = np.zeros((len(layers), 3, len(weighed)))
        chosen = self._typical_experts() if self.sampled and self.compensated else np.zeros((len(layers), 0), np.int64)
        places = [(moe_layer, int(e), True) for moe_layer, picked in enumerate(chosen) for e in picked]
        places += [(moe_layer, e, False) for moe_layer, e in product(range(len(layers)), range(experts))]

        def one(place: tuple[int, int, bool]) -> Damages:
            moe_layer, expert, compensated = place
            return self.weigh(moe_layer, expert, read(layers[moe_layer], expert), weighed, compensated=compensated)

        with ThreadPoolExecutor(threads, thread_name_prefix="weigh") as pool:
            try:
                for done, (place, found) in enumerate(zip(places, pool.map(one, places), strict=True), 1):
                    moe_layer, expert, compensated = place
                    if compensated:
                        better[moe_layer] += found
                    else:
                        damage[moe_layer, expert] = found
                    on_progress(done, len(places))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if not np.isfinite(damage).all():
            raise CalibrationError(
                "Some experts' weights or statistics are so large that their damage is not finite; convert without "
                "--calibration, or with other statistics."
            )
        result, in_effect_type = damage[..., :-1], damage[..., -1]
        if chosen.size:
            # Damage with compensation over damage without, of the same experts, by layer, projection and type.
            same = np.stack([damage[moe_layer, picked].sum(axis=0) for moe_layer, picked in enumerate(chosen)])
            result = result * (better / np.maximum(same, 1e-300))[:, None, :, :-1]
        return self._comparable(result, in_effect_type.sum(axis=(1, 2)))

    def _comparable(self, damage: Damages, predicted: NDArray[np.float64]) -> Damages:
        """damage [L, E, 3, types] in one unit for all layers. predicted [L]: each layer's damage in EFFECT_TYPE.

        Measured effects give the unit. Without them damages are divided by the size of the layer's expert output: later
        layers have larger outputs, and the norm that follows sees relative changes.
        """
        effects, size = self.statistics.effects, self.statistics.output.sum(axis=(0, 2))
        if effects.any():
            return scaled(damage, predicted, effects)
        return damage / size[:, None, None, None] if (size > 0).all() else damage

    def _typical_experts(self) -> NDArray[np.int64]:
        """TYPICAL_EXPERTS of each layer, evenly spaced from rarely to often used, [L, few]."""
        used = np.argsort(self.statistics.tokens.sum(axis=0), axis=1, kind="stable")
        few = min(TYPICAL_EXPERTS, used.shape[1])
        return used[:, np.linspace(0, used.shape[1] - 1, few + 2).astype(int)[1:-1]]

    @cached_property
    def _charged(self) -> NDArray[np.float64]:
        return charged_tokens(self.statistics)

    def _importance(self, moe_layer: int, expert: int) -> tuple[NDArray[np.float64], ...]:
        """Importance of the columns of gate, up and down: the expert's mean squares, drawn towards the layer's mean as
        by PRIOR_TOKENS more tokens."""
        found = []
        for sums in (self.statistics.input_squares, self.statistics.inner_squares):
            tokens = self.statistics.tokens[:, moe_layer].sum(axis=0)
            mean = sums[moe_layer].sum(axis=0) / max(tokens.sum(), 1.0)
            found.append((sums[moe_layer, expert] + PRIOR_TOKENS * mean) / (tokens[expert] + PRIOR_TOKENS))
        return found[0], found[0], found[1]
