"""Checkpoints that many tests read and none modifies."""

from pathlib import Path

import numpy as np
import pytest

from edgemed.quant.sample import token_keys
from edgemed.quant.statistics import Statistics
from testing.checkpoints import Shape, make_checkpoint

TINY = Shape(num_hidden_layers=2, num_experts=8, num_experts_per_tok=2)
"""One MoE layer of 8 experts, for tests of a single aspect."""
UNEVEN = Shape(num_hidden_layers=3, num_experts=8, n_group=2, topk_group=1, num_experts_per_tok=2)
"""Two MoE layers; `statistics` describes their experts."""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BF16 checkpoint in two shards: 2 MoE layers of 16 experts."""
    return make_checkpoint(tmp_path_factory.mktemp("small") / "checkpoint", Shape())


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BF16 checkpoint for calibration."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), UNEVEN)


@pytest.fixture(scope="session")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Statistics of `checkpoint` on invented inputs: columns and expert use are unequal, and expert 7 is never used."""
    random, width, used = np.random.default_rng(0), UNEVEN.hidden_size, UNEVEN.num_experts_per_tok
    found = Statistics.empty(["d"], (1, 2), n_expert=8, n_used=used, n_embd=width, n_ff=256, sample=300)
    for moe_layer in range(2):
        inputs = random.standard_normal((300, width)) * np.geomspace(0.05, 3, width)
        experts = np.minimum(random.integers(0, 7, (300, 1)) // [1, 2] + [0, 4], 6)
        shares = random.uniform(0.5, 1.5, (300, used))
        found.observe_layer(
            0, moe_layer, token_keys(str(moe_layer), 300), inputs, experts, shares, np.full(300, 0.1), np.ones(300)
        )
        for expert in range(7):
            token, rank = np.nonzero(experts == expert)
            inner = random.standard_normal((len(token), 256))
            found.observe_expert(0, moe_layer, expert, inputs[token], shares[token, rank], inner, inner)
    path = tmp_path_factory.mktemp("statistics") / "s.npz"
    found.save(path)
    return path
