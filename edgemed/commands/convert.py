"""`edgemed convert SOURCE -o OUT`: make one quantised GGUF from a safetensors checkpoint or another GGUF."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._print import show
from edgemed.errors import UsageError, escaped
from edgemed.outputs import PUBLIC, check_outputs, claimed, write_text
from edgemed.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgemed.architectures import Architecture
    from edgemed.commands._progress import ProgressLine
    from edgemed.convert import Checkpoint, Conversion, Progress
    from edgemed.convert.opened import Vocabulary
    from edgemed.quant.calibrated import Calibrated
    from edgemed.quant.plan import Plan
    from edgemed.quant.planning import Goal

DEFAULT_BITS = 4.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "To resume an interrupted conversion, give the same command again. The unfinished file is OUT.partial, with "
        "OUT.journal beside it; OUT itself appears only when it is complete. Parts are named in the same way."
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="the checkpoint's folder, a GGUF (Q8_0, BF16 or F16 lose nothing that matters), or a hub repository such "
        "as owner/name",
    )
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="the GGUF file to write")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--plan", metavar="FILE", type=Path, help="a JSON plan: a type for every expert and projection"
    )
    precision.add_argument(
        "--plan-from", metavar="MODEL", type=Path, help="the plan that another edgemed file was made with"
    )
    precision.add_argument(
        "--bits",
        metavar="N",
        type=float,
        default=DEFAULT_BITS,
        help="bits per weight for the experts: with --calibration an upper limit, else the palette's nearest type is "
        f"used (default {DEFAULT_BITS})",
    )
    precision.add_argument(
        "--size", metavar="SIZE", type=parse_size, help="the largest size of the file, such as 34GiB"
    )
    precision.add_argument(
        "--ram",
        metavar="SIZE",
        type=parse_size,
        help="as many bits as keep the chat usable on this machine with this much memory, such as 32GiB",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        type=Path,
        help="statistics from `edgemed calibrate`, or an imatrix of llama.cpp: the experts that matter most get most "
        "bits, and weights are rounded to suit the inputs seen in calibration",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="with --calibration: round every weight independently, which is far faster and less precise",
    )
    parser.add_argument(
        "--save-plan", metavar="FILE", type=Path, help="also write the plan as JSON, to edit and use with --plan"
    )
    parser.add_argument(
        "--palette",
        choices=("fast", "small"),
        default="fast",
        help="fast: K-quants, 2.6 to 6.6 bits per weight; small: smaller files that run slower. Without --calibration, "
        "small adds all IQ types (from 1.6 bits); with it, small has the IQ types whose rounding calibration improves "
        "(from 2.1 bits) and the K-quants from 4 bits on (default fast)",
    )
    parser.add_argument(
        "--layout",
        choices=("edgemed", "llama.cpp"),
        default="edgemed",
        help="edgemed: with checksums, and a type for every expert; llama.cpp: a file that llama.cpp itself can load "
        "(default edgemed)",
    )
    parser.add_argument(
        "--split",
        metavar="SIZE",
        type=parse_size,
        help="write parts of at most this size, such as 45GiB, if one file would be larger: OUT-00001-of-00003.gguf "
        "and so on for OUT.gguf; name any of them to run the model",
    )
    parser.add_argument("--revision", metavar="REV", help="the hub repository's branch, tag or commit")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.quick and not args.calibration:
        raise UsageError("--quick needs statistics; name them with --calibration.")
    if not (math.isfinite(args.bits) and 1 <= args.bits <= 32):
        raise UsageError(
            f"--bits {args.bits:g} is not possible; give a number from 1 to 32, for example {DEFAULT_BITS}."
        )
    if args.calibration:
        # Every thread works on an expert, so numpy's own threads would only compete with them.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edgemed.commands._progress import ProgressLine
    from edgemed.convert import Checkpoint, convert, find_source
    from edgemed.model_file.parts import named_like
    from edgemed.quant.calibration import refuse_unreadable
    from edgemed.quant.plan import Plan

    # Refuse what can be refused before hours of downloading.
    plan_source = named_like(args.plan_from) if args.plan_from else []
    outputs, read = (args.output, args.save_plan), (args.plan, *plan_source, args.calibration)
    check_outputs(outputs, read, overwrite=args.overwrite)
    given = Plan.load(args.plan) if args.plan else plan_of(args.plan_from) if args.plan_from else None
    if args.calibration:
        refuse_unreadable(args.calibration)
    try:
        source = find_source(args.source, args.revision)
        check_outputs(outputs, (*read, *source.files), overwrite=args.overwrite)
        with Checkpoint(source) as checkpoint:
            try_template(checkpoint.tokenizer)
            with claimed(args.save_plan, mode=PUBLIC):
                plan, calibrated = choose(args, checkpoint, given)
                if args.save_plan:
                    write_text(args.save_plan, plan.text)
            with ProgressLine() as line:
                done = convert(
                    checkpoint,
                    args.output,
                    plan,
                    layout=args.layout,
                    calibrated=calibrated,
                    split=args.split,
                    overwrite=args.overwrite,
                    on_progress=shown_on(line),
                )
    except KeyboardInterrupt as interrupt:
        interrupt.add_note("give the same command again to resume")
        raise
    if args.json:
        names = {"path": str(done.path), "parts": [str(part) for part in done.parts]}
        print(json.dumps(dataclasses.asdict(done) | names, indent=1))
    else:
        print_result(done)
    return 0


def try_template(tokenizer: Vocabulary) -> None:
    """Render the chat template with one question. Raises TemplateError: a template that cannot be used is found before
    hours of converting and not when the chat starts."""
    from edgemed.engine.chat_template import ChatTemplate
    from edgemed.engine.process.protocol import Message

    if tokenizer.chat_template is None or not tokenizer.chat_template.strip():
        return
    advice = "correct the checkpoint's chat_template.jinja or tokenizer_config.json, or remove the template"
    ChatTemplate(tokenizer.chat_template, (), tokenizer.special_texts, advice).render([Message("user", "?")])


def shown_on(line: ProgressLine) -> Callable[[Progress], None]:
    """A callback that shows a conversion's progress on `line`."""

    def show(progress: Progress) -> None:
        experts = f"{progress.experts_done} of {progress.experts} experts" if progress.stage == "converting" else ""
        line.update(progress.stage, progress.bytes_done, progress.bytes, before=progress.bytes_resumed, detail=experts)

    return show


