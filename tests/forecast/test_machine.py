"""Measurements of the machine: plausible rates, and errors that are reported."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from edgemed.engine import cores
from edgemed.engine.cores import measure_busy
from edgemed.errors import SetupError
from edgemed.forecast import machine
from edgemed.forecast.machine import DiskProbe, measure_memory


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "file"
    path.write_bytes(os.urandom(1 << 20) * 16)
    return path


@pytest.mark.slow
def test_rates_are_plausible(file: Path) -> None:
    assert 1e8 < measure_memory(1, 0.05) < 1e12
    with DiskProbe(file, 1_000_000, depth=2, seconds=0.2) as probe:
        probe.sample()
        assert 1e5 < probe.rate < 1e11


def test_disk_probe_reads_every_offset_once_within_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    original = os.preadv

    def watch(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        count = original(descriptor, buffers, offset)
        read.append((offset, count))
        return count

    monkeypatch.setattr(machine.os, "preadv", watch)
    with DiskProbe(file, 1_000_000, depth=2, samples=3, seconds=60) as probe:
        samples = []
        for _ in range(3):
            probe.sample()
            samples.append(len(read))
    size = 1_003_520  # rounded up to a multiple of a page
    assert sorted(read) == [(number * size, size) for number in range((16 << 20) // size)]
    assert samples == [5, 10, 16]


def test_disk_probe_falls_back_to_cached_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.open

    def no_direct(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return original(path, flags, *mode)

    monkeypatch.setattr(machine.os, "open", no_direct)
    with DiskProbe(file, 1_000_000, depth=1, seconds=0.05) as probe:
        probe.sample()
        assert not probe.direct
        assert probe.rate > 0


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_disk_probe_falls_back_where_only_the_read_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    original = os.preadv

    def no_direct(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(error, os.strerror(error))
        return original(descriptor, buffers, offset)

    monkeypatch.setattr(machine.os, "preadv", no_direct)
    with DiskProbe(file, 1_000_000, depth=2, samples=2, seconds=0.05) as probe:
        probe.sample()
        assert not probe.direct
        probe.sample()
        assert probe.rate > 0


def test_rate_is_total_bytes_over_total_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def slowly(_descriptor: int, buffers: list[memoryview], _offset: int) -> int:
        nonlocal now
        now += delays.pop()
        return len(buffers[0])

    delays = [0.2] * 4 + [0.1] * 4  # taken from the end: the second sample, then the first
    monkeypatch.setattr(machine.os, "preadv", slowly)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now)
    with DiskProbe(file, 2 << 20, depth=1, samples=2, seconds=5) as probe:
        probe.sample()
        assert probe.rate == pytest.approx((8 << 20) / 0.4)
        probe.sample()
        assert probe.rate == pytest.approx((16 << 20) / 1.2)


def test_failed_read_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(machine.os, "preadv", fails)
    with (
        DiskProbe(file, 1_000_000, depth=2) as probe,
        pytest.raises(SetupError, match=f"file cannot be read: {os.strerror(errno.EIO)}"),
    ):
        probe.sample()


def test_too_small_or_missing_files_are_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(SetupError, match="too small"):
        DiskProbe(file, 16 << 20, depth=1)
    with pytest.raises(SetupError, match="too small"):
        DiskProbe(file, 1 << 20, depth=2, samples=5)
    with pytest.raises(SetupError, match="cannot be read"):
        DiskProbe(tmp_path / "none", 4096, depth=1)


def test_busy_fraction_is_between_0_and_1() -> None:
    assert 0 <= measure_busy(0.05) <= 1


def test_our_own_work_and_that_of_our_children_is_not_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, second = iter([(1000, 5000), (1000, 5400)]), os.sysconf("SC_CLK_TCK") / 100
    seconds = iter([[0.0] * 5, [1 / second, 0.0, 1.5 / second, 0.5 / second, 9.0]])
    monkeypatch.setattr(cores, "idle_and_total", lambda: next(ticks))
    monkeypatch.setattr("os.times", lambda: os.times_result(next(seconds)))
    assert cores.Others().share() == pytest.approx(0.25)


def test_busy_fraction_stays_valid_when_idle_time_decreases(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([(1000, 5000), (998, 5008)])
    monkeypatch.setattr(cores, "idle_and_total", lambda: next(counts))
    assert measure_busy(0) == 1


@pytest.mark.parametrize("text", [None, "", "cpu  1 2 3\n"])
def test_a_machine_that_does_not_tell_its_load_counts_as_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(cores, "_STAT", tmp_path / "stat")
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert measure_busy(0) == 0


def topology(folder: Path, siblings: list[str], fast: str | None) -> Path:
    """Make /sys/devices of a processor whose hardware threads have these siblings and these performance cores."""
    for cpu, text in enumerate(siblings):
        place = folder / f"system/cpu/cpu{cpu}/topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(text + "\n")
    if fast is not None:
        (folder / "cpu_core").mkdir()
        (folder / "cpu_core/cpus").write_text(fast + "\n")
    return folder


@pytest.mark.parametrize(
    ("siblings", "fast", "allowed", "count"),
    [
        (["0", "1", "2", "3"], None, {0, 1, 2, 3}, 4),
        (["0-1", "0-1", "2-3", "2-3"], None, {0, 1, 2, 3}, 2),
        (["0-1", "0-1", "2-3", "2-3"], None, {1, 2}, 2),
        (["0-1", "0-1", "2-3", "2-3", "4", "5", "6"], "0-3", set(range(7)), 2),  # two fast cores and three slow ones
        (["0", "1", "2", "3", "4"], "0,2-3", set(range(5)), 3),
        (["0-1", "0-1", "2", "3"], "0-1", {2, 3}, 2),  # the process may run on slow cores only
    ],
)
def test_compute_cores(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    siblings: list[str],
    fast: str | None,
    allowed: set[int],
    count: int,
) -> None:
    monkeypatch.setattr(cores, "_SYSTEM", topology(tmp_path, siblings, fast))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: allowed)
    monkeypatch.setattr(cores, "processor_quota", lambda: None)
    assert cores.usable_cores() == count


def test_without_topology_every_thread_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_SYSTEM", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 5, 9})
    monkeypatch.setattr(cores, "processor_quota", lambda: None)
    assert cores.usable_cores() == 3
