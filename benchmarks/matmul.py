"""Speed of quantised matmul: our kernels against ggml's, in GOP/s.

    python -m benchmarks.matmul [--threads 2] [--json]

One operation is a multiplication or an addition. Eight matrices [1024, 4096] of random bits (the shape of an expert's
gate) are multiplied one after another; the best repetition counts. Processor time is measured, so other programs have
little influence. On ggml's side, MUL_MAT runs with the kernel that ggml chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.engine.llama import start_llama
from edgemed.native.matmul import Bytes, Floats, gemm, gemv
from testing.ggml_matmul import CODEBOOKS, K_QUANTS, GgmlMatmul, random_weights

ROWS, COLUMNS, MATRICES = 1024, 4096, 8
COUNTS = (1, 4, 16, 64, 512)
MOST_RUNS = 20  # every run uses up some of ggml's memory pool


def _best(compute: Callable[[], object], seconds: float) -> float:
    """Return the shortest processor time of the runs that fit into `seconds`, with at least three runs."""
    best, end, runs = float("inf"), time.perf_counter() + seconds, 0
    while runs < 3 or (runs < MOST_RUNS and time.perf_counter() < end):
        start = time.process_time()
        compute()
        best = min(best, time.process_time() - start)
        runs += 1
    return best


def measure(kind: Type, count: int, threads: int, seconds: float) -> dict[str, float | None]:
    """Return the GOP/s of both sides, summed over all threads."""
    x = np.random.default_rng(1).standard_normal((count, COLUMNS), np.float32)
    matrices = [random_weights(kind, ROWS, COLUMNS, seed) for seed in range(MATRICES)]
    operations = 2e-9 * ROWS * COLUMNS * count * MATRICES * threads
    rates: dict[str, float | None] = {"edgemed": None}

    def ours(weights: Bytes) -> Floats | None:
        # A single row goes through gemv, which the engine's threads call on parts of the matrix.
        single = gemv(kind, weights, x[0]) if count == threads == 1 else None
        return gemm(kind, weights, x, threads) if single is None else single

    if ours(matrices[0]) is not None:
        rates["edgemed"] = operations / _best(lambda: [ours(m) for m in matrices], seconds)
    with GgmlMatmul(kind, matrices, x) as graph:
        rates["ggml"] = operations / _best(lambda: graph.compute(threads), seconds)
    return rates


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and with --json one object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matmul", description=__doc__.split("\n")[0])
    parser.add_argument("--types", nargs="+", default=[*K_QUANTS, *CODEBOOKS])
    parser.add_argument("--rows", nargs="+", type=int, default=COUNTS, help="rows of activations")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=0.3, help="for each measurement")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    args = parser.parse_args(argv)
    start_llama()
    table: dict[str, dict[int, dict[str, float | None]]] = {}
    print(f"GOP/s, {args.threads} threads, edgemed/ggml by rows")
    for name in args.types:
        table[name] = {count: measure(Type[name], count, args.threads, args.seconds) for count in args.rows}
        cells = (f"{n:>5}: {r['edgemed'] or 0:4.0f}/{r['ggml']:<4.0f}" for n, r in table[name].items())
        print(f"{name:8}", *cells, flush=True)
    if args.json:
        print(json.dumps(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
