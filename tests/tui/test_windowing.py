"""Which turns are mounted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemed.tui.windowing import FIRST_MOUNTED, backfilled, first_mounted

COUNTS = st.integers(0, 500)


@given(COUNTS)
def test_backfilling_reaches_the_first_turn_and_stops(count: int) -> None:
    first = first_mounted(count)
    assert count - first <= FIRST_MOUNTED
    steps = 0
    while first:
        assert backfilled(first) < first
        first = backfilled(first)
        steps += 1
    assert backfilled(0) == 0
    assert steps <= count // 20 + 1
