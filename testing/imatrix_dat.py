"""Importance matrices in llama.cpp's older format, built byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgemed.quant.imatrix import NAMES
from edgemed.quant.statistics import Statistics

Entries = dict[str, tuple[int, NDArray[np.floating]]]
"""By name: the number of calls, and the values."""


def encode_dat(entries: Mapping[str, tuple[int, NDArray[np.floating]]], ending: bytes = b"") -> bytes:
    """The bytes of a file with these entries and this ending."""
    parts = [struct.pack("<i", len(entries))]
    for name, (calls, values) in entries.items():
        parts += [struct.pack("<i", len(name)), name.encode(), struct.pack("<ii", calls, values.size)]
        parts.append(values.astype("<f4").tobytes())
    return b"".join(parts) + ending


def entries_of(statistics: Statistics, calls: int = 9) -> Entries:
    """What llama-imatrix would have written: mean squares times `calls`, and 1 times `calls` for unseen experts."""
    found: Entries = {}
    tokens = statistics.tokens.sum(axis=0)[..., None]
    for moe_layer, layer in enumerate(statistics.layers):
        for name, sums in zip(
            NAMES, (statistics.input_squares, statistics.input_squares, statistics.inner_squares), strict=True
        ):
            count = tokens[moe_layer]
            mean = np.where(count > 0, sums[moe_layer] / np.maximum(count, 1), 1.0)
            found[f"blk.{layer}.{name}.weight"] = (calls, mean * calls)
    return found
