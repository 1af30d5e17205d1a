"""How often a growing answer is painted, with a clock of its own."""

from __future__ import annotations

import pytest

from edgemed.tui.pacing import LEAST_SECONDS, MOST_SECONDS, SHARE, Pace


class Clock:
    """Wall time and processor time, moved by hand."""

    def __init__(self) -> None:
        self.now = self.used = 100.0

    def pace(self) -> Pace:
        return Pace(lambda: self.now, lambda: self.used)


def test_the_first_text_is_painted_at_once_and_the_next_after_the_least_time() -> None:
    clock = Clock()
    pace = clock.pace()
    assert pace.wait() == 0
    pace.painted()
    assert pace.wait() == pytest.approx(LEAST_SECONDS)
    clock.now += LEAST_SECONDS
    assert pace.wait() == 0
    pace.painted()
    pace.restart()
    assert pace.wait() == 0


@pytest.mark.parametrize("cost", [0.0005, 0.002, 0.01, 0.02, 0.025])
def test_painting_takes_at_most_its_share(cost: float) -> None:
    clock = Clock()
    pace = clock.pace()
    paints, began = 0, clock.now
    while clock.now < began + 60:
        clock.now += pace.wait() + 1e-9
        assert pace.wait() == 0
        pace.painted()
        paints += 1
        clock.used += cost
        clock.now += cost  # the paint itself
    assert cost * (paints - 1) / 60 <= SHARE * 1.01
    assert paints <= 60 / LEAST_SECONDS + 1


def test_even_a_very_slow_screen_is_painted() -> None:
    clock = Clock()
    pace = clock.pace()
    pace.painted()
    clock.used += 10
    clock.now += MOST_SECONDS
    assert pace.wait() == 0
