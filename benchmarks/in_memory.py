"""A model that fits into memory: edgemed against llama.cpp, in short alternating turns.

    python -m benchmarks.in_memory OURS.gguf STOCK.gguf --json

edgemed and one setting of llama.cpp are loaded at the same time and take turns (benchmarks/turns.py): one prompt each,
then a few tokens each, with a measurement of the memory bandwidth in between. Ratios are medians over the turns, their
time over ours. `decode_ratio` and `prefill_ratio` compare with the better of llama.cpp's two settings.
`bandwidth_ratio` is the rate at which our expert pass reads its weights, divided by the rate that numpy's sum reaches
with as many threads in the same turn.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import side_by_side as sides
from benchmarks.measure import Spec
from benchmarks.turns import both
from edgemed.forecast.machine import measure_memory
from edgemed.model_file import open_model

PROMPTS_BEFORE = 2  # the first one meets cold files and fresh memory
TURN_TOKENS = 8
MEMORY_SECONDS = 0.1

Prompts = tuple[float, float]  # seconds of one prompt, ours and theirs


@dataclass(frozen=True)
class Turn:
    """Mean seconds per token of each side, and the bytes per second of our expert pass and of plain memory reads."""

    ours: float
    theirs: float
    experts: float
    memory: float


def take_turns(ours: Spec, theirs: Spec, rounds: int, token_bytes: float) -> tuple[list[Prompts], list[Turn]]:
    """Return the times of the prompts and of the token turns. `token_bytes`: routed-expert bytes used by a token."""
    with both(ours, theirs) as (mine, other):
        for side in (mine, other):
            for _ in range(PROMPTS_BEFORE):
                side.prompt()
        prompts = [(mine.prompt()[0], other.prompt()[0]) for _ in range(rounds)]
        for side in (mine, other):
            side.answer(ours.warm)
        turns = []
        for _ in range(ours.decode // TURN_TOKENS):
            own, stats = mine.answer(TURN_TOKENS)
            rival, _ = other.answer(TURN_TOKENS)
            experts = (token_bytes * TURN_TOKENS + stats["shared_bytes"]) / stats["compute_s"]
            memory = measure_memory(ours.threads, MEMORY_SECONDS)
            turns.append(Turn(sum(own) / TURN_TOKENS, sum(rival) / TURN_TOKENS, experts, memory))
    return prompts, turns


def summary(prompts: list[Prompts], turns: list[Turn]) -> dict[str, Any]:
    """Return medians, and quartiles of the token ratio too."""
    ratios = sorted(turn.theirs / turn.ours for turn in turns)
    return {
        "decode_ratio": median(ratios),
        "decode_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
        "prefill_ratio": median(theirs / ours for ours, theirs in prompts),
        "bandwidth_ratio": median(turn.experts / turn.memory for turn in turns),
        "token_ms": [1e3 * median(turn.ours for turn in turns), 1e3 * median(turn.theirs for turn in turns)],
        "prompt_s": [median(ours for ours, _ in prompts), median(theirs for _, theirs in prompts)],
        "expert_bytes_per_s": median(turn.experts for turn in turns),
        "memory_bytes_per_s": median(turn.memory for turn in turns),
        "turns": len(turns),
    }


def described(name: str, found: dict[str, Any]) -> str:
    """Describe the result for one setting of llama.cpp in two lines."""
    low, high = found["decode_quartiles"]
    token, prompt = found["token_ms"], found["prompt_s"]
    experts, memory = found["expert_bytes_per_s"] / 1e9, found["memory_bytes_per_s"] / 1e9
    return (
        f"{name:24} token {token[0]:.1f}, theirs {token[1]:.1f} ms, ratio {found['decode_ratio']:.3f} "
        f"({low:.3f} to {high:.3f})\n"
        f"{'':24} prompt {prompt[0]:.2f}, theirs {prompt[1]:.2f} s, ratio {found['prefill_ratio']:.2f}; "
        f"experts {experts:.1f}, memory {memory:.1f} GB/s"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison, print a table, and with --json one object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_memory", description=__doc__.split("\n")[0])
    sides.add_arguments(parser, decode=256)
    args = parser.parse_args(argv)
    sides.refuse_when_busy(args.force)
    model = open_model(args.model)
    ram = model.size_bytes + sides.ROOM_BYTES
    ours, *rivals = sides.specs(
        args, ram, gpu=args.gpu, prompt=args.prompt, warm=sides.WARM_TOKENS, decode=args.decode
    ).items()
    # In a mixture, experts differ in size. Over many tokens their mean is what counts.
    expert_bytes = float(model.experts.nbytes.sum(axis=2).mean())
    token_bytes = expert_bytes * model.hparams.n_expert_used * len(model.experts.layers)
    against = {name: summary(*take_turns(ours[1], spec, args.rounds, token_bytes)) for name, spec in rivals}
    for name, found in against.items():
        print(described(name, found))
    result = {
        "model_bytes": model.size_bytes,
        "decode_ratio": min(found["decode_ratio"] for found in against.values()),
        "prefill_ratio": min(found["prefill_ratio"] for found in against.values()),
        "bandwidth_ratio": median(found["bandwidth_ratio"] for found in against.values()),
        "against": against,
    }
    for name in ("decode_ratio", "prefill_ratio", "bandwidth_ratio"):
        print(f"{name:24} {result[name]:.2f}")
    if args.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
