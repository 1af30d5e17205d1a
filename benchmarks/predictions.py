"""What `edgemed doctor` predicts against what `edgemed bench` then measures.

    python -m benchmarks.predictions MODEL.gguf --budgets 3.5GiB 5GiB 10GiB --json

The machine is measured once; each budget is then predicted and run in a process of its own. Errors are predicted over
measured tokens a second, minus one: for every expert used alike, for the model's hot profile (or the guess where it has
none yet), and with the hit rate that was then measured, which tries the arithmetic of time alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import refuse_when_busy
from edgemed.commands.bench import Measured, measure
from edgemed.engine.client import Engine
from edgemed.engine.hit_rates import known_hit_rate
from edgemed.engine.prediction import ModelSize, predict, size_of_file
from edgemed.engine.protocol import EngineSettings
from edgemed.engine.survey import survey_machine
from edgemed.model_file import open_model
from edgemed.sizes import format_size, parse_size

CONTEXT = 1024


def compare(measured: Measured, size: ModelSize, machine: Any, path: Path, budget: int) -> dict[str, float]:
    """Errors by name, and the rates they come from."""
    known = known_hit_rate(path, size.layers, size.experts, size.used)
    predicted = predict(size, machine, budget, CONTEXT, known)
    hit_rate = measured.hit_rate
    if hit_rate is not None:
        predicted += predict(size, machine, budget, CONTEXT, lambda _: hit_rate)[1:]
    names = ("uniform", "known" if known else "topics", "own hits")
    found = {"measured": measured.tokens_per_s, "first_token_s": measured.first_token_s}
    for name, one in zip(names, predicted, strict=False):
        found |= {f"{name} hits": one.hit_rate, f"{name} error": one.tokens_per_s / measured.tokens_per_s - 1}
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, predict, run, print the errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictions", description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--budgets", type=parse_size, nargs="+", required=True)
    parser.add_argument("--tokens", type=int, default=32, help="of each answer (default 32)")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    args = parser.parse_args(argv)
    refuse_when_busy(args.force)
    size = size_of_file(open_model(args.model))
    machine = survey_machine(int(size.expert_bytes), size.types, args.model.parent, args.model)
    print(json.dumps(asdict(machine)))
    results = {}
    for budget in args.budgets:
        settings = EngineSettings(ram_bytes=budget, n_ctx=CONTEXT, allow_unsealed=True)
        with Engine.start(args.model, settings) as engine:
            measured = measure(engine, args.tokens)
        results[budget] = compare(measured, size, machine, args.model, budget) | {"hits": measured.hit_rate}
        told = ", ".join(f"{name} {value:.2f}" for name, value in results[budget].items() if value is not None)
        print(f"{format_size(budget)}: {told}", flush=True)
    if args.json:
        print(json.dumps({"model": args.model.name, "budgets": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
