"""Which experts are hot, according to calibration or to the last run, so that a start loads them first.

The counts of calibration are in the model file. The counts of the last run reveal its topic: two questions about one
disease use similar experts, two about different diseases do not (docs/decisions.md#hot-profile). `model.gguf.hot` is
therefore written only if the user asks for it, and is readable by that user only. It holds one number per expert, how
often it was used lately: no text, tokens, order or times. Without any counts a start is slower, and nothing else
changes.
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
"""[MoE layer, expert]: log2 of the decayed number of uses at the time of writing; NEVER for unused experts."""

NEVER = np.float32(-1e30)

_MOST_HEADER_BYTES = 4096  # of a .npy file
_HOTTEST = 64.0
"""The largest plausible score: no model uses an expert 2^64 times."""


def calibrated_scores(file: ModelFile) -> Scores | None:
    """The scores just after reading the calibration texts; None if the file holds no counts."""
    if file.expert_tokens is None:
        return None
    seen = file.expert_tokens > 0
    return np.where(seen, np.log2(np.where(seen, file.expert_tokens, 1)), NEVER).astype(np.float32)


def profile_path(model: Path) -> Path:
    """The path of the profile of the model file `model`."""
    return model.with_name(model.name + ".hot")


def read_profile(model: Path, shape: tuple[int, int]) -> Scores | None:
    """The scores of the last run; None if there is no usable profile for a model of this shape."""
    path, most = profile_path(model), prod(shape) * np.dtype(np.float32).itemsize + _MOST_HEADER_BYTES
    try:
        if file_size(path) > most:
            return None
        scores = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception:  # numpy raises many kinds of errors for damaged files; the profile is optional
        return None
    if not isinstance(scores, np.ndarray) or scores.shape != shape or scores.dtype != np.float32:
        return None
    if not np.isfinite(scores).all() or scores.max() > _HOTTEST:
        return None
    return np.ascontiguousarray(scores)


def write_profile(model: Path, scores: Scores) -> None:
    """Replace the profile by these scores atomically; do nothing if the folder cannot be written."""
    target = profile_path(model)
    # A fixed name: a process that dies here leaves at most one such file, and the next one replaces it.
    fresh = target.with_name(target.name + ".part")
    content = io.BytesIO()
    np.save(content, scores, allow_pickle=False)
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600, exist_ok=False)
        fresh.write_bytes(content.getbuffer())
        fresh.replace(target)
    except OSError:  # most often a full disk
        with contextlib.suppress(OSError):
            fresh.unlink()
