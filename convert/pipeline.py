"""checkpoint folder -> quantised GGUF, a few experts in memory at a time, resumable at any moment.

    result = convert("path/to/checkpoint", Path("model.gguf"), plan)

Everything that can be known, and refused, before a weight is read comes first; then the output is filled (filling.py).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemed import __version__
from edgemed.architectures import find_architecture
from edgemed.convert.filling import Filling, Progress
from edgemed.convert.header import Contents, build_header
from edgemed.convert.layout import LayoutName, make_layout
from edgemed.convert.output import Output
from edgemed.convert.shards import Shards
from edgemed.convert.source import Source, find_source
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import EdgemedError, SetupError
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.plan import Plan

MAX_READERS = 8
SYNC_SECONDS = 2.0
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written. `notes` are sentences the user should read."""

    path: Path
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
    source: Source | str,
    output: Path,
    plan: Plan,
    *,
    layout: LayoutName = "edgemed",
    calibrated: Calibrated | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    sync_seconds: float = SYNC_SECONDS,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Conversion:
    """Convert the checkpoint `source`, a folder's or hub repository's name or what `find_source` found, to `output`.

    `calibrated`: what the experts' codes are chosen with; otherwise ggml rounds every weight by itself.

    Interrupted (by a signal, a crash, a full stop of the machine), the same call goes on where it was. Raises
    CheckpointError, PlanError or SetupError, and then leaves nothing behind, except where reading or writing failed
    half-way: that, too, can be resumed.
    """
    output = output.absolute()
    if output.exists() and not output.is_dir() and not overwrite:
        raise SetupError(f"{output} exists already; remove it first, or choose another name.")
    found = find_source(source) if isinstance(source, str) else source
    with Shards(found.folder, found.fp8_block) as shards:
        contents, notes = _examine(found, shards, plan, layout, calibrated)
        blank = build_header(contents)
        size = len(blank) + contents.layout.data_bytes
        target = Output(output, size, _binding(blank, shards, calibrated))
        work = Filling(contents, shards, target, len(blank), on_progress, calibrated)
        resumed = len(target.journal.done)
        try:
            checksums = work.run(threads or _threads(calibrated), sync_seconds)
            digest = work.read_back()
            target.finish(build_header(contents, checksums, digest))
        except EdgemedError:
            target.abandon()
            raise
        except OSError as error:
            if error.errno in NO_ROOM and not target.journal.knows:
                target.abandon()
                raise SetupError(f"There is no room left for {output}: make some, or choose another place.") from None
            target.close()
            raise SetupError(
                f"Converting stopped half-way ({error.strerror}: {error.filename or output}); run it again to go on."
            ) from None
        except BaseException:
            target.close()
            raise
    made = contents.layout
    return Conversion(
        path=output,
        layout=layout,
        size_bytes=size,
        parameters=made.parameters,
        bits_per_weight=8 * made.weight_bytes / made.parameters,
        experts=made.n_experts,
        units_resumed=resumed,
        plan_digest=plan.digest,
        weights_digest=digest,
        intended_use=found.intended_use,
        notes=notes,
    )


def _threads(calibrated: Calibrated | None) -> int:
    """ggml's quantisers use all cores by themselves; choosing codes by statistics is each thread's own work."""
    cores = os.cpu_count() or 1
    return cores if calibrated else min(MAX_READERS, cores)


def _examine(
    source: Source, shards: Shards, plan: Plan, layout: LayoutName, calibrated: Calibrated | None
) -> tuple[Contents, list[str]]:
    """Everything that can be known, and refused, before a weight is read."""
    shapes = {name: tensor.shape for name, tensor in shards.tensors.items()}
    hparams, notes = find_architecture(source.config).read_config(source.config, shapes)
    made = make_layout(hparams, plan, layout, shapes)
    tokenizer = read_tokenizer(source.folder, hparams)  # as many tokens as the embedding has rows, by now
    notes += tokenizer.notes
    if tokenizer.chat_template is None:
        notes.append("The checkpoint has no chat template: the chat cannot know how to frame a conversation.")
    digest = source.digest(shards.digest)
    contents = Contents(hparams, tokenizer, source, digest, plan, made)
    return contents.calibrated_by(calibrated), notes


def _binding(blank_header: bytes, shards: Shards, calibrated: Calibrated | None) -> str:
    """What a journal belongs to: this edgemed, this output to the last byte of its header, these files unchanged."""
    state = hashlib.sha256(
        json.dumps([__version__, shards.stamps, calibrated is not None and calibrated.compensated]).encode()
    )
    state.update(blank_header)
    return state.hexdigest()
