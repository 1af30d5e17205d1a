"""Measuring the machine: plausible rates, honest refusals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemed.engine import compute_rates, machine
from edgemed.engine.compute_rates import measure_compute
from edgemed.engine.machine import measure_busy, measure_disk, measure_memory
from edgemed.errors import SetupError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "file"
    path.write_bytes(os.urandom(1 << 20) * 16)
    return path


def test_rates_are_of_this_world(file: Path) -> None:
    assert 1e8 < measure_memory(1, 0.05) < 1e12
    rate, _direct = measure_disk(file, 1_000_000, depth=2, seconds=0.2)
    assert 1e5 < rate < 1e11


def test_every_place_is_read_once_and_no_further_than_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    original = os.preadv

    def watch(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        count = original(descriptor, buffers, offset)
        read.append((offset, count))
        return count

    monkeypatch.setattr(machine.os, "preadv", watch)
    measure_disk(file, 1_000_000, depth=3, seconds=5)
    size = 1_003_520  # the next multiple of a page
    assert sorted(read) == [(number * size, size) for number in range((16 << 20) // size)]


def test_where_direct_reads_are_refused_it_reads_through_the_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.open

    def no_direct(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return original(path, flags, *mode)

    monkeypatch.setattr(machine.os, "open", no_direct)
    assert measure_disk(file, 1_000_000, depth=1, seconds=0.05)[1] is False


def test_too_small_or_missing_files_are_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(SetupError, match="too small"):
        measure_disk(file, 16 << 20)
    with pytest.raises(SetupError, match="cannot be read"):
        measure_disk(tmp_path / "none", 4096)


def test_a_share_is_a_share() -> None:
    assert 0 <= measure_busy(0.05) <= 1


def test_computing_is_measured_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = measure_compute(1, {"Q4_K", "F32"}, 0.01)
    for measured in (rates.products, rates.few_rows, rates.batches):
        assert measured.keys() == {"Q4_K", "F32"}
        assert all(1e7 < rate < 1e13 for rate in measured.values())
    assert rates.threads == 1
    assert 1e-8 < rates.node_s < 1e-2
    assert -1e-5 < rates.start_s < 10
    assert 1e-10 < rates.sample_s < 1e-4
    assert 1e-6 < rates.tell_s < 1
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('there is no llama here')")
    monkeypatch.setattr(compute_rates, "environment", lambda: {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(SetupError, match="cannot be measured: there is no llama here"):
        measure_compute(1, {"Q4_K"}, 0.01)
