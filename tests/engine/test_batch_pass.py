"""A batch's pass: what the disk reads while dense layers are multiplied."""

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


def probe(folder: Path, shape: Shape) -> Probe:
    """A model of this shape, computed in one batch. Experts of the last MoE layer are never prefetched."""
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "m.gguf", Plan.uniform(Type.Q4_K))
    return Probe(str(folder / "m.gguf"), tuple(range(20, 100)), repack=False)


@pytest.mark.slow
def test_experts_are_read_before_the_first_layer_that_has_some(tmp_path: Path) -> None:
    """A batch with at least as many tokens as experts needs nearly all of them, so they are prefetched while the dense
    layers are computed. The logits stay the same."""
    skip_without(AVX2)  # without our matmuls the engine is not told about dense layers
    shape = Shape(num_hidden_layers=3)
    held = probe(tmp_path, shape)
    missing = replace(held, small_cache=True)
    few = replace(missing, batches=(10,) * 8)
    assert shape.num_experts > 10
    all_held, read, not_read = run_probes(tmp_path, held, missing, few)
    assert 0 < read.stats["prefetches"] == read.stats["prefetches_used"]
    assert not_read.stats["prefetches"] == 0
    assert np.array_equal(all_held.logits, read.logits)


@pytest.mark.slow
def test_a_short_batch_does_not_predict_a_long_one(tmp_path: Path) -> None:
    skip_without(AVX2)
    shape = Shape(num_hidden_layers=5, num_experts=64)  # of which 9 tokens want half at most
    long = replace(probe(tmp_path, shape), small_cache=True)
    at_once, after_short = run_probes(tmp_path, long, replace(long, batches=(9, 71)))
    assert 0 < at_once.stats["prefetches"] == after_short.stats["prefetches"]
