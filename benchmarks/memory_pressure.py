"""A model larger than memory: edgemed against llama.cpp under the same memory limit.

    python -m benchmarks.memory_pressure OURS.gguf STOCK.gguf --limit 3.5GiB --json
    python -m benchmarks.memory_pressure OURS.gguf - --limit 20GiB --warm 64 --json         edgemed alone

benchmarks.true_shape makes the files. Both sides compute the same published tokens. Runs alternate, each in a fresh
process, and results are medians. llama.cpp maps its file, once with repacked weights and once without; the better one
that survives counts. `decode_ratio` and `prefill_ratio` say how many times faster edgemed is. There is a ratio for the
first pass over the prompt, with nothing cached, and one for the second. `limit_ratio` is our time per token over the
least possible (benchmarks/limit.py).

The compute times behind that bound come from runs with everything in memory. Where memory is too small for that, they
come from the model's twin, as in `edgemed doctor`. They are measured before and after the other runs and averaged,
because the memory speed of a virtual machine varies.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median

from benchmarks import side_by_side as sides
from benchmarks.limit import find_limit
from benchmarks.measure import Spec
from benchmarks.traces import load
from edgemed.engine.budget import available_bytes
from edgemed.forecast.compute_rates import measure_compute, routed_seconds
from edgemed.forecast.machine import DiskProbe
from edgemed.forecast.model_size import size_of_file
from edgemed.forecast.prediction import computing_seconds
from edgemed.forecast.twin import original_of_file, twins
from edgemed.model_file import ModelFile, open_model
from edgemed.sizes import parse_size

DEPTHS = (1, 2, 4, 8, 16, 32, 64)


def best_disk_rate(path: Path, size: int) -> dict[int, float]:
    """Return bytes per second of cold direct reads of one expert, by queue depth."""
    rates = {}
    for depth in DEPTHS:
        with DiskProbe(path, size, depth) as probe:
            probe.sample()
            rates[depth] = probe.rate
    return rates


def computing(model: ModelFile, ours: Spec) -> tuple[float, float]:
    """Return the seconds of a token's dense part and of its expert matmuls, with every expert in memory."""
    whole = model.size_bytes + sides.ROOM_BYTES
    if whole <= available_bytes():
        run = sides.run_once(replace(ours, ram_bytes=whole, warm=sides.WARM_TOKENS, trace=None), None).run
        assert run is not None  # this run has no memory limit
        tokens = len(run.token_s)
        layers, used = len(model.experts.layers), model.hparams.n_expert_used
        routed = float(model.experts.nbytes.sum(axis=2).mean()) * layers * used * tokens
        expert_s = routed_seconds(run.stats["compute_s"], routed, run.stats["shared_bytes"]) / tokens
        return run.mean_token_s - expert_s - run.stats["wait_s"] / tokens, expert_s
    if ours.gpu:
        raise SystemExit(
            "With --gpu, compute times need a run with the whole model in memory: too little memory is free."
        )
    with twins(original_of_file(model)) as made:
        return computing_seconds(size_of_file(model), measure_compute(ours.threads, made, seconds=5))


def main(argv: list[str] | None = None) -> int:
    """Run the comparison, print a table, and with --json one object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_pressure", description=__doc__.split("\n")[0])
    sides.add_arguments(parser)
    parser.add_argument("--limit", type=parse_size, default=parse_size("3.5GiB"), help="memory limit (default 3.5GiB)")
    parser.add_argument("--warm", type=int, default=16, help="tokens decoded before the measurement (default 16)")
    args = parser.parse_args(argv)
    sides.refuse_when_busy(args.force)
    model = open_model(args.model)
    with tempfile.TemporaryDirectory() as folder:
        trace = str(Path(folder) / "trace")
        specs = sides.specs(
            args, args.limit, trace, gpu=args.gpu, prompt=args.prompt, prompts=2, warm=args.warm, decode=args.decode
        )
        ours = specs["edgemed"]
        before = computing(model, ours)
        outcomes = sides.interleave(specs, args.rounds, args.limit)
        asked = load(Path(trace), model.hparams.n_expert)
    dense_s, expert_s = map(mean, zip(before, computing(model, ours), strict=True))
    rates = best_disk_rate(args.model, int(model.experts.nbytes.sum(axis=2).max()))
    mine = sides.surviving(outcomes["edgemed"])
    limit = find_limit(
        asked,
        model,
        capacity=int(mine[-1].stats["resident_bytes"]),
        measured=args.decode,
        bandwidth=max(rates.values()),
        dense_s=dense_s,
        expert_s=expert_s / len(model.experts.layers),
    )
    result = {
        "model_bytes": model.size_bytes,
        "limit_bytes": args.limit,
        "limit_ratio": sides.token_s(mine) / limit.token_s,
        "limit_ratio_own_misses": sides.token_s(mine) / limit.token_s_own_misses,
        "hit_rate": median(r.stats["hits"] / (r.stats["hits"] + r.stats["misses"]) for r in mine),
        "unique_experts": len({*asked.key.tolist()}),
        "bytes_read_per_token": median(r.stats["bytes_read"] / len(r.token_s) for r in mine),
        "wait_ms_per_token": median(1e3 * r.stats["wait_s"] / len(r.token_s) for r in mine),
        "expert_ms_per_token": median(1e3 * r.stats["compute_s"] / len(r.token_s) for r in mine),
        "computing_ms": {"dense": 1e3 * dense_s, "experts": 1e3 * expert_s},
        "limit": asdict(limit),
        "disk_bytes_per_s": rates,
        "sides": sides.summary(outcomes),
    }
    rivals = [runs for name, each in outcomes.items() if name != "edgemed" and (runs := sides.surviving(each))]
    if rivals:
        result |= {
            "decode_ratio": min(map(sides.token_s, rivals)) / sides.token_s(mine),
            "prefill_ratio": min(map(sides.prompt_s, rivals)) / sides.prompt_s(mine),
            "prefill_first_ratio": min(sides.prompt_s(r, 0) for r in rivals) / sides.prompt_s(mine, 0),
        }
    for name in ("decode_ratio", "prefill_ratio", "prefill_first_ratio", "limit_ratio", "limit_ratio_own_misses"):
        if name in result:
            print(f"{name:24} {result[name]:.2f}")
    if args.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
