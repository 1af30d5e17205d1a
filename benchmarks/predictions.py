"""What `edgemed doctor` predicts against what is then measured.

    python -m benchmarks.predictions MODEL.gguf --budgets 3.5GiB 5GiB 10GiB --json

For each budget the machine is measured, then `edgemed bench` run in a process of its own, and in another a prompt of
512 published tokens read three times, of which the last reading counts. Errors are predicted over measured speed, minus
one: of tokens for every expert used alike, for the model's hot profile (or the guess where it has none yet), and with
the hit rate that was then measured, which tries the arithmetic of time alone; of the prompt likewise.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Spec
from benchmarks.side_by_side import refuse_when_busy, run_once
from edgemed.commands.bench import Measured, measure
from edgemed.engine.client import Engine
from edgemed.engine.hit_rates import known_hit_rate
from edgemed.engine.machine import Machine
from edgemed.engine.model_size import ModelSize, size_of_file
from edgemed.engine.prediction import PROMPT_TOKENS, predict
from edgemed.engine.protocol import EngineSettings
from edgemed.engine.survey import survey_machine
from edgemed.model_file import ModelFile, open_model
from edgemed.sizes import format_size, parse_size
from edgemed.twin import original_of_file, twins

CONTEXT = 1024

Found = dict[str, float | None]


def survey(file: ModelFile, size: ModelSize) -> Machine:
    """Measure the machine as `doctor` does."""
    with twins(original_of_file(file)) as made:
        return survey_machine(made, int(size.expert_bytes), file.path.parent, file.path)


def compare(measured: Measured, prompt_s: float, size: ModelSize, machine: Machine, path: Path, budget: int) -> Found:
    """Errors by name, and the rates they come from."""
    known = known_hit_rate(path, size.layers, size.experts, size.used)
    predicted = predict(size, machine, budget, CONTEXT, known)
    hit_rate = measured.hit_rate
    if hit_rate is not None:
        predicted += predict(size, machine, budget, CONTEXT, lambda _: hit_rate)[1:]
    found: Found = {"tokens_per_s": measured.tokens_per_s, "hits": hit_rate, "prompt_s": prompt_s}
    for name, one in zip(("uniform", "known" if known else "topics", "own hits"), predicted, strict=False):
        found |= {f"{name} hits": one.hit_rate, f"{name} error": one.tokens_per_s / measured.tokens_per_s - 1}
    found["prompt error"] = prompt_s / (predicted[0].first_token_s - predicted[0].token_s) - 1
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
    file = open_model(args.model)
    size = size_of_file(file)
    results: dict[int, Found] = {}
    for budget in args.budgets:
        machine = survey(file, size)
        print(json.dumps(asdict(machine)))
        settings = EngineSettings(ram_bytes=budget, n_ctx=CONTEXT, allow_unsealed=True)
        with Engine.start(args.model, settings) as engine:
            measured = measure(engine, args.tokens)
        threads = machine.compute.threads
        spec = Spec("edgemed", str(args.model), PROMPT_TOKENS, 3, warm=0, decode=1, threads=threads, ram_bytes=budget)
        run = run_once(spec, None).run
        assert run is not None  # nothing limits its memory from outside
        results[budget] = compare(measured, run.prompt_s[-1], size, machine, args.model, budget)
        told = ", ".join(f"{name} {value:.2f}" for name, value in results[budget].items() if value is not None)
        print(f"{format_size(budget)}: {told}", flush=True)
    if args.json:
        print(json.dumps({"model": args.model.name, "budgets": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
