"""Predictions of a model's speed from its size and the machine's rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given
from hypothesis import strategies as st

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.convert.pipeline import convert
from edgemed.engine.hot_profile import write_profile
from edgemed.forecast.hit_rates import hit_rate_of, known_use
from edgemed.forecast.model_size import size_of, size_of_file
from edgemed.forecast.prediction import (
    CACHED_PART,
    CONTEXT_TOKENS,
    PROMPT_TOKENS,
    TOPICS_HITS,
    fixed_bytes,
    predict,
    smallest_ram,
)
from edgemed.model_file import ModelFile, open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.gguf_bytes import small_model
from testing.machines import GB, machine

FULL = size_of(ANTANGELMED, 3.06)


def test_published_sizes_are_reproduced() -> None:
    # There are 102,889,705,216 weights; an expert has 12,582,912; F16 keys and values take 65,536 bytes per token.
    assert FULL.expert_bytes == pytest.approx(12_582_912 * 3.06 / 8)
    assert set(FULL.expert) == {"Q2_K", "Q3_K"}
    assert FULL.layers * FULL.experts == 31 * 256
    assert FULL.kv_bytes_per_token == 65_536
    dense_weights = 102_889_705_216 - 31 * 256 * 12_582_912
    router_extra = 31 * 256 * 4096 * (32 - 8.5) / 8
    told = (FULL.dense.nbytes + FULL.other_bytes - router_extra) * 8 / 8.5
    assert told == pytest.approx(dense_weights, rel=1e-3)


@pytest.mark.parametrize("bits", [1.7, 2.625, 3.0, 4.5, 8.5, 16.0])
def test_size_matches_bits_per_weight(bits: float) -> None:
    assert size_of(ANTANGELMED, bits).expert_bytes == pytest.approx(12_582_912 * bits / 8)


@pytest.mark.slow
def test_file_size_matches_its_shape(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", Shape(hidden_size=512, moe_intermediate_size=512, intermediate_size=1024))
    convert(str(tmp_path / "c"), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    file = open_model(tmp_path / "m.gguf")
    actual, told = size_of_file(file), size_of(file.hparams, 4.5)
    assert actual.expert == told.expert
    # The size leaves out norms and biases.
    assert actual.dense.nbytes == pytest.approx(told.dense.nbytes, rel=0.02)
    assert actual.dense.weights == pytest.approx(told.dense.weights, rel=0.02)
    assert actual.batch_weights == pytest.approx(told.batch_weights, rel=0.02)
    assert actual.other_bytes == told.other_bytes


def test_everything_in_memory_costs_compute_only() -> None:
    ram = fixed_bytes(FULL, 8192) + FULL.all_experts_bytes
    worst, likely = predict(FULL, machine(), ram)
    assert worst.token_s == likely.token_s
    assert worst.token_s == pytest.approx((FULL.dense.nbytes + FULL.token_expert_bytes) / (20 * GB))
    assert worst.read_bytes == 0
    # The last layer computes its experts for the last token only.
    weights = FULL.batch_weights + (FULL.layers - 1) * FULL.used * 12_582_912
    assert worst.first_token_s - worst.token_s == pytest.approx(PROMPT_TOKENS * weights / (100 * GB), rel=0.02)


def test_each_type_has_its_rate() -> None:
    here = machine()
    ram = fixed_bytes(FULL, 8192) + FULL.all_experts_bytes
    fast, _ = predict(FULL, here, ram)
    here.compute.experts["Q3_K"] /= 2
    slow, _ = predict(FULL, here, ram)
    extra = FULL.expert["Q3_K"].nbytes * FULL.layers * FULL.used / (20 * GB)
    assert slow.token_s - fast.token_s == pytest.approx(extra)


def test_slow_disk_sets_the_speed() -> None:
    slow = machine(disk=0.001)
    worst, _ = predict(FULL, slow, 12 << 30)
    assert worst.token_s == pytest.approx(worst.read_bytes / slow.disk, rel=0.01)
    unread = (1 - worst.cached_part) * FULL.all_experts_bytes / slow.disk
    assert worst.first_token_s - worst.token_s == pytest.approx(unread, rel=0.01)


def test_too_small_budget_predicts_nothing() -> None:
    least = smallest_ram(FULL, 8192)
    assert predict(FULL, machine(), least - 1) == []
    assert len(predict(FULL, machine(), least)) == 2


@given(st.integers(1, 60), st.integers(1, 60))
def test_more_memory_is_never_slower(one: int, other: int) -> None:
    small, large = sorted((smallest_ram(FULL, 8192) + (gib << 30)) for gib in (one, other))
    for less, more in zip(predict(FULL, machine(), small), predict(FULL, machine(), large), strict=True):
        assert more.token_s <= less.token_s * (1 + 1e-9)
        assert 0 <= less.hit_rate <= more.hit_rate <= 1


def test_topics_have_more_hits_than_chance() -> None:
    assert all(hits >= part for part, hits in zip(CACHED_PART, TOPICS_HITS, strict=True))
    assert list(TOPICS_HITS) == sorted(TOPICS_HITS)


def large_file(folder: Path) -> ModelFile:
    """Return a model without weights: four MoE layers of 256 experts, 8 of which are used."""
    (folder / "m.gguf").write_bytes(small_model("edgemed").encode())
    file = open_model(folder / "m.gguf")
    return replace(file, hparams=replace(file.hparams, n_layer=5, n_expert=256, n_expert_used=8, n_group=1))


def profile(popularity: np.ndarray, tokens: int = 400, used: int = 8) -> np.ndarray:
    """Return the hot profile after this many tokens, routed at random by popularity [MoE layer, expert]."""
    rng = np.random.default_rng(1)
    decayed = np.zeros(popularity.shape)
    for _ in range(tokens):
        keys = rng.gumbel(size=popularity.shape) + np.log(popularity)
        chosen = np.argsort(-keys, axis=1)[:, :used]
        decayed *= 2 ** (-1 / 64)
        np.put_along_axis(decayed, chosen, np.take_along_axis(decayed, chosen, 1) + 1, 1)
    with np.errstate(divide="ignore"):
        return np.maximum(np.log2(decayed), -1e30).astype(np.float32)


def test_uniform_profile_predicts_the_cached_fraction() -> None:
    known = hit_rate_of(profile(np.full((4, 256), 1 / 256)), 8)
    assert known is not None
    assert known(0.36) == pytest.approx(0.36, abs=0.06)
    assert known(0) == 0
    assert known(1) == 1


def test_skewed_profile_predicts_more_than_the_cached_fraction(tmp_path: Path) -> None:
    popularity = np.tile(1 / np.arange(1, 257), (4, 1))
    popularity /= popularity.sum(axis=1, keepdims=True)
    file = large_file(tmp_path)
    write_profile(file.path, profile(popularity))
    known = known_use(file)
    assert known is not None
    assert 0.6 < known.hit_rate(0.36) < 0.9
    ram = smallest_ram(FULL, 8192) + (8 << 30)
    _, likely = predict(FULL, machine(), ram, known=known)
    assert likely.hit_rate == known.hit_rate(likely.cached_part)
    assert likely.routing == "used so far"


def test_calibration_replaces_a_missing_hot_profile(tmp_path: Path) -> None:
    tokens = np.tile(np.round(1e6 / np.arange(1, 257)), (4, 1))
    tokens[:, -1] = 0
    known = known_use(replace(large_file(tmp_path), expert_tokens=tokens))
    assert known is not None
    assert known.routing == "calibrated"
    best = np.sort(tokens.ravel())[::-1].cumsum() / tokens.sum()
    for part in (0.1, 0.36, 0.9):
        assert known.hit_rate(part) == pytest.approx(best[round(part * tokens.size) - 1], abs=0.01)


def test_too_few_tokens_predict_nothing(tmp_path: Path) -> None:
    assert hit_rate_of(profile(np.full((4, 256), 1 / 256), tokens=8), 8) is None
    assert known_use(large_file(tmp_path)) is None


def test_attention_reads_the_kv_cache() -> None:
    quick, slow = (predict(FULL, machine(attention=rate), 64 * GB, 4096)[0].token_s for rate in (float("inf"), 2.0))
    assert slow - quick == pytest.approx(FULL.kv_bytes_per_token * CONTEXT_TOKENS / (2.0 * GB))
