"""`edgemed eval MODEL --reference REF --data FILE...`: how much a model differs from its reference."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.commands._engine import add_gpu_argument, add_rpc_arguments, wanted_offload
from edgemed.commands._print import show
from edgemed.commands._reading import add_reading_arguments, check_reading
from edgemed.outputs import check_outputs, claimed, write_text

if TYPE_CHECKING:
    from edgemed.model_file import ModelFile

TOKENS = 40_000
QUESTIONS = 200
HEAD = f"{'':24} {'tokens':>8} {'KL mean':>9} {'95 % interval':>19} {'median':>9} {'p99':>8} {'top-1':>7} {'ppl x':>7}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Rows with a `split` other than eval are skipped. The card quotes the passages with the most damage: "
        "protect it "
        "as you protect the texts."
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="the GGUF file to evaluate")
    parser.add_argument(
        "--reference", metavar="REF", type=Path, required=True, help="a more precise file of the same model"
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        type=Path,
        nargs="+",
        required=True,
        help="files of texts and multiple-choice questions",
    )
    parser.add_argument("-o", "--output", metavar="CARD", type=Path, help="write the report card as JSON")
    parser.add_argument("--html", metavar="OUT", type=Path, help="write the report card as one HTML page")
    parser.add_argument("--json", action="store_true", help="print the report card as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace CARD and OUT if they exist")
    add_reading_arguments(parser, TOKENS, "folder for the reference's logits, up to 8 GiB")
    parser.add_argument(
        "--questions", metavar="N", type=int, default=QUESTIONS, help=f"questions per domain (default {QUESTIONS})"
    )
    add_gpu_argument(parser)
    add_rpc_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from edgemed.commands._progress import ProgressLine
    from edgemed.evaluation.report import evaluate
    from edgemed.model_file import open_model
    from edgemed.model_file.parts import named_like

    check_reading(args, questions=1)
    read = (*named_like(args.model), *named_like(args.reference), *args.data)
    check_outputs((args.output, args.html), read, overwrite=args.overwrite)
    offload = wanted_offload(args)
    model, reference = open_model(args.model), open_model(args.reference)
    with claimed(args.output, args.html):
        with ProgressLine(amount=lambda count: f"{count:,} tokens") as line:
            card = evaluate(
                model,
                reference,
                args.data,
                tokens=args.tokens,
                passage=args.passage,
                questions=args.questions,
                ram_bytes=args.ram,
                threads=args.threads,
                scratch=args.scratch,
                on_progress=line.update,
                offload=offload,
            )
        try:  # a full disk or a closed pipe must not lose the result of hours
            if args.json:
                print(json.dumps(card, indent=1), flush=True)
            else:
                show(lines(card))
                sys.stdout.flush()
        finally:
            _write(args, card, model)
    return 0


def _write(args: argparse.Namespace, card: dict[str, Any], model: ModelFile) -> None:
    """Raises SetupError."""
    if args.output:
        write_text(args.output, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    if args.html:
        from edgemed.evaluation.report_html import report_page

        write_text(args.html, report_page(card, model))


def lines(card: dict[str, Any]) -> list[str]:
    """The card for people at a terminal."""
    shown = [f"{card['model']['file']} against {card['reference']['file']}"]
    if card["overall"]:
        shown += ["", HEAD]
        groups = {"all": card["overall"], "dose-carrying tokens": card["dose_tokens"]}
        groups |= {f"language {name}": found for name, found in card["languages"].items()}
        groups |= card["domains"]
        shown += [_line(name, found) for name, found in groups.items() if found]
    if card["multiple_choice"]:
        shown += ["", *(_choices(name, found) for name, found in card["multiple_choice"].items())]
    if card["questions_too_long"]:
        shown.append(f"{card['questions_too_long']} questions were longer than a passage and skipped.")
    return shown


def _line(name: str, found: dict[str, Any]) -> str:
    interval = found["kl_mean_interval"]
    between = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "too few"
    return (
        f"{name[:24]:24} {found['tokens']:8,} {found['kl_mean']:9.4f} {between:>19} {found['kl_median']:9.4f} "
        f"{found['kl_p99']:8.3f} {found['top1_agreement']:7.1%} {found['perplexity_ratio']:7.3f}"
    )


def _choices(name: str, found: dict[str, Any]) -> str:
    verdict = (
        f"; the reference is at chance ({found['chance']:.0%}), so flips mean nothing" if found["at_chance"] else ""
    )
    return (
        f"{name[:24]:24} {found['questions']:,} questions: {found['reference_accuracy']:.1%} right with the reference, "
        f"{found['model_accuracy']:.1%} with the model, {found['flips']} answers flipped{verdict}"
    )
