"""Checkpoints that many tests read and none changes."""

from pathlib import Path

import pytest

from testing.checkpoints import Shape, make_checkpoint

TINY = Shape(num_hidden_layers=2, num_experts=8, num_experts_per_tok=2)
"""One MoE layer of 8 experts: for tests that look at one thing only."""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BF16 checkpoint in two shards: 2 MoE layers of 16 experts."""
    return make_checkpoint(tmp_path_factory.mktemp("small") / "checkpoint", Shape())
