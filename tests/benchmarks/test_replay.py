"""The trace replayer against brute force: its results decided the engine's cache policy."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.replay import POLICIES, belady, decayed, lfu, lru, misses
from benchmarks.traces import SYNTHETIC, Shape, Trace, load, route, synthetic

SMALL = Shape(layers=3, experts=16, used=2, groups=4, groups_used=2)


def one_by_one(keys: list[int]) -> Trace:
    """Make a trace with one access per step."""
    n = len(keys)
    ones = np.ones(n, np.int64)
    return Trace(np.arange(n), 0 * ones, np.array(keys, np.int64), ones, 16)


accesses = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(accesses, st.integers(1, 4))
def test_lru_matches_an_ordered_dictionary(keys: list[int], capacity: int) -> None:
    cached: OrderedDict[int, None] = OrderedDict()
    expected = []
    for key in keys:
        expected.append(key not in cached)
        cached[key] = None
        cached.move_to_end(key)
        if len(cached) > capacity:
            cached.popitem(last=False)
    trace = one_by_one(keys)
    assert misses(trace, lru(trace), capacity).tolist() == expected


@given(accesses, st.integers(1, 4))
def test_belady_matches_the_best_of_all_evictions(keys: list[int], capacity: int) -> None:
    @cache
    def fewest(position: int, cached: frozenset[int]) -> int:
        if position == len(keys):
            return 0
        key = keys[position]
        if key in cached:
            return fewest(position + 1, cached)
        if len(cached) < capacity:
            return 1 + fewest(position + 1, cached | {key})
        return 1 + min(fewest(position + 1, (cached - {victim}) | {key}) for victim in cached)

    trace = one_by_one(keys)
    assert misses(trace, belady(trace), capacity).sum() == fewest(0, frozenset())


@given(accesses, st.integers(1, 4))
def test_counts_survive_eviction(keys: list[int], capacity: int) -> None:
    counts = dict.fromkeys(keys, 0)
    last: dict[int, int] = {}
    cached: set[int] = set()
    expected = []
    for now, key in enumerate(keys):
        expected.append(key not in cached)
        counts[key] += 1
        last[key] = now
        if key not in cached and len(cached) == capacity:
            cached.remove(min(cached, key=lambda k: (counts[k], last[k])))
        cached.add(key)
    trace = one_by_one(keys)
    assert misses(trace, lfu(trace), capacity).tolist() == expected


@given(accesses)
def test_decay_orders_experts_by_their_discounted_uses(keys: list[int]) -> None:
    trace = one_by_one(keys)
    score = decayed(3.0)(trace)
    for i, key in enumerate(keys):
        uses = sum(2 ** (t / 3.0) for t in range(i + 1) if keys[t] == key)
        assert score[i] == pytest.approx(np.log2(uses))


@pytest.mark.parametrize("kind", sorted(SYNTHETIC))
def test_policies_lie_between_chance_and_belady(kind: str) -> None:
    trace = synthetic(kind, 400, SMALL, seed=3)
    rates = {name: 1 - misses(trace, policy(trace), 24).mean() for name, policy in POLICIES.items()}
    assert all(rate <= rates["belady"] for rate in rates.values())
    assert min(rates.values()) > 0.4


def test_experts_of_one_decoding_layer_do_not_evict_each_other() -> None:
    steps, experts = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 3, 2, 3])
    trace = Trace(steps, 0 * steps, experts, np.ones_like(steps), 16)
    newcomers_are_worthless = np.array([5.0, 5.0, 0.0, 0.0, 0.0, 0.0])
    assert misses(trace, newcomers_are_worthless, 3).tolist() == [True, True, True, True, False, False]


def test_cache_of_all_experts_misses_each_once() -> None:
    trace = synthetic("uniform", 60, SMALL)
    missed = misses(trace, lru(trace), SMALL.layers * SMALL.experts)
    assert missed.sum() == len(np.unique(trace.key))


def test_byte_capacity_counts_expert_sizes() -> None:
    trace = one_by_one([0, 1, 2, 0, 1, 2])
    sizes = np.array([10, 10, 30])
    assert misses(trace, lru(trace), 50, sizes).tolist() == [True, True, True, False, False, False]
    assert misses(trace, lru(trace), 25, sizes).tolist() == [True, True, True, False, False, True]
    assert misses(trace, belady(trace), 20, sizes).tolist() == [True, True, True, False, False, True]


def test_routing_masks_whole_groups() -> None:
    rng = np.random.default_rng(0)
    for scores in rng.random((50, SMALL.experts)):
        groups = scores.reshape(SMALL.groups, -1)
        best = sorted(range(SMALL.groups), key=lambda g: -sum(sorted(groups[g])[-2:]))[: SMALL.groups_used]
        allowed = [e for e in range(SMALL.experts) if e // groups.shape[1] in best]
        expected = sorted(sorted(allowed, key=lambda e: -scores[e])[: SMALL.used])
        assert route(scores, SMALL).tolist() == expected


def test_recorded_trace_distinguishes_prompts_from_answers(tmp_path: Path) -> None:
    trace = synthetic("chat", 800, SMALL)
    path = tmp_path / "trace"
    np.stack([trace.step, trace.layer, trace.expert], axis=1).astype("<u4").tofile(path)
    again = load(path, SMALL.experts)
    assert (again.key == trace.key).all()
    assert (again.decoding == trace.decoding).all()
    assert trace.step[-1] == 799
    assert not trace.decoding[0]
    assert trace.decoding[-1]
    assert again.tokens[again.decoding].max() == 1
    assert again.tokens[0] > 1


@pytest.mark.parametrize("content", [b"", b"1234", np.array([1, 0, 16], "<u4").tobytes()])
def test_other_files_are_refused_as_traces(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ValueError, match="not a routing trace"):
        load(tmp_path / "bad", 16)
