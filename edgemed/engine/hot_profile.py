"""Which experts are hot, so that a start reads them in first: those of calibration, or those of the last run.

Calibration's counts are in the model file. What a model was lately used for tells its topic: two questions about one
disease use experts alike, two about others do not (docs/decisions.md). So `model.gguf.hot` is written only where the
user asks for it, and for their eyes alone. It holds one number for each expert (how often it was lately used): no text,
no tokens, no order, no times. Without either a start is slower, and nothing else changes.
"""

from __future__ import annotations

import contextlib
import io
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgemed.model_file import ModelFile
from edgemed.sizes import file_size

Scores = npt.NDArray[np.float32]
"""[row, expert]: log2 of decayed uses, relative to the moment of writing; NEVER where never used."""

NEVER = np.float32(-1e30)

_MOST_HEADER_BYTES = 4096  # of a .npy file
_HOTTEST = 64.0
"""No model makes 2^64 uses of an expert."""


def calibrated_scores(file: ModelFile) -> Scores | None:
    """As if the model had just seen its calibration; None where it has none."""
    if file.expert_tokens is None:
        return None
    seen = file.expert_tokens > 0
    return np.where(seen, np.log2(np.where(seen, file.expert_tokens, 1)), NEVER).astype(np.float32)


def profile_path(model: Path) -> Path:
    """Where the profile of the model file `model` lies."""
    return model.with_name(model.name + ".hot")


def read_profile(model: Path, shape: tuple[int, int]) -> Scores | None:
    """The last run's scores; None without a usable profile of a model of this shape."""
    path, most = profile_path(model), prod(shape) * np.dtype(np.float32).itemsize + _MOST_HEADER_BYTES
    try:
        if file_size(path) > most:
            return None
        scores = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception:  # numpy raises a dozen kinds for damaged files, and a start needs no profile
        return None
    if not isinstance(scores, np.ndarray) or scores.shape != shape or scores.dtype != np.float32:
        return None
    if not np.isfinite(scores).all() or scores.max() > _HOTTEST:
        return None
    return np.ascontiguousarray(scores)


def write_profile(model: Path, scores: Scores) -> None:
    """Replace the profile by these scores, whole or not at all; silent where the folder cannot be written."""
    target = profile_path(model)
    # One name for all: a process that ends in the middle leaves at most one such file, and the next one replaces it.
    fresh = target.with_name(target.name + ".part")
    content = io.BytesIO()
    np.save(content, scores, allow_pickle=False)
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600, exist_ok=False)
        fresh.write_bytes(content.getbuffer())
        fresh.replace(target)
    except OSError:  # a full disk, above all
        with contextlib.suppress(OSError):
            fresh.unlink()
