"""A model that fits: edgemed against llama.cpp with everything in memory.

    python -m benchmarks.in_memory OURS.gguf STOCK.gguf --json

The prompt is read three times in each run and the last counts, so that no file is cold. `decode_ratio` and
`prefill_ratio` compare with the better of llama.cpp's two settings; `bandwidth_ratio` is the rate at which our expert
pass goes through its weights, over what numpy's sum reaches with as many threads.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median

from benchmarks import side_by_side as sides
from edgemed.engine.machine import measure_memory
from edgemed.model_file import open_model


def main(argv: list[str] | None = None) -> int:
    """Run, print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_memory", description=__doc__.split("\n")[0])
    sides.add_arguments(parser)
    args = parser.parse_args(argv)
    sides.refuse_when_busy(args.force)
    model = open_model(args.model)
    ram = model.size_bytes + sides.ROOM_BYTES
    specs = sides.specs(args, ram, prompt=args.prompt, prompts=3, warm=sides.WARM_TOKENS, decode=args.decode)
    memory = [measure_memory(args.threads)]
    outcomes = sides.interleave(specs, args.rounds)
    memory.append(measure_memory(args.threads))
    mine = sides.surviving(outcomes["edgemed"])
    rivals = [sides.surviving(each) for name, each in outcomes.items() if name != "edgemed"]
    # Experts differ in size in a mixture; over many tokens the average one is used.
    expert_bytes = float(model.experts.nbytes.sum(axis=2).mean())
    token_bytes = expert_bytes * model.hparams.n_expert_used * len(model.experts.layers)
    rate = median(token_bytes * len(run.token_s) / run.stats["compute_s"] for run in mine)
    result = {
        "model_bytes": model.size_bytes,
        "decode_ratio": min(map(sides.token_s, rivals)) / sides.token_s(mine),
        "prefill_ratio": min(map(sides.prompt_s, rivals)) / sides.prompt_s(mine),
        "bandwidth_ratio": rate / median(memory),
        "expert_bytes_per_s": rate,
        "memory_bytes_per_s": memory,
        "sides": sides.summary(outcomes),
    }
    for name in ("decode_ratio", "prefill_ratio", "bandwidth_ratio"):
        print(f"{name:24} {result[name]:.2f}")
    if args.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
