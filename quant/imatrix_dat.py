"""llama.cpp's importance matrix in its older format (`imatrix.dat`), which llama-imatrix wrote before GGUF.

Little-endian numbers: i32 entries; for each entry i32 length and the name of a matrix, i32 calls, i32 values and
the values as f32; then, in newer files, i32 chunks, i32 length and the name of the texts.

A value is a column's mean squared input times `calls`; the values of stacked experts follow one another. The format has
no number of tokens for each expert, so every expert with data counts the same. An expert without data has the value 1
times `calls`, or 0, in all columns.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import CalibrationError
from edgemed.quant.statistics import LARGEST_SUM, Statistics

MAX_ENTRIES = 1 << 16
MAX_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class _Entry:
    """One matrix: where its f32 values begin in the file, their number, and by how many calls they are multiplied."""

    offset: int
    values: int
    calls: int


def read_dat(path: Path, layers: Sequence[int], n_expert: int, n_embd: int, n_ff: int, domain: str) -> Statistics:
    """The statistics of a model of this shape; they have no sample, no margins and no routing.

    Raises CalibrationError for any other file, or for an imatrix of another model.
    """
    entries = _entries(path)
    found = Statistics.empty([domain], layers, n_expert=n_expert, n_used=1, n_embd=n_embd, n_ff=n_ff)
    for moe_layer, layer in enumerate(layers):
        for projection, target in (("gate", found.input_squares), ("down", found.inner_squares)):
            name = f"blk.{layer}.ffn_{projection}_exps.weight"
            entry = entries.get(name)
            if entry is None or entry.values != target[moe_layer].size:
                raise CalibrationError(
                    f"The imatrix {path} has no {name} of {n_expert} x {target.shape[2]} numbers; make one of this "
                    "model."
                )
            values = _values(path, name, entry).reshape(n_expert, -1)
            seen = ~((values == 0) | (values == entry.calls)).all(axis=1)
            target[moe_layer] = values * seen[:, None]
            found.tokens[0, moe_layer] = entry.calls * seen
    found.share[:] = found.tokens
    return found


def _entries(path: Path) -> dict[str, _Entry]:
    """Every entry by name. Raises CalibrationError if the file breaks the format."""
    entries: dict[str, _Entry] = {}
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            (count,) = struct.unpack("<i", file.read(4))
            if not 0 < count <= MAX_ENTRIES:
                raise ValueError
            for _ in range(count):
                (length,) = struct.unpack("<i", file.read(4))
                if not 0 < length <= MAX_NAME_BYTES:
                    raise ValueError
                name = file.read(length).decode()
                calls, values = struct.unpack("<ii", file.read(8))
                entries[name] = _Entry(file.tell(), values, calls)
                if calls < 1 or values < 1 or file.tell() + 4 * values > size:
                    raise ValueError
                file.seek(4 * values, 1)
    except OSError as error:
        raise CalibrationError(f"The statistics {path} cannot be read: {error.strerror}.") from None
    except (ValueError, struct.error):
        raise CalibrationError(
            f"{path} is neither statistics of `edgemed calibrate` nor an imatrix of llama.cpp, or it is damaged; make "
            "it again."
        ) from None
    return entries


def _values(path: Path, name: str, entry: _Entry) -> NDArray[np.float32]:
    with path.open("rb") as file:
        file.seek(entry.offset)
        values = np.frombuffer(file.read(4 * entry.values), "<f4")
    if len(values) != entry.values or not ((values >= 0) & (values <= LARGEST_SUM)).all():
        raise CalibrationError(
            f"The imatrix {path} has values in {name} that cannot be sums of squares; make it again."
        )
    return values
