"""A batch's pass: what the disk reads while dense layers are multiplied."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.engine.library import start_llama
from edgemed.native.products import multiply
from edgemed.quant.plan import Plan
from tests.support.checkpoints import Shape, make_checkpoint
from tests.support.engine_probe import Probe, run_probes

SHAPE = Shape(num_hidden_layers=3)  # two rows of experts, of which the last is never read ahead


def test_experts_are_read_before_the_first_layer_that_has_some(tmp_path: Path) -> None:
    """Where a batch has as many tokens as there are experts, and wants nearly all; the numbers stay the same."""
    start_llama()
    if multiply(Type.Q8_0, np.zeros((16, 272), np.uint8), np.zeros((8, 256), np.float32)) is None:
        pytest.skip("this processor lacks AVX-512 VNNI: dense layers are left to ggml, which says nothing beforehand")
    convert(str(make_checkpoint(tmp_path / "checkpoint", SHAPE)), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    held = Probe(str(tmp_path / "m.gguf"), tuple(range(20, 100)))
    missing = replace(held, small_cache=True)
    few = replace(missing, batches=(SHAPE.num_experts - 1,) * 5 + (5,))
    all_held, read, not_read = run_probes(tmp_path, held, missing, few)
    assert 0 < read.stats["guesses"] == read.stats["guesses_used"]
    assert not_read.stats["guesses"] == 0
    assert np.array_equal(all_held.logits, read.logits)
