"""Which answers are live and which turns are mounted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemed.tui.windowing import FIRST_MOUNTED, LIVE, backfilled, first_mounted, live_answers

COUNTS = st.integers(0, 500)


@given(COUNTS, st.none() | st.integers(-5, 505), st.integers(1, 20))
def test_never_more_than_the_limit_and_always_the_newest(count: int, promoted: int | None, limit: int) -> None:
    live = live_answers(count, promoted, limit)
    assert len(live) == min(count, limit)
    assert live <= set(range(count))
    assert not count or count - 1 in live


@given(st.integers(1, 500), st.data())
def test_an_answer_with_the_focus_is_live(count: int, data: st.DataObject) -> None:
    promoted = data.draw(st.integers(0, count - 1))
    assert promoted in live_answers(count, promoted)


def test_the_promoted_answer_takes_the_oldest_place() -> None:
    assert live_answers(20) == set(range(12, 20))
    assert live_answers(20, 3) == {3, *range(13, 20)}
    assert LIVE == 8


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
