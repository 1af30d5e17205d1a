"""What calibration saw: how much each expert was used, and with which inputs. Files can be merged.

    domains, layers               D names of domains, L layer numbers of MoE layers; E experts in each
    tokens          [D, L, E]     tokens routed to the expert
    share           [D, L, E]     sum of the routing weights s (normalised and scaled, as applied)
    output          [D, L, E]     sum of s^2 |output|^2: the expert's part in the layer's output
    margins         [D, L, 16]    tokens whose lowest chosen score exceeded the highest rejected one by 2^-(i+1) to
                                  2^-i
    input_squares   [L, E, n_embd]    column sums of x^2, x the input of gate and up
    inner_squares   [L, E, n_ff_exp]  column sums of (s h)^2, h the input of down
    effects         [L]           KL divergence of the next token avoided by leaving the layer's experts unquantised
                                  when all others are quantised; 0 everywhere if it was not measured
    dense           [G]           KL divergence avoided by a group of dense matrices (dense.py) in Q8_0 instead of Q6_K
                                  when experts are quantised; 0 everywhere if it was not measured
    sample_*                      whole tokens of each layer (sample.py), from which second moments can be computed

The file is numpy's .npz without pickled objects: `numpy.load(path, allow_pickle=False)` reads it anywhere.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.architectures.tensors import DENSE_GROUPS
from edgemed.errors import CalibrationError
from edgemed.quant.sample import UNUSED, Sample
from edgemed.sizes import file_size

VERSION = 3
MARGIN_BINS = 16
MAX_FILE_BYTES = 64 << 30
LARGEST_SUM, LARGEST_OF_A_TOKEN = 1e30, 1e6  # with anything larger, results would be infinite in 32 bits
SUMS = ("tokens", "share", "output", "margins", "input_squares", "inner_squares")
ARRAYS = (*SUMS, "effects", "dense")
BY_DOMAIN = SUMS[:4]

# What numpy raises for damaged files.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, MemoryError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile),
)

Sums = NDArray[np.float64]


@dataclass
class Statistics:
    """The arrays of the module's docstring. Counts are float64, too: exact up to 2^53."""

    domains: tuple[str, ...]
    layers: tuple[int, ...]
    tokens: Sums
    share: Sums
    output: Sums
    margins: Sums
    input_squares: Sums
    inner_squares: Sums
    effects: Sums
    dense: Sums
    sample: Sample

    @classmethod
    def empty(
        cls,
        domains: Sequence[str],
        layers: Sequence[int],
        *,
        n_expert: int,
        n_used: int,
        n_embd: int,
        n_ff: int,
        sample: int = 0,
    ) -> Statistics:
        """Statistics of no tokens, with room for a sample of that many tokens of each layer."""
        d, count = len(domains), len(layers)
        return cls(
            tuple(domains),
            tuple(layers),
            tokens=np.zeros((d, count, n_expert)),
            share=np.zeros((d, count, n_expert)),
            output=np.zeros((d, count, n_expert)),
            margins=np.zeros((d, count, MARGIN_BINS)),
            input_squares=np.zeros((count, n_expert, n_embd)),
            inner_squares=np.zeros((count, n_expert, n_ff)),
            effects=np.zeros(count),
            dense=np.zeros(len(DENSE_GROUPS)),
            sample=Sample.empty(count, sample, n_embd, n_used),
        )

    def observe_layer(
        self,
        domain: int,
        moe_layer: int,
        key: NDArray[np.uint64],
        inputs: NDArray[np.floating],
        experts: NDArray[np.integer],
        shares: NDArray[np.floating],
        margins: NDArray[np.floating],
        entropy: NDArray[np.floating],
    ) -> None:
        """Add the routing of tokens of one domain in one MoE layer.

        key [tokens]; inputs [tokens, n_embd]; experts and shares [tokens, used]; margins [tokens]: lowest chosen minus
        highest rejected biased score; entropy [tokens] as Sample keeps it.
        """
        np.add.at(self.tokens[domain, moe_layer], experts, 1.0)
        np.add.at(self.share[domain, moe_layer], experts, shares)
        bins = np.clip(-np.frexp(np.maximum(margins, 1e-30))[1], 0, MARGIN_BINS - 1)
        np.add.at(self.margins[domain, moe_layer], bins, 1.0)
        self.sample.add(moe_layer, np.full(len(key), domain, np.int16), key, inputs, experts, shares, entropy)

    def observe_expert(
        self,
        domain: int,
        moe_layer: int,
        expert: int,
        inputs: NDArray[np.floating],
        share: NDArray[np.floating],
        inner: NDArray[np.floating],
        output: NDArray[np.floating],
    ) -> None:
        """Add one expert's tokens: inputs [tokens, n_embd], share [tokens], inner [tokens, n_ff], and output
        [tokens, n_embd] before it is multiplied by share."""
        self.input_squares[moe_layer, expert] += np.square(inputs, dtype=np.float64).sum(axis=0)
        self.inner_squares[moe_layer, expert] += np.square(share[:, None] * inner, dtype=np.float64).sum(axis=0)
        self.output[domain, moe_layer, expert] += np.square(share[:, None] * output, dtype=np.float64).sum()

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of both texts. Raises CalibrationError if the models have different shapes."""
        if self.layers != other.layers or any(
            getattr(self, name).shape[1:] != getattr(other, name).shape[1:] for name in SUMS
        ):
            raise CalibrationError(
                "These statistics come from models of different shapes and cannot be merged; use one model."
            )
        domains = tuple(sorted({*self.domains, *other.domains}))
        result = Statistics.empty(
            domains,
            self.layers,
            n_expert=self.tokens.shape[2],
            n_used=self.sample.experts.shape[2],
            n_embd=self.input_squares.shape[2],
            n_ff=self.inner_squares.shape[2],
            sample=max(self.sample.key.shape[1], other.sample.key.shape[1]),
        )
        for part in (self, other):
            place = np.array([domains.index(domain) for domain in part.domains], np.int16)
            for name in SUMS:
                total, sums = getattr(result, name), getattr(part, name)
                if name in BY_DOMAIN:
                    total[place] += sums
                else:
                    total += sums
            kept = part.sample
            for moe_layer in range(len(self.layers)):
                used = kept.key[moe_layer] != UNUSED
                result.sample.add(
                    moe_layer,
                    place[kept.domain[moe_layer, used]],
                    kept.key[moe_layer, used],
                    kept.inputs[moe_layer, used],
                    kept.experts[moe_layer, used],
                    kept.shares[moe_layer, used],
                    kept.entropy[moe_layer, used],
                )
        for name in ("effects", "dense"):
            # The mean, weighted by tokens. All zero means that it was not measured, and has no weight.
            one, two = getattr(self, name), getattr(other, name)
            read = np.array([part.tokens.sum() if getattr(part, name).any() else 0.0 for part in (self, other)])
            if read.any():
                getattr(result, name)[:] = (read[0] * one + read[1] * two) / read.sum()
        return result

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        arrays = [getattr(self, name) for name in ARRAYS]
        arrays += [getattr(self.sample, field.name) for field in fields(Sample)]
        return sum(array.nbytes for array in arrays)

    def save(self, path: Path) -> None:
        """Write the one file. Raises OSError."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {f"sample_{field.name}": getattr(self.sample, field.name) for field in fields(Sample)}
        with path.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                version=np.array(VERSION),
                domains=np.array(self.domains, np.str_),
                layers=np.array(self.layers, np.int64),
                **arrays,
            )

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Read what `save` wrote. Raises CalibrationError."""
        try:
            size = file_size(path)
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > min(MAX_FILE_BYTES, 2 * size):
                    raise CalibrationError(
                        f"The statistics {path} unpack to more than statistics can hold; collect them again."
                    )
            with np.load(path, allow_pickle=False) as stored:
                return cls._of_arrays({name: stored[name] for name in stored.files}, path)
        except _UNREADABLE as error:
            raise CalibrationError(f"The statistics {path} cannot be read: {error}.") from error

    @classmethod
    def _of_arrays(cls, arrays: dict[str, NDArray[Any]], path: Path) -> Statistics:
        """The statistics in these arrays of a file. Raises CalibrationError for shapes or values that cannot be."""
        if int(arrays["version"]) != VERSION:
            raise CalibrationError(f"The statistics {path} are of another version; collect them again.")
        sample = Sample(**{field.name: arrays[f"sample_{field.name}"] for field in fields(Sample)})
        found = cls(
            tuple(str(domain) for domain in arrays["domains"]),
            tuple(int(layer) for layer in arrays["layers"]),
            **{name: arrays[name] for name in ARRAYS},
            sample=sample,
        )
        d, count, (n_expert, n_embd) = len(found.domains), len(found.layers), found.input_squares.shape[1:]
        expected = cls.empty(
            found.domains,
            found.layers,
            n_expert=n_expert,
            n_used=sample.experts.shape[2],
            n_embd=n_embd,
            n_ff=found.inner_squares.shape[2],
            sample=sample.key.shape[1],
        )
        pairs = [(getattr(found, name), getattr(expected, name)) for name in ARRAYS]
        pairs += [(getattr(sample, field.name), getattr(expected.sample, field.name)) for field in fields(Sample)]
        alike = all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
        if not alike or (sample.domain < 0).any() or (sample.domain >= max(d, 1)).any():
            raise CalibrationError(
                f"The statistics {path} do not fit together ({d} domains, {count} layers); collect them again."
            )
        limits = [(a, LARGEST_SUM) for a, _ in pairs[: len(SUMS)]]
        limits += [(a, LARGEST_OF_A_TOKEN) for a in (found.effects, found.dense, sample.shares, sample.entropy)]
        possible = all(((a >= 0) & (a <= most)).all() for a, most in limits) and np.isfinite(sample.inputs).all()
        if not possible or (found.share > LARGEST_OF_A_TOKEN * found.tokens).any():
            raise CalibrationError(
                f"The statistics {path} hold values that cannot be sums of squares or counts; collect them again."
            )
        return found
