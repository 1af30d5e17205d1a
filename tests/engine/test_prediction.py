"""Predicting a model's speed by arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given
from hypothesis import strategies as st

from edgemed.convert.pipeline import convert
from edgemed.engine.machine import Machine
from edgemed.engine.prediction import (
    CACHED_PART,
    KERNEL_SHARE,
    TOPICS_HITS,
    fixed_bytes,
    predict,
    size_of,
    size_of_file,
    smallest_ram,
)
from edgemed.engine.survey import ANTANGELMED
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from tests.support.checkpoints import Shape, make_checkpoint

GB = 10**9
FULL = size_of(ANTANGELMED, 3.06)
HERE = Machine(disk=2.4 * GB, memory=26.0 * GB, cores=2, direct=True)


def test_the_published_sizes_come_out() -> None:
    # 102,889,705,216 weights in all; one expert is 12,582,912 weights; F16 keys and values take 65,536 bytes a token.
    assert FULL.expert_bytes == pytest.approx(12_582_912 * 3.06 / 8)
    assert FULL.layers * FULL.experts == 31 * 256
    assert FULL.kv_bytes_per_token == 65_536
    dense_weights = 102_889_705_216 - 31 * 256 * 12_582_912
    router_extra = 31 * 256 * 4096 * (32 - 8.5) / 8
    told = (FULL.dense_bytes + FULL.other_bytes - router_extra) * 8 / 8.5
    assert told == pytest.approx(dense_weights, rel=1e-3)


def test_a_files_size_is_what_its_shape_says(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", Shape(hidden_size=512, moe_intermediate_size=512, intermediate_size=1024))
    convert(str(tmp_path / "c"), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    file = open_model(tmp_path / "m.gguf")
    actual, told = size_of_file(file), size_of(file.hparams, 4.5)
    assert actual.expert_bytes == told.expert_bytes
    assert actual.dense_bytes == pytest.approx(told.dense_bytes, rel=0.02)  # norms and biases are not counted
    assert actual.other_bytes == told.other_bytes


def test_everything_in_memory_is_memory_alone() -> None:
    ram = fixed_bytes(FULL, 8192) + FULL.all_experts_bytes
    worst, likely = predict(FULL, HERE, ram)
    assert worst.token_s == likely.token_s
    assert worst.token_s == pytest.approx((FULL.dense_bytes + FULL.token_expert_bytes) / (26 * GB * KERNEL_SHARE))
    assert worst.read_bytes == 0


def test_a_slow_disk_is_all_that_counts() -> None:
    slow = Machine(disk=0.001 * GB, memory=26.0 * GB, cores=2, direct=True)
    worst, _ = predict(FULL, slow, 12 << 30)
    assert worst.token_s == pytest.approx(worst.read_bytes / slow.disk, rel=0.01)


def test_too_small_a_budget_predicts_nothing() -> None:
    least = smallest_ram(FULL, 8192)
    assert predict(FULL, HERE, least - 1) == []
    assert len(predict(FULL, HERE, least)) == 2


@given(st.integers(1, 60), st.integers(1, 60))
def test_more_memory_is_never_slower(one: int, other: int) -> None:
    small, large = sorted((smallest_ram(FULL, 8192) + (gib << 30)) for gib in (one, other))
    for less, more in zip(predict(FULL, HERE, small), predict(FULL, HERE, large), strict=True):
        assert more.token_s <= less.token_s * (1 + 1e-9)  # hits cost as much time as misses once the disk is fast
        assert 0 <= less.hit_rate <= more.hit_rate <= 1


def test_topics_hit_more_than_chance_everywhere() -> None:
    assert all(hits >= part for part, hits in zip(CACHED_PART, TOPICS_HITS, strict=True))
    assert list(TOPICS_HITS) == sorted(TOPICS_HITS)
