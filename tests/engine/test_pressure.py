"""Memory pressure shrinks the cache, its absence lets it grow, and its limits hold."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgemed.engine.pressure import HIGH, LOW, CacheSize, Governor, stalled_percent

LEAST, MOST = 1000, 100_000


@given(st.lists(st.floats(0, 100), max_size=200))
def test_the_size_stays_between_its_limits_and_follows_the_pressure(readings: list[float]) -> None:
    governor = Governor(LEAST, MOST, MOST)
    for reading in readings:
        before = governor.now
        after = governor.decide(reading)
        assert LEAST <= after <= MOST
        if reading >= HIGH:
            assert after < before or after == LEAST
        elif reading < LOW:
            assert after > before or after == MOST
        else:
            assert after == before


def test_lasting_pressure_ends_at_the_least_and_lasting_calm_at_the_most() -> None:
    governor = Governor(LEAST, MOST, MOST)
    for _ in range(40):
        governor.decide(50.0)
    assert governor.now == LEAST
    for _ in range(80):
        governor.decide(0.0)
    assert governor.now == MOST


def test_what_is_given_back_on_request_stays_away() -> None:
    sizes: list[int] = []
    size = CacheSize(Governor(LEAST, MOST, MOST), sizes.append)
    size.give_back(40_000)
    assert sizes == [60_000]
    size.follow(0.0)
    assert sizes == [60_000]
    size.follow(50.0)
    assert sizes[-1] < 60_000
    for _ in range(40):
        size.follow(0.0)
    assert sizes[-1] == 60_000
    size.give_back(10**9)
    assert sizes[-1] == LEAST


def test_the_kernels_line_is_read(tmp_path: Path) -> None:
    source = tmp_path / "memory"
    source.write_text(
        "some avg10=12.34 avg60=5.00 avg300=1.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    assert stalled_percent(source) == 12.34


def test_a_kernel_that_does_not_say_is_no_pressure(tmp_path: Path) -> None:
    assert stalled_percent(tmp_path / "nowhere") is None
    (tmp_path / "odd").write_text("nonsense\n")
    assert stalled_percent(tmp_path / "odd") is None
