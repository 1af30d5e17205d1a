"""A batch's pass: what the disk reads while dense layers are multiplied."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from tests.support.checkpoints import Shape, make_checkpoint
from tests.support.engine_probe import Probe, run_probes
from tests.support.processor import PRODUCTS, skip_without

SHAPE = Shape(num_hidden_layers=5)  # four rows of experts, of which the last is never read ahead


def test_experts_are_read_before_the_first_layer_that_has_some(tmp_path: Path) -> None:
    """Where a batch has as many tokens as there are experts, and wants nearly all; the numbers stay the same."""
    skip_without(PRODUCTS)  # ggml says nothing before it multiplies a dense layer
    convert(str(make_checkpoint(tmp_path / "checkpoint", SHAPE)), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    held = Probe(str(tmp_path / "m.gguf"), tuple(range(20, 100)), repack=False)
    missing = replace(held, small_cache=True)
    few = replace(missing, batches=(2,) * 40)
    after_few = replace(missing, batches=(2, 78))
    all_held, read, not_read, read_then = run_probes(tmp_path, held, missing, few, after_few)
    assert 0 < read.stats["guesses"] == read.stats["guesses_used"]
    assert not_read.stats["guesses"] == 0
    assert read_then.stats["guesses"] == read.stats["guesses"]  # what a short batch wanted says nothing of a long one
    assert np.array_equal(all_held.logits, read.logits)
