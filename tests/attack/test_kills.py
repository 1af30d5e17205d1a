"""kill -9 of each process of the real chat at a random moment: what was shown a second before is kept.

EDGEMED_KILLS sets how many kills are made (default 5, of different processes). `python -m benchmarks.chat_kills` makes
many and prints a table.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from edgemed.vault.store import Store
from testing.chat_kills import TARGETS, kill_one
from testing.checkpoints import Shape, make_checkpoint
from testing.real_chat import Place

pytestmark = [
    pytest.mark.slow,
    # They follow a real terminal second by second, which beside other work is not repeatable enough for every run.
    pytest.mark.skipif("EDGEMED_ATTACK" not in os.environ, reason="set EDGEMED_ATTACK=1 to attack the real chat"),
]

KILLS = int(os.environ.get("EDGEMED_KILLS", "5"))


@pytest.fixture(scope="module")
def long_writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose answers take seconds, so that many kills come in the middle of one."""
    folder = tmp_path_factory.mktemp("long-writer")
    shape = Shape(num_hidden_layers=2, max_position_embeddings=2048, ends_turns=False)
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "model.gguf", Plan.uniform(8.0))
    return folder / "model.gguf"


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill(with_vault: Callable[[Callable[[Store], Any] | None], Place], long_writer: Path, number: int) -> None:
    seed = random.randrange(1 << 32)
    outcome = kill_one(with_vault(None), long_writer, TARGETS[number % len(TARGETS)], seed)
    assert outcome is None or not outcome.faults, (seed, outcome.target, *outcome.faults, outcome.shown)
