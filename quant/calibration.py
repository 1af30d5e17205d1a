"""Loading what calibration saw of a model: statistics of `edgemed calibrate`, or an imatrix of llama.cpp.

Both become `Statistics` and are checked against the shape of the model.
"""

from __future__ import annotations

from pathlib import Path

from edgemed.architectures import HParams
from edgemed.errors import CalibrationError
from edgemed.quant.imatrix import DOMAIN, read_imatrix
from edgemed.quant.imatrix_dat import read_dat
from edgemed.quant.statistics import Statistics
from edgemed.sizes import file_size

ZIP_MAGIC = b"PK\3\4"  # numpy's .npz is a zip file


def refuse_unreadable(path: Path) -> None:
    """Raise CalibrationError if the file cannot be read at all.

    `read_calibration` checks its content, but needs the shape of the model.
    """
    _first_bytes(path)


def read_calibration(path: Path, hparams: HParams) -> Statistics:
    """The statistics of a model of this shape, from a file of either kind. Raises CalibrationError."""
    layers = tuple(hparams.moe_layers)
    shape = (hparams.n_expert, hparams.n_embd, hparams.n_ff_exp)
    match _first_bytes(path):
        case b"GGUF":
            return read_imatrix(path, layers, *shape)
        case magic if magic != ZIP_MAGIC:
            return read_dat(path, layers, *shape, DOMAIN)
    found = Statistics.load(path)
    seen = (*found.input_squares.shape[1:], found.inner_squares.shape[2])
    if found.layers != layers or seen != shape:
        raise CalibrationError(
            f"The statistics {path} are of a model with {len(found.layers)} layers of {seen[0]} experts "
            f"({seen[1]} x {seen[2]}), but this one has {len(layers)} of {shape[0]} ({shape[1]} x {shape[2]}); "
            "calibrate with this model."
        )
    return found


def _first_bytes(path: Path) -> bytes:
    try:
        file_size(path)  # refuses pipes and devices, which may have no end
        with path.open("rb") as file:
            return file.read(len(ZIP_MAGIC))
    except OSError as error:
        raise CalibrationError(f"The statistics {path} cannot be read: {error.strerror}.") from None
