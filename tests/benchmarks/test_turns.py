"""What is made of the turns of two sides."""

from __future__ import annotations

import pytest

from benchmarks.in_memory import Turn, summary


def test_ratios_are_of_one_turn_not_of_different_minutes() -> None:
    slow, fast = Turn(ours=2.0, theirs=2.2, experts=5.0, memory=10.0), Turn(1.0, 1.1, 10.0, 20.0)
    found = summary([(1.0, 3.0), (2.0, 6.0)], [slow, fast, fast])
    assert found["decode_ratio"] == pytest.approx(1.1)
    assert found["prefill_ratio"] == pytest.approx(3.0)
    assert found["bandwidth_ratio"] == pytest.approx(0.5)
    assert found["turns"] == 3
