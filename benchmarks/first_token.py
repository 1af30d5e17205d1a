"""Time to the first token: prompts of several lengths, and a follow-up question that computes only its new tokens.

    python -m benchmarks.first_token OURS.gguf STOCK.gguf --json                     everything fits
    python -m benchmarks.first_token OURS.gguf STOCK.gguf --limit 3.5GiB --json      inside a memory group

Each run is a fresh process with a cold file. "load" is the time to open the model: llama.cpp reads everything that fits
into memory, edgemed the dense weights only. "first" is the first pass over the prompt, "again" the second, with warm
caches. A follow-up of FOLLOW tokens comes last. `--idle 10` waits ten seconds after loading, like a user who thinks
and types. `--settings '{"n_batch": 512}'` tries other batch sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median

from benchmarks import side_by_side as sides
from edgemed.model_file import open_model
from edgemed.sizes import parse_size

LENGTHS = (50, 500, 2000)
FOLLOW = 40


def main(argv: list[str] | None = None) -> int:
    """Run the comparison, print a table, and with --json one object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_token", description=__doc__.split("\n")[0])
    sides.add_arguments(parser)
    parser.add_argument("--limit", type=parse_size, help="memory limit of each run (default: none)")
    parser.add_argument("--idle", type=float, default=0.0, help="seconds between loading and the prompt (default 0)")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="prompt lengths in tokens")
    args = parser.parse_args(argv)
    sides.refuse_when_busy(args.force)
    ram = args.limit or open_model(args.model).size_bytes + sides.ROOM_BYTES
    result = {}
    for length in args.lengths:
        specs = sides.specs(
            args, ram, gpu=args.gpu, prompt=length, prompts=2, follow=FOLLOW, warm=0, decode=2, idle=args.idle
        )
        print(f"{length} tokens")
        outcomes = sides.interleave(specs, args.rounds, args.limit)
        result[length] = {
            name: {
                "load_s": median(run.load_s for run in runs),
                "first_s": sides.prompt_s(runs, 0),
                "again_s": sides.prompt_s(runs),
                "follow_s": median(run.follow_s for run in runs),
            }
            for name, each in outcomes.items()
            if (runs := sides.surviving(each))
        }
        for name, seconds in result[length].items():
            print(f"{name:24}", ", ".join(f"{key[:-2]} {value:.2f} s" for key, value in seconds.items()))
    if args.json:
        print(json.dumps({"follow_tokens": FOLLOW, "limit_bytes": args.limit, "prompts": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
