"""Coalescing loses no text, keeps the order and delays nothing longer than promised."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.engine.process.coalesce import COALESCE_SECONDS, coalesced
from edgemed.engine.process.protocol import Event, Piece, PromptProgress

STEPS = st.lists(
    st.tuples(
        st.floats(0, 0.1),
        st.one_of(
            st.builds(Piece, st.text(max_size=3), st.integers(0, 2)), st.builds(PromptProgress, st.integers(0, 9))
        ),
    ),
    max_size=40,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def play(clock: Clock, steps: list[tuple[float, Event]], *, fails: bool = False) -> Iterator[Event]:
    for pause, event in steps:
        clock.now += pause
        yield event
    if fails:
        raise ValueError


def runs(events: list[Event]) -> list[tuple[str, int] | Event]:
    """The events, with adjacent pieces added up."""
    result: list[tuple[str, int] | Event] = []
    for event in events:
        if not isinstance(event, Piece):
            result.append(event)
        elif result and isinstance(result[-1], tuple):
            result[-1] = (result[-1][0] + event.text, result[-1][1] + event.tokens)
        elif event.text or event.tokens:
            result.append((event.text, event.tokens))
    return result


@pytest.mark.slow
@given(STEPS)
def test_text_counts_and_order_stay(steps: list[tuple[float, Event]]) -> None:
    clock = Clock()
    assert runs(list(coalesced(play(clock, steps), clock))) == runs([event for _, event in steps])


@given(STEPS)
def test_a_failure_loses_no_text(steps: list[tuple[float, Event]]) -> None:
    clock = Clock()
    told: list[Event] = []
    with pytest.raises(ValueError):
        told.extend(coalesced(play(clock, steps, fails=True), clock))  # extend keeps the events before the error
    assert runs(told) == runs([event for _, event in steps])


def test_slow_pieces_and_the_first_are_sent_at_once_and_fast_ones_together() -> None:
    clock = Clock()
    slow: list[tuple[float, Event]] = [(2 * COALESCE_SECONDS, Piece("a", 1))] * 3
    assert list(coalesced(play(clock, slow), clock)) == [Piece("a", 1)] * 3
    fast: list[tuple[float, Event]] = [(COALESCE_SECONDS / 16, Piece("b", 1))] * 80
    first, *middle, last = coalesced(play(clock, fast), clock)
    assert first == Piece("b", 1)
    assert len(middle) == 4
    assert all(piece.tokens in (16, 17) for piece in middle)  # type: ignore[union-attr]
    assert last.tokens < 16  # type: ignore[union-attr]
