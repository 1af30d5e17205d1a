"""Replay a routing trace with different cache policies and count the reads that each would need.

    python -m benchmarks.replay                          synthetic traces at AntAngelMed's shape
    python -m benchmarks.replay --trace FILE             a trace recorded by the engine

Every policy gives an expert a score whenever it is used, and the cache evicts the lowest score. A policy is thus one
array, a score for each access, and one simulator serves all. Evicted experts keep their scores, so counts survive
eviction. Belady's rule (evict the expert whose next use is farthest) needs the future and bounds every policy.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.traces import SYNTHETIC, Floats, Ints, Shape, Trace, load, synthetic

NEVER = np.inf


def lru(trace: Trace) -> Floats:
    """Least recently used: the score is the time of the last use."""
    return np.arange(len(trace.key), dtype=np.float64)


def _by_key(trace: Trace) -> list[Ints]:
    """Return the positions of each key's accesses in ascending order, one array per key."""
    order = np.argsort(trace.key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(trace.key[order])) + 1)


def lfu(trace: Trace) -> Floats:
    """Least frequently used over the whole past, counted in tokens; ties favour the more recent."""
    score = np.empty(len(trace.key))
    for positions in _by_key(trace):
        score[positions] = np.cumsum(trace.tokens[positions])
    return score + np.arange(len(score)) / (len(score) + 1)


def decayed(half_life: float) -> Callable[[Trace], Floats]:
    """Frequency and recency: each use counts 1 and loses half its weight every `half_life` tokens.

    The score is log2(sum of 2^(t/half_life)). It keeps experts in the same order at any later time, so it never needs
    an update between uses.
    """

    def policy(trace: Trace) -> Floats:
        weight = trace.step / half_life + np.log2(trace.tokens)
        score = np.empty(len(weight))
        for positions in _by_key(trace):
            score[positions] = np.logaddexp2.accumulate(weight[positions])
        return score

    return policy


def belady(trace: Trace) -> Floats:
    """The optimum for experts of one size: the score is the negative position of the next use."""
    score = np.full(len(trace.key), -NEVER)
    for positions in _by_key(trace):
        score[positions[:-1]] = -positions[1:]
    return score


POLICIES: dict[str, Callable[[Trace], Floats]] = {
    "lru": lru,
    "lfu": lfu,
    **{f"decayed-{half_life}": decayed(half_life) for half_life in (16, 32, 64, 128, 256, 512)},
    "belady": belady,
}


def misses(trace: Trace, score: Floats, capacity: int, sizes: Ints | None = None) -> NDArray[np.bool_]:
    """Return which accesses miss in a cache of `capacity` (experts, or bytes if `sizes` gives bytes by key).

    While decoding, the experts of one layer are needed together and cannot evict each other; during a prompt they
    stream through one by one. An expert that does not fit is computed but not kept.
    """
    keys = trace.key.tolist()
    values = score.tolist()
    size = np.ones(int(trace.key.max()) + 1, np.int64).tolist() if sizes is None else sizes.tolist()
    single = trace.decoding
    group = np.where(
        single, trace.step * (int(trace.layer.max()) + 1) + trace.layer, -1 - np.arange(len(keys))
    ).tolist()
    current: dict[int, float] = {}  # resident key -> its score
    last_group: dict[int, int] = {}
    heap: list[tuple[float, int]] = []
    free = capacity
    missed = np.zeros(len(keys), np.bool_)
    push, pop = heapq.heappush, heapq.heappop
    for i, key in enumerate(keys):
        value, here = values[i], group[i]
        last_group[key] = here
        if key not in current:
            missed[i] = True
            if size[key] > capacity:
                continue
            held: list[tuple[float, int]] = []
            while free < size[key] and heap:
                entry = pop(heap)
                other = entry[1]
                if current.get(other) != entry[0]:
                    continue  # stale: evicted, or used again since then
                if last_group[other] == here:
                    held.append(entry)
                    continue
                del current[other]
                free += size[other]
            for entry in held:
                push(heap, entry)
            if free < size[key]:
                continue
            free -= size[key]
        current[key] = value
        push(heap, (value, key))
    return missed


def hit_rates(trace: Trace, fractions: list[float]) -> dict[str, list[float]]:
    """Return the hit rate while decoding, by policy, for caches that hold these fractions of the trace's experts."""
    total = (int(trace.layer.max()) + 1) * trace.experts_per_layer
    single = trace.decoding
    rates: dict[str, list[float]] = {}
    for name, policy in POLICIES.items():
        score = policy(trace)
        rates[name] = [1 - float(misses(trace, score, int(f * total))[single].mean()) for f in fractions]
    return rates


def main(argv: list[str] | None = None) -> int:
    """Print a table for each trace; with --json, one object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__.split("\n")[0])
    parser.add_argument("--trace", type=Path, action="append", default=[], help="replay a recorded trace instead")
    parser.add_argument("--experts", type=int, default=256, help="experts in a layer of the recorded trace")
    parser.add_argument("--tokens", type=int, default=800, help="length of each synthetic trace (default 800)")
    parser.add_argument("--fractions", default="0.1,0.25,0.45,0.7", help="cache sizes as fractions of all experts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    fractions = [float(f) for f in args.fractions.split(",")]
    traces = {path.name: load(path, args.experts) for path in args.trace} or {
        kind: synthetic(kind, args.tokens, Shape(), args.seed) for kind in SYNTHETIC
    }
    result: dict[str, dict[str, list[float]]] = {}
    for name, trace in traces.items():
        result[name] = hit_rates(trace, fractions)
        print(f"\n{name}: hit rate while decoding, by cache size as a fraction of all experts")
        print(f"{'':14}" + "".join(f"{f:>8.0%}" for f in fractions))
        for policy, row in result[name].items():
            print(f"{policy:14}" + "".join(f"{rate:8.1%}" for rate in row))
        sys.stdout.flush()
    if args.json:
        print(json.dumps({"fractions": fractions, "tokens": args.tokens, "seed": args.seed, "hit_rate": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
