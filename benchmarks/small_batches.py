"""A short follow-up prompt as one batch, against the same number of single tokens.

    python -m benchmarks.small_batches MODEL.gguf [--ram 4GiB] [--tokens 2 4 8 9] [--rounds 12] [--json]

Make MODEL with benchmarks.true_shape. After a prompt of 512 tokens, every round decodes new random tokens once as a
batch of n and once one by one, in changing order. `gain` is the median time of n single tokens over the median time of
the batch. Up to 8 tokens take the single token's way through an MoE layer and read each expert once for all their rows;
9 tokens take the way of a prompt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from statistics import median

from llama_cpp import llama_cpp

from benchmarks.measure import Side, Spec, decode
from benchmarks.true_shape import tokens
from edgemed.engine.process.launch import environment
from edgemed.sizes import parse_size

CONTEXT, LONGEST = 512, 2048
WARM_ROUNDS = 2
SPINS = "GOMP_SPINCOUNT"  # OpenMP reads it when the process starts


def measure(side: Side, vocabulary: int, sizes: list[int], rounds: int) -> dict[int, tuple[float, float]]:
    """Median seconds of (one batch, as many single tokens) for each size."""
    fresh = iter(tokens(1_000_000, vocabulary, 7))
    times: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in sizes}
    held = LONGEST
    for number in range(WARM_ROUNDS + rounds):
        for size in sizes:
            if held + 2 * size >= LONGEST:
                llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(side.loaded.ctx), False)
                decode(side.loaded.ctx, tokens(CONTEXT, vocabulary, 1))
                held = CONTEXT
            for one_by_one in (number % 2 == 0, number % 2 == 1):
                taken = _seconds(side, fresh, size, one_by_one=one_by_one)
                held += size
                if number >= WARM_ROUNDS:
                    times[size][one_by_one].append(taken)
    return {size: (median(batch), median(single)) for size, (batch, single) in times.items()}


def _seconds(side: Side, fresh: Iterator[int], size: int, *, one_by_one: bool) -> float:
    part = list(islice(fresh, size))
    begin = time.perf_counter()
    for piece in [[token] for token in part] if one_by_one else [part]:
        decode(side.loaded.ctx, piece)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ram", type=parse_size)
    parser.add_argument("--tokens", type=int, nargs="+", default=[2, 4, 8, 9])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if SPINS not in os.environ:  # start again with the engine's environment
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.small_batches", *sys.argv[1:]], environment())
    spec = Spec("edgemed", args.model, prompt=CONTEXT, decode=LONGEST, warm=0, threads=args.threads, ram_bytes=args.ram)
    side = Side(spec)
    found = measure(side, side.loaded.file.hparams.n_vocab, args.tokens, args.rounds)
    if args.json:
        print(json.dumps({size: {"batch_s": batch, "single_s": single} for size, (batch, single) in found.items()}))
        return
    for size, (batch, single) in found.items():
        times = f"batch {batch * 1e3:7.1f} ms, one by one {single * 1e3:7.1f} ms"
        print(f"{size:3} tokens: {times}, gain {single / batch:.2f}")


if __name__ == "__main__":
    main()