def choose(args: argparse.Namespace, checkpoint: Checkpoint, given: Plan | None) -> tuple[Plan, Calibrated | None]:
    """The plan, `given` or made for the options' goal, and the statistics to convert with. Raises EdgemedErrors."""
    from edgemed.commands._progress import ProgressLine
    from edgemed.quant.calibrated import Calibrated
    from edgemed.quant.planning import plan_for

    calibrated = None
    if args.calibration:
        calibrated = Calibrated.load(args.calibration, checkpoint.hparams, compensated=not args.quick)
    if given is not None:
        return given, calibrated
    goal = goal_of(args, checkpoint.hparams)
    with ProgressLine(amount=lambda count: f"{count:,} experts") as line:
        planned = plan_for(
            goal,
            checkpoint.target(args.layout, calibrated, args.split),
            calibrated,
            palette=args.palette,
            on_progress=lambda done, total: line.update("weighing", done, total),
        )
    if planned.speed:
        from edgemed.commands._memory_goal import say_chosen

        say_chosen(*planned.speed)
    for note in planned.notes:
        print(f"Note: {escaped(note)}", file=sys.stderr)
    return planned.plan, calibrated


def plan_of(path: Path) -> Plan:
    """The plan that the model file at `path` was made with. Raises PlanError if it names none."""
    from edgemed.errors import PlanError
    from edgemed.model_file import keys, open_model
    from edgemed.quant.plan import Plan

    text = open_model(path).metadata.text(keys.PLAN)
    if text is None:
        raise PlanError(f"{path.name} was not made by edgemed, so it holds no plan; name an edgemed file.")
    return Plan.parse(text)


def goal_of(args: argparse.Namespace, hparams: Architecture) -> Goal:
    """What the plan must meet: --size, --ram (after measuring this machine), else --bits. Raises SetupError."""
    from edgemed.commands._memory_goal import memory_goal
    from edgemed.quant.planning import Bits, FileSize

    if args.ram:
        return memory_goal(hparams, args.ram, args.output.absolute().parent, args.palette)
    return FileSize(args.size) if args.size else Bits(args.bits)


def print_result(done: Conversion) -> None:
    """Print what was written, in a few lines."""
    from edgemed.sizes import format_size

    lines = [f"Note: {note}" for note in done.notes]
    if done.units_resumed:
        lines.append(f"Resumed: {done.units_resumed} parts were already written.")
    split = f", in {len(done.parts)} parts" if len(done.parts) > 1 else ""
    show(
        [
            *lines,
            f"{done.path}: {format_size(done.size_bytes)}, {done.parameters:,} parameters, "
            f"{done.bits_per_weight:.2f} bits per weight, {done.experts:,} experts, {done.layout} layout{split}",
            f"plan {done.plan_digest[:12]}, weights {done.weights_digest[:12]}, intended use: {done.intended_use}",
        ]
    )
