"""Compare what `edgemed doctor` predicts with what is then measured.

    python -m benchmarks.predictions MODEL.gguf --budgets 3.5GiB 5GiB 10GiB --json
    python -m benchmarks.predictions SMALL.gguf --budgets 600MiB --bench
    python -m benchmarks.predictions --budgets 12GiB 20GiB 24GiB 32GiB 48GiB       the forecast for AntAngelMed

For each budget the machine is measured first, then a run in a separate process: a prompt of 512 published tokens (the
last pass counts), then published tokens one by one. With --bench the answers of `edgemed bench` replace these tokens;
they include drawing and messages, which only small models notice. An error is predicted over measured speed, minus one.
There are three for tokens: with every expert used equally, with the model's hot profile (or drifting topics if it has
none), and with the measured hit rate, which tests the time model alone. There is one for the prompt.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import Spec
from benchmarks.side_by_side import WARM_TOKENS, refuse_when_busy, run_once, touch
from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.commands.bench import measure
from edgemed.commands.doctor import BITS, READ_BYTES
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings
from edgemed.forecast.hit_rates import KnownUse, known_use
from edgemed.forecast.machine import Machine
from edgemed.forecast.model_size import ModelSize, size_of, size_of_file
from edgemed.forecast.prediction import PROMPT_TOKENS, predict
from edgemed.forecast.survey import survey_machine
from edgemed.forecast.twin import original_of_file, original_of_types, twins
from edgemed.model_file import ModelFile, open_model
from edgemed.sizes import format_size, parse_size

CONTEXT = 1024
TOKENS = 48
TWIN_BYTES = 4 << 30  # more than a twin of these shapes needs

Found = dict[str, Any]


def survey(file: ModelFile, size: ModelSize) -> Machine:
    """Measure the machine as `doctor` does, in memory that was used a moment ago, like the memory of the runs."""
    touch(TWIN_BYTES)
    with twins(original_of_file(file)) as made:
        return survey_machine(made, int(size.expert_bytes), file.path.parent, file.path)


def run(file: ModelFile, budget: int, threads: int, *, everything_fits: bool) -> Found:
    """Decode published tokens in a separate process, with a longer warm-up if every expert fits into memory."""
    prompts, warm = (3, WARM_TOKENS) if everything_fits else (2, 32)
    spec = Spec("edgemed", str(file.path), PROMPT_TOKENS, prompts, 0, warm, TOKENS, threads, budget)
    measured = run_once(spec, None).run
    assert measured is not None  # this run has no memory limit
    hits, misses = measured.stats["hits"], measured.stats["misses"]
    return {
        "tokens_per_s": 1 / measured.mean_token_s,
        "hits": hits / (hits + misses),
        "prompt_s": measured.prompt_s[-1],
    }


def bench(file: ModelFile, budget: int) -> Found:
    """Measure answers of the engine with the settings of the chat."""
    settings = EngineSettings(ram_bytes=budget, n_ctx=CONTEXT, allow_unsealed=True)
    with Engine.start(file.path, settings) as engine:
        measured = measure(engine, TOKENS)
    return {"tokens_per_s": measured.tokens_per_s, "hits": measured.hit_rate}


def compare(found: Found, size: ModelSize, machine: Machine, known: KnownUse | None, budget: int) -> Found:
    """Return the errors by name."""
    predicted = predict(size, machine, budget, CONTEXT, known)
    hit_rate, speed, prompt_s = found["hits"], found["tokens_per_s"], found["prompt_s"]
    if hit_rate is not None:
        predicted += predict(size, machine, budget, CONTEXT, KnownUse("own hits", lambda _: hit_rate))[1:]
    errors: Found = {}
    for name, one in zip(("uniform", "known" if known else "topics", "own hits"), predicted, strict=False):
        errors |= {f"{name} hits": one.hit_rate, f"{name} error": one.tokens_per_s / speed - 1}
    return errors | {"prompt error": prompt_s / (predicted[0].first_token_s - predicted[0].token_s) - 1}


def forecast(budgets: Sequence[int]) -> list[str]:
    """Return a table of the full model's tokens per second by bits and budget, from equal use to drifting topics."""
    models = {bits: size_of(ANTANGELMED, bits) for bits in BITS}
    kinds = {kind for size in models.values() for kind in size.expert}
    with twins(original_of_types(ANTANGELMED, kinds)) as made:
        machine = survey_machine(made, READ_BYTES, Path())
    lines = [json.dumps(asdict(machine)), "| bits | " + " | ".join(map(format_size, budgets)) + " |"]
    for bits, size in models.items():
        found = [[f"{each.tokens_per_s:.1f}" for each in predict(size, machine, budget)] for budget in budgets]
        lines.append(f"| {bits} | " + " | ".join(" to ".join(dict.fromkeys(cell)) or "none" for cell in found) + " |")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Measure, predict, run, and print the errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictions", description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--budgets", type=parse_size, nargs="+", required=True)
    parser.add_argument("--bench", action="store_true", help="measure tokens with `edgemed bench`")
    parser.add_argument("--force", action="store_true", help="measure even if the machine is busy")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    args = parser.parse_args(argv)
    refuse_when_busy(args.force)
    if args.model is None:
        print("\n".join(forecast(args.budgets)))
        return 0
    file = open_model(args.model)
    size = size_of_file(file)
    known = known_use(file)
    results: dict[int, Found] = {}
    for budget in args.budgets:
        machine = survey(file, size)
        print(json.dumps(asdict(machine)))
        part = predict(size, machine, budget, CONTEXT)[0].cached_part
        found = run(file, budget, machine.compute.threads, everything_fits=part == 1)
        if args.bench:
            found |= bench(file, budget)
        results[budget] = found | compare(found, size, machine, known, budget)
        told = ", ".join(f"{name} {value:.2f}" for name, value in results[budget].items() if value is not None)
        print(f"{format_size(budget)}: {told}", flush=True)
    if args.json:
        print(json.dumps({"model": args.model.name, "budgets": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
