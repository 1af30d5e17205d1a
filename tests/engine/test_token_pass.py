"""One token's pass through a layer's experts and its shared expert, and the prefetches it makes for the next layer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.engine_probe import Probe, run_probes
from testing.processor import AVX2, skip_without

F32 = Plan.uniform(Type.F32)


def model(folder: Path, shape: Shape, dense: Type = Type.Q8_0) -> str:
    plan = Plan((Type.Q2_K, Type.Q4_K, Type.Q6_K), dense_default=dense)
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "model.gguf", plan)
    return str(folder / "model.gguf")


@pytest.mark.slow
@pytest.mark.parametrize("dense", [Type.Q8_0, Type.Q6_K, Type.F16, Type.F32], ids=lambda dense: dense.name)
@pytest.mark.parametrize("shared", [1, 2], ids=["as wide", "wider"])
def test_a_layer_in_one_pass_and_node_by_node(shared: int, dense: Type, tmp_path: Path) -> None:
    """The same bits: nothing of a layer depends on what is fused with what. A wider shared expert is never fused."""
    shape = Shape(num_hidden_layers=3, num_shared_experts=shared)
    probe = Probe(model(tmp_path, shape, dense), tuple(range(20, 44)))
    # Repacked weights would not be ours to multiply.
    fused = replace(probe, batches=(*probe.one_by_one[:9], 2, 3, 8, 1, 1), repack=False)
    one, other = run_probes(tmp_path, fused, replace(fused, pieces=True))
    assert (one.stats["shared_bytes"] > 0) == (shared == 1)
    assert other.stats["shared_bytes"] == 0
    assert np.array_equal(one.logits, other.logits)


@pytest.mark.slow
def test_predictions_are_right_where_attention_adds_nothing(tmp_path: Path) -> None:
    """Then the residual after a layer is all that the next router sees, and only rounding makes a prediction wrong."""
    shape = Shape(num_hidden_layers=5, attention_scale=0.0)
    probe = Probe(model(tmp_path, shape), tuple(range(20, 60)), small_cache=True)
    (answer,) = run_probes(tmp_path, replace(probe, batches=probe.one_by_one))
    stats = answer.stats
    assert stats["predicted"] == len(probe.ids) * 3 * shape.num_experts_per_tok  # four layers but the first
    assert stats["predicted_right"] > 0.97 * stats["predicted"]
    assert stats["prefetches_used"] > 0.9 * stats["prefetches"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 5, 8])
def test_they_are_right_for_each_token_of_a_small_batch(size: int, tmp_path: Path) -> None:
    """Of the last layer only the last token's experts are predicted: as a rule llama.cpp computes no other."""
    shape = Shape(num_hidden_layers=5, attention_scale=0.0)
    probe = Probe(model(tmp_path, shape), tuple(range(20, 60)), small_cache=True)
    (answer,) = run_probes(tmp_path, replace(probe, batches=(size,) * (40 // size)))
    stats = answer.stats
    assert stats["predicted"] == len(probe.ids) * 2 * shape.num_experts_per_tok  # four layers but first and last
    assert stats["predicted_right"] > 0.97 * stats["predicted"]
    assert stats["prefetches"] > 0


@pytest.mark.slow
def test_nothing_is_predicted_where_nothing_is_missing(tmp_path: Path) -> None:
    shape = Shape(num_hidden_layers=5)
    probe = Probe(model(tmp_path, shape), tuple(range(20, 28)) * 20)
    (answer,) = run_probes(tmp_path, replace(probe, batches=probe.one_by_one))
    experts = 4 * shape.num_experts
    assert 0 < answer.stats["predicted"] <= experts * 4 * shape.num_experts_per_tok


@pytest.mark.slow
@pytest.mark.parametrize("batches", [(1,) * 200, (50,) * 4], ids=["token by token", "in batches"])
def test_attention_is_nearer_to_exact_than_llama_cpp_s(batches: tuple[int, ...], tmp_path: Path) -> None:
    """Both with keys and values in half precision; exact: both in F32, and no fused attention. Of longer batches
    llama.cpp may make tiles in single precision, as we do."""
    skip_without(AVX2)
    convert(str(make_checkpoint(tmp_path / "checkpoint", Shape())), tmp_path / "m.gguf", F32, layout="llama.cpp")
    exact = Probe(str(tmp_path / "m.gguf"), tuple(range(20, 220)), batches)
    ours = replace(exact, kv_type="f16", flash_attn=True)
    right, mine, theirs = (answer.logits for answer in run_probes(tmp_path, exact, ours, replace(ours, stock=True)))
    assert 0 < np.abs(mine - right).mean() < np.abs(theirs - right).mean()
    assert np.abs(mine - right).max() < 3e-2
