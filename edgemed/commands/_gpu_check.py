"""`edgemed doctor --gpu-check [MODEL]`: prints how the device's results compare with the processor's."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._engine import wanted_offload
from edgemed.commands._print import show
from edgemed.commands._progress import ProgressLine

if TYPE_CHECKING:
    from edgemed.forecast.gpu_check import Comparison


def run(args: argparse.Namespace) -> int:
    from edgemed.ggml import require_llama

    require_llama()
    from edgemed.forecast.gpu_check import compare
    from edgemed.model_file import open_model

    offload = wanted_offload(args)
    model = open_model(args.model).path if args.model is not None else _demonstration()
    with ProgressLine(amount=lambda count: f"{count} runs") as line:
        found = compare(model, offload, None, line.update)
    if args.json:
        verdicts = {name: getattr(found, name) for name in ("same_model", "same_split", "whole", "passed")}
        print(json.dumps({"model": str(model), **asdict(found), **verdicts}, indent=1))
    else:
        show(lines(found))
    return 0 if found.passed else 1


def lines(found: Comparison) -> list[str]:
    """The report as lines of text."""
    from edgemed.forecast.gpu_check import WORST_DIVERGENCE

    offloaded = [layer for layer in found.layers if layer.into or layer.out]
    into, out = (sorted({len(getattr(layer, side)) for layer in offloaded}) for side in ("into", "out"))
    counts = f"{_listed(into)} in and {_listed(out)} out for each of {len(offloaded)}" if offloaded else "none, for 0"
    cut = "" if found.whole else ": the device lacks some operations, so the processor computes them, which costs time"
    return [
        f"device      {found.placement}",
        f"logits      {_verdict(found.same_model)}: KL divergence {found.divergence:.2g} nats per token "
        f"(at most {WORST_DIVERGENCE}), top-1 agreement {found.agreement:.1%}, largest difference "
        f"{found.difference:.2g}",
        f"copies      {_verdict(found.same_split)}: {counts} of {found.moe_layers} MoE layers whose dense part "
        "is on the device",
        f"split       {_verdict(found.whole)}: {found.pieces} splits per token, {len(found.layers)} of experts{cut}",
        f"speed       prompt {found.device.prompt:.0f} tokens/s (processor only: {found.processor.prompt:.0f}), "
        f"answer {found.device.answer:.1f} tokens/s ({found.processor.answer:.1f})",
    ]


def _verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"


def _listed(counts: list[int]) -> str:
    return " or ".join(map(str, counts))


def _demonstration() -> Path:
    """The bundled model, converted first if necessary. The conversion prints to standard error only."""
    from edgemed.commands.demo import converted
    from edgemed.demo import checkpoint_path

    with contextlib.redirect_stdout(sys.stderr):
        return converted(checkpoint_path(), fresh=False).path
