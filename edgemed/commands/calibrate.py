"""`edgemed calibrate MODEL DATA... -o FILE`: activation statistics, to place bits and round weights well."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgemed.commands._print import show
from edgemed.commands._reading import add_reading_arguments, check_reading
from edgemed.errors import TextsError
from edgemed.outputs import check_outputs, claimed, partial_of, place
from edgemed.sizes import format_size

TOKENS = 200_000
EFFECTS = 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "DATA are JSONL files (text; question and answer; messages; turns) or plain texts. Tokens are divided evenly "
        "among languages, and within a language among domains (a row's `domain`, or its file's name). Rows with a "
        "`split` other than calib are skipped. FILE holds sums and a sample of activations, from which parts of the "
        "texts could be inferred: protect it as you protect the texts."
    )
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="the GGUF file to observe; the more precise, the better"
    )
    parser.add_argument("data", metavar="DATA", type=Path, nargs="+", help="files of texts")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the statistics to write")
    parser.add_argument("--imatrix", metavar="OUT", type=Path, help="also write llama.cpp's importance matrix (GGUF)")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE and OUT if they exist")
    add_reading_arguments(
        parser, TOKENS, "folder for the temporary files of --effects (experts at 3.4 bits, reference logits)"
    )
    parser.add_argument(
        "--sample",
        metavar="N",
        type=int,
        help="tokens whose inputs are kept for each layer; more tokens give better rounding. Each takes 2 bytes "
        "x model "
        "width x layers, within --ram (default: as many as fit 1 GiB, at most 65,536)",
    )
    parser.add_argument(
        "--effects",
        metavar="N",
        type=int,
        default=EFFECTS,
        help="tokens on which to measure how much each layer's experts, and six groups of dense matrices, affect the "
        "next token. This reads the tokens (layers + 8) times and needs disk space for all experts at 3.4 bits "
        "(default "
        f"{EFFECTS:,}; 0 skips it)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from edgemed.calibration.collect import ENTRY
    from edgemed.commands._progress import ProgressLine
    from edgemed.engine.process.job import run_job
    from edgemed.model_file.parts import named_like
    from edgemed.scratch import scratch_folder

    check_reading(args, sample=0, effects=0)
    check_outputs((args.output, args.imatrix), (*named_like(args.model), *args.data), overwrite=args.overwrite)
    request = {
        "model": str(args.model),
        "data": [str(path) for path in args.data],
        "tokens": args.tokens,
        "passage": args.passage,
        "sample": args.sample,
        "effects": args.effects,
        "ram_bytes": args.ram,
        "threads": args.threads,
    }
    with claimed(args.output, args.imatrix):
        # The parent owns the folder: an interrupted child is killed and removes nothing.
        with scratch_folder(args.scratch) as scratch, ProgressLine(amount=lambda count: f"{count:,} tokens") as line:
            request |= {"output": str(partial_of(args.output).absolute()), "scratch": str(scratch)}
            found = run_job(ENTRY, request, line.update)
        place(args.output)
        if args.imatrix:
            _write_imatrix(args)
    if args.json:
        print(json.dumps(found | {"path": str(args.output), "size_bytes": args.output.stat().st_size}, indent=1))
    else:
        show(_summary(found, args.output))
    return 0


def _write_imatrix(args: argparse.Namespace) -> None:
    from edgemed.quant.imatrix import write_imatrix
    from edgemed.quant.statistics import Statistics

    try:
        write_imatrix(Statistics.load(args.output), partial_of(args.imatrix), args.passage)
    except OSError as error:
        raise TextsError(f"The importance matrix cannot be written to {args.imatrix}: {error.strerror}.") from None
    place(args.imatrix)


def _summary(found: dict[str, Any], output: Path) -> list[str]:
    languages = ", ".join(f"{name} {count:,}" for name, count in found["languages"].items())
    unseen, experts = found["unseen_experts"], found["layers"] * found["experts"]
    lines = [
        f"{output}: {format_size(output.stat().st_size)}, {found['tokens']:,} tokens in {found['passages']:,} passages "
        f"({languages}), a sample of {found['sample']:,} tokens per layer",
        *(f"  {count:>9,}  {name}" for name, count in found["domains"].items()),
    ]
    if unseen:
        lines.append(
            f"{unseen:,} of {experts:,} experts were never used by these texts; more tokens would reach some of them."
        )
    return lines
