"""llama.cpp's importance matrix (imatrix): writing statistics in its GGUF format, and reading them.

An imatrix holds, for each matrix, `NAME.in_sum2` (column sums of the squared inputs, a row for each expert) and
`NAME.counts` (tokens). It has no routing weights. On reading, they count as 1. On writing, the sums of `down` are those
weighted by them: a quantiser uses their proportions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from numpy.typing import NDArray

from edgemed.errors import CalibrationError, ModelFileError
from edgemed.model_file.header import Header, read_header
from edgemed.quant.statistics import LARGEST_SUM, Statistics

KIND = "imatrix"
DOMAIN = "imatrix"  # the domain of the texts of an imatrix, which does not name any
NAMES = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def write_imatrix(statistics: Statistics, path: Path, chunk_size: int = 512) -> None:
    """Write the experts' sums in the format that `llama-quantize --imatrix` reads. Raises OSError."""
    writer = GGUFWriter(path, arch="")
    writer.kv_data[0].clear()  # an imatrix has no architecture
    writer.add_string("general.type", KIND)
    writer.add_array("imatrix.datasets", list(statistics.domains))
    tokens = statistics.tokens.sum(axis=0)  # [L, E]
    per_layer = tokens.sum(axis=1).max(initial=0.0) / max(statistics.sample.experts.shape[2], 1)
    writer.add_uint32("imatrix.chunk_count", int(-(-per_layer // chunk_size)))
    writer.add_uint32("imatrix.chunk_size", chunk_size)
    for moe_layer, layer in enumerate(statistics.layers):
        sums = (statistics.input_squares, statistics.input_squares, statistics.inner_squares)
        for name, squares in zip(NAMES, sums, strict=True):
            stem = f"blk.{layer}.{name}.weight"
            writer.add_tensor(f"{stem}.in_sum2", squares[moe_layer].astype(np.float32))
            writer.add_tensor(f"{stem}.counts", tokens[moe_layer][:, None].astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_imatrix(path: Path, layers: Sequence[int], n_expert: int, n_embd: int, n_ff: int) -> Statistics:
    """The statistics of a model of this shape from an imatrix in GGUF format; they have no sample and no margins.

    Raises CalibrationError for any other file, or for an imatrix of another model.
    """
    try:
        header = read_header(path)
    except ModelFileError as error:
        raise CalibrationError(f"The imatrix cannot be read: {error}") from error
    if header.metadata.get("general.type") != KIND:
        raise CalibrationError(f"{path} is a GGUF file, but not an imatrix; make one with llama-imatrix.")
    found = Statistics.empty([DOMAIN], layers, n_expert=n_expert, n_used=1, n_embd=n_embd, n_ff=n_ff)
    for moe_layer, layer in enumerate(layers):
        for name, target in zip(NAMES, (found.input_squares, None, found.inner_squares), strict=True):
            if target is not None:
                stem = f"blk.{layer}.{name}.weight"
                target[moe_layer] = _floats(path, header, f"{stem}.in_sum2", (target.shape[2], n_expert))
                found.tokens[0, moe_layer] = _floats(path, header, f"{stem}.counts", (1, n_expert))[:, 0]
    found.share[:] = found.tokens
    return found


def _floats(path: Path, header: Header, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The values of one tensor; `shape` in ggml's order, the result in numpy's. Raises CalibrationError."""
    info = header.tensors.get(name)
    if info is None or info.shape != shape or info.type != Type.F32:
        raise CalibrationError(
            f"The imatrix {path} has no {name} of {shape[1]} x {shape[0]} numbers; make one of this model."
        )
    with path.open("rb") as file:
        file.seek(info.offset)
        values = np.frombuffer(file.read(info.nbytes), "<f4").reshape(shape[::-1])
    if not ((values >= 0) & (values <= LARGEST_SUM)).all():
        raise CalibrationError(
            f"The imatrix {path} has values in {name} that cannot be sums of squares; make it again."
        )
    return values
