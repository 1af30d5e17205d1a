"""Conversion of a checkpoint folder to a quantised GGUF, a few experts in memory at a time, resumable at any moment.

    result = convert("path/to/checkpoint", Path("model.gguf"), plan)

All checks that need no weights come first (checkpoint.py). Then the output is filled (writer.py).
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from edgemed import __version__
from edgemed.control_group import usable_processors
from edgemed.convert.checkpoint import Checkpoint
from edgemed.convert.header import build_headers, file_sizes
from edgemed.convert.known_digests import check_downloads
from edgemed.convert.layout import LayoutName
from edgemed.convert.opened import Weights
from edgemed.convert.output import Output
from edgemed.convert.source import find_source
from edgemed.convert.writer import Progress, Writer
from edgemed.errors import EdgemedError, SetupError
from edgemed.model_file.parts import model_stem, part_name
from edgemed.outputs import check_outputs
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.plan import Plan

MAX_READERS = 8
SYNC_SECONDS = 2.0
NOT_SYNCED = (
    "The file is complete, but its file system does not confirm what it has stored; unmount the disk before you "
    "remove it."
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written. path: the file, or the first of `parts`. `notes` are sentences the user should read."""

    path: Path
    parts: tuple[Path, ...]
    layout: LayoutName
    size_bytes: int
    parameters: int
    bits_per_weight: float
    experts: int
    units_resumed: int
    plan_digest: str
    weights_digest: str
    intended_use: str
    notes: list[str]


def convert(
    source: Checkpoint | str,
    output: Path,
    plan: Plan,
    *,
    layout: LayoutName = "edgemed",
    calibrated: Calibrated | None = None,
    split: int | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    sync_seconds: float = SYNC_SECONDS,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Conversion:
    """Convert `source`, an open checkpoint or the name of a folder or hub repository, to `output`.

    calibrated: statistics by which the experts' codes are chosen; without them ggml rounds every weight independently.
    split: the largest size of a file in bytes. If one is not enough, there are parts under llama.cpp's names, such as
    NAME-00001-of-00003.gguf for the output NAME.gguf.

    After an interruption (a signal, a crash, a power failure) the same call resumes the conversion. Raises
    CheckpointError, PlanError or SetupError and then leaves no files behind, unless reading or writing failed halfway:
    that can be resumed, too.
    """
    output = output.absolute()
    if output.exists() and not output.is_dir() and not overwrite:
        raise SetupError(f"{output} exists already; delete it, or choose another name.")
    with Checkpoint(find_source(source)) if isinstance(source, str) else nullcontext(source) as checkpoint:
        check_downloads(
            checkpoint.source.files,
            lambda done, total: on_progress(Progress("checking the download", 0, 0, done, total, 0)),
        )
        spec = checkpoint.header_spec(plan, layout, calibrated, split)
        paths, sizes, blank = _names(output, spec.layout.n_parts), file_sizes(spec), build_headers(spec)
        if len(paths) > 1:  # nobody could check these names before
            check_outputs(paths, checkpoint.source.files, overwrite=True)
        binding = _binding(b"".join(blank), checkpoint.weights, calibrated)
        target = Output(paths, sizes, binding, overwrite=overwrite)
        starts = [len(header) for header in blank]
        writer = Writer(spec, checkpoint.weights, target, starts, on_progress, calibrated)
        resumed = len(target.journal.done)
        try:
            checksums = writer.run(threads or _threads(calibrated), sync_seconds)
            digest = writer.read_back()
            target.finish(build_headers(spec, checksums, digest))
        except EdgemedError:
            target.abandon()
            raise
        except OSError as error:
            if error.errno in NO_ROOM and not target.journal.knows:
                target.abandon()
                raise SetupError(
                    f"The disk is too full for {output}; free some space or choose another folder."
                ) from None
            target.close()
            raise SetupError(
                f"The conversion stopped ({error.strerror}: {error.filename or output}); run it again to resume."
            ) from None
        except BaseException:
            target.close()
            raise
    made = spec.layout
    return Conversion(
        path=paths[0],
        parts=tuple(paths),
        layout=layout,
        size_bytes=sum(sizes),
        parameters=made.parameters,
        bits_per_weight=8 * made.weight_bytes / made.parameters,
        experts=made.n_experts,
        units_resumed=resumed,
        plan_digest=plan.digest,
        weights_digest=digest,
        intended_use=checkpoint.source.intended_use,
        notes=checkpoint.notes + ([] if target.synced else [NOT_SYNCED]),
    )


def _names(output: Path, parts: int) -> list[Path]:
    """The paths of the parts, or `output` itself if it is not split."""
    if parts == 1:
        return [output]
    stem = model_stem(output)
    return [output.with_name(part_name(stem, number, parts)) for number in range(parts)]


def _threads(calibrated: Calibrated | None) -> int:
    """Threads that convert: few without statistics, since ggml's quantisers use all cores, else one for each core."""
    cores = usable_processors()
    return cores if calibrated else min(MAX_READERS, cores)


def _binding(blank_header: bytes, weights: Weights, calibrated: Calibrated | None) -> str:
    """Digest of what a journal is valid for: this version of edgemed, these headers, and these shards, unchanged."""
    state = hashlib.sha256(
        json.dumps([__version__, weights.stamps, calibrated is not None and calibrated.compensated]).encode()
    )
    state.update(blank_header)
    return state.hexdigest()
