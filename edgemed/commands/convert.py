"""`edgemed convert SOURCE -o OUT`: a safetensors checkpoint becomes one quantised GGUF."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgemed.commands._progress import ProgressLine
    from edgemed.convert import Conversion, Progress
    from edgemed.quant.plan import Plan

DEFAULT_BITS = 4.5
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "An interrupted conversion resumes where it was: give the same command again. The unfinished file is "
        "OUT.partial, with OUT.journal beside it; OUT itself appears only when it is whole."
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="the checkpoint's folder, or a hub repository such as owner/name"
    )
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="the GGUF file to write")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--plan", metavar="FILE", type=Path, help="a JSON plan: a type for every expert and projection"
    )
    precision.add_argument(
        "--bits",
        metavar="N",
        type=float,
        default=DEFAULT_BITS,
        help=f"bits a weight for the experts: the palette's nearest type (default {DEFAULT_BITS})",
    )
    parser.add_argument(
        "--palette",
        choices=("fast", "small"),
        default="fast",
        help="fast: K-quants; small: IQ types too (default fast)",
    )
    parser.add_argument(
        "--layout",
        choices=("edgemed", "llama.cpp"),
        default="edgemed",
        help="edgemed: checksums, and a type for every expert; llama.cpp: what stock llama.cpp loads (default edgemed)",
    )
    parser.add_argument("--revision", metavar="REV", help="the hub repository's branch, tag or commit")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from edgemed.commands._progress import ProgressLine
    from edgemed.convert import convert

    plan = choose_plan(args.plan, args.bits, args.palette)
    try:
        with ProgressLine() as line:
            done = convert(
                args.source,
                args.output,
                plan,
                layout=args.layout,
                revision=args.revision,
                overwrite=args.overwrite,
                on_progress=shown_on(line),
            )
    except KeyboardInterrupt:
        print("edgemed: interrupted; give the same command again to resume.", file=sys.stderr)
        return INTERRUPTED
    if args.json:
        print(json.dumps(dataclasses.asdict(done) | {"path": str(done.path)}, indent=1))
    else:
        print_result(done)
    return 0


def shown_on(line: ProgressLine) -> Callable[[Progress], None]:
    """An observer of a conversion that shows it on `line`."""

    def show(progress: Progress) -> None:
        experts = f"{progress.experts_done} of {progress.experts} experts" if progress.stage == "converting" else ""
        line.update(progress.stage, progress.bytes_done, progress.bytes, before=progress.bytes_resumed, detail=experts)

    return show


def choose_plan(file: Path | None, bits: float, palette: str) -> Plan:
    """The plan in `file`, or one type for all experts. Raises PlanError or UsageError."""
    from edgemed.quant.plan import Plan

    if file is not None:
        return Plan.load(file)
    if not (math.isfinite(bits) and 1 <= bits <= 32):
        raise UsageError(f"--bits {bits:g} is not possible; give a number from 1 to 32, for example {DEFAULT_BITS}.")
    return Plan.uniform(bits, palette)


def print_result(done: Conversion) -> None:
    """What was written, in a few lines for people."""
    from edgemed.sizes import format_size

    for note in done.notes:
        print(f"Note: {note}")
    if done.units_resumed:
        print(f"Resumed: {done.units_resumed} parts had been written before.")
    print(
        f"{done.path}: {format_size(done.size_bytes)}, {done.parameters:,} parameters, "
        f"{done.bits_per_weight:.2f} bits a weight, {done.experts:,} experts, {done.layout} layout"
    )
    print(f"plan {done.plan_digest[:12]}, weights {done.weights_digest[:12]}, intended use: {done.intended_use}")
