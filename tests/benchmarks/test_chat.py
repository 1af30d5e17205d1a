"""benchmarks.chat in small: every step works. And the interface's memory, which stays flat."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import mean

import pytest

from benchmarks.chat_memory import resident

SMALL = "--turns 30 --others 2 --keys 4 --rounds 1 --memory-turns 4 --context 512 --paste 20000 --cheap --json"
WARM, TURNS = 50, 150
MOST_BYTES_A_TURN = 24 << 10
"""The texts, and what the allocator leaves. A turn that stays mounted has several hundred KiB."""


@pytest.mark.slow
def test_every_figure_is_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.chat", *SMALL.split()]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name in ("open_s", "unlock_s", "search_ms", "hide_ms", "hide_in_paste_ms", "open_while_answering_s"):
        assert found[name] > 0, name
    for program in (found, found["tutorial"]):
        assert program["keys"] >= 4
        assert 0 < program["key_median_ms"] <= program["key_p95_ms"]
        assert 0 < program["stream_core"] < 1
        assert program["open_s"] > 0
    assert found["memory"]["kib_per_turn"] > 0


@pytest.mark.slow
def test_the_memory_of_the_interface_is_flat() -> None:
    """150 turns after the window of mounted turns is full. The window is small, so that it is full soon."""
    found = resident(WARM + TURNS, window=(2, 4))
    growth = mean(found[-20:]) - mean(found[WARM : WARM + 20])
    assert growth / TURNS < MOST_BYTES_A_TURN
