"""Interruptions: kill -9 in the middle, a changed checkpoint, a full disk, two conversions of the same file."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgemed.convert import Checkpoint, Progress, convert, find_source, shards
from edgemed.convert.journal import Checksums, Journal
from edgemed.convert.output import JOURNAL_SUFFIX
from edgemed.errors import CheckpointError, SetupError
from edgemed.outputs import hold, partial_of
from edgemed.quant.plan import Plan

PLAN = Plan.uniform(3.4)
# A conversion that sleeps after every report, so that there is time to kill it in the middle.
SLOWLY = """
import sys, time
from pathlib import Path
from edgemed.convert import convert
from edgemed.quant.plan import Plan
convert(sys.argv[1], Path(sys.argv[2]), Plan.uniform(3.4), layout=sys.argv[3], sync_seconds=0, threads=2,
        on_progress=lambda progress: time.sleep(0.05))
"""


def journalled(output: Path) -> int:
    path = output.with_name(output.name + JOURNAL_SUFFIX)
    return max(0, len(path.read_bytes().splitlines()) - 1) if path.exists() else 0


def start_and_kill(checkpoint: Path, output: Path, layout: str, after: int) -> None:
    """Run a conversion in another process and kill it once `after` work units are in its journal."""
    child = subprocess.Popen([sys.executable, "-c", SLOWLY, str(checkpoint), str(output), layout])
    try:
        deadline = time.monotonic() + 60
        while journalled(output) < after:
            assert child.poll() is None, "the conversion ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["edgemed", "llama.cpp"])
def test_killed_conversions_resume_to_the_same_bytes(small: Path, tmp_path: Path, layout: str) -> None:
    output = tmp_path / "out.gguf"
    start_and_kill(small, output, layout, after=5)
    first = journalled(output)
    start_and_kill(small, output, layout, after=first + 20)
    assert not output.exists()
    done = convert(str(small), output, PLAN, layout=layout)  # type: ignore[arg-type]
    assert done.units_resumed >= first + 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gguf"]
    convert(str(small), tmp_path / "whole.gguf", PLAN, layout=layout)  # type: ignore[arg-type]
    assert output.read_bytes() == (tmp_path / "whole.gguf").read_bytes()


class Stop(Exception):  # noqa: N818 - stands for any interruption
    pass


def interrupt(checkpoint: Path, output: Path, after: int = 8) -> None:
    """Leave an unfinished conversion of `output`."""

    def stop(progress: Progress) -> None:
        if progress.experts_done >= after:
            raise Stop

    with pytest.raises(Stop):
        convert(str(checkpoint), output, PLAN, on_progress=stop)


@pytest.mark.slow
def test_lost_bytes_are_written_again(small: Path, tmp_path: Path) -> None:
    """The journal's checksums are compared with the file's bytes before the bytes are kept."""
    output = tmp_path / "out.gguf"
    interrupt(small, output)
    partial = partial_of(output)
    content = partial.read_bytes()
    partial.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    convert(str(small), output, PLAN)
    convert(str(small), tmp_path / "whole.gguf", PLAN)
    assert output.read_bytes() == (tmp_path / "whole.gguf").read_bytes()


@pytest.mark.slow
def test_changed_plan_or_checkpoint_starts_over(small: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    interrupt(small, output)
    assert convert(str(small), output, Plan.uniform(4.5)).units_resumed == 0
    output.unlink()
    interrupt(small, output)
    shard = small / "model-00001-of-00002.safetensors"
    before = shard.stat()
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # as if other weights had been downloaded
    try:
        assert convert(str(small), output, PLAN).units_resumed == 0
    finally:
        os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_one(shard: Path, where: str) -> None:
    """Change one weight in place or, `where` "replaced", in a new file; size and modification time stay."""
    before, content = shard.stat(), bytearray(shard.read_bytes())
    content[-200] ^= 1
    if where == "replaced":
        shard.unlink()
    shard.write_bytes(content)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in place", "replaced"])
def test_changed_weights_of_the_same_size_and_time_start_over(small: Path, tmp_path: Path, where: str) -> None:
    source = shutil.copytree(small, tmp_path / "source")
    output = tmp_path / "out.gguf"
    interrupt(source, output)
    add_one(source / "model-00002-of-00002.safetensors", where)
    assert convert(str(source), output, PLAN).units_resumed == 0
    convert(str(source), tmp_path / "whole.gguf", PLAN)
    assert output.read_bytes() == (tmp_path / "whole.gguf").read_bytes()


@pytest.mark.slow
def test_what_is_reused_was_made_from_these_weights(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits that flip on the disk change no time and no inode."""
    source = shutil.copytree(small, tmp_path / "source")
    output = tmp_path / "out.gguf"
    monkeypatch.setattr(shards, "stamp", lambda status: (0,))
    interrupt(source, output, after=32)
    for shard in source.glob("*.safetensors"):
        add_one(shard, "in place")
    done = convert(str(source), output, PLAN)
    assert done.units_resumed > 0
    convert(str(source), tmp_path / "whole.gguf", PLAN)
    assert output.read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_a_shard_replaced_after_its_header_was_read_is_refused(small: Path, tmp_path: Path) -> None:
    source = shutil.copytree(small, tmp_path / "source")
    with Checkpoint(find_source(str(source))) as checkpoint:
        add_one(source / "model-00002-of-00002.safetensors", "replaced")
        with pytest.raises(CheckpointError, match="was changed while it was read"):
            convert(checkpoint, tmp_path / "out.gguf", PLAN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_incomplete_journal_line_is_ignored(tmp_path: Path) -> None:
    path, output = tmp_path / "journal", os.open(tmp_path / "output", os.O_CREAT | os.O_WRONLY)
    journal = Journal(path, "x", resume=True)
    for number in range(3):
        journal.record(number, Checksums(1000 + number, number))
    journal.sync(output)
    journal.close()
    path.write_bytes(path.read_bytes()[:-3])
    journal = Journal(path, "x", resume=True)
    assert journal.done == {0: (1000, 0), 1: (1001, 1)}
    journal.record(2, Checksums(1002, 2))
    journal.sync(output)
    journal.close()
    for binding, wanted in (("y", {}), ("x", {})):  # opening the journal for another conversion clears it
        journal = Journal(path, binding, resume=True)
        assert journal.done == wanted
        journal.close()
    os.close(output)


def test_second_conversion_of_a_file_is_refused(small: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    refused = []

    def again(progress: Progress) -> None:
        if not refused:
            with pytest.raises(SetupError, match="Another command is writing") as caught:
                convert(str(small), output, PLAN)
            refused.append(caught)

    convert(str(small), output, PLAN, on_progress=again)
    assert refused
    assert output.exists()


@pytest.mark.slow
def test_output_finished_between_opening_and_locking_is_kept(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second conversion has the partial file open when the first renames it and releases the lock."""
    output, opening, ends = tmp_path / "out.gguf", threading.Event(), threading.Event()
    first = threading.Thread(
        target=convert,
        args=(str(small), output, PLAN),
        kwargs={"on_progress": lambda progress: progress.experts_done and (opening.set(), ends.wait(60))},
    )

    def wait_for_the_first(file: int, path: Path) -> None:
        ends.set()
        first.join()
        hold(file, path)

    first.start()
    assert opening.wait(60)
    monkeypatch.setattr("edgemed.outputs.hold", wait_for_the_first)
    with pytest.raises(SetupError, match="has just finished writing"):
        convert(str(small), output, PLAN)
    monkeypatch.undo()
    convert(str(small), tmp_path / "whole.gguf", PLAN)
    assert output.read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gguf", "whole.gguf"]


@pytest.fixture
def little_disk(tmp_path: Path) -> Path:
    """A file system of one megabyte, if this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_lack_of_space_is_reported_before_starting(small: Path, little_disk: Path) -> None:
    reports: list[Progress] = []
    with pytest.raises(SetupError, match=r"needs [\d.]+ \w+, but only [\d.]+ \w+ are free"):
        convert(str(small), little_disk / "out.gguf", PLAN, on_progress=reports.append)
    assert reports == []
    assert list(little_disk.iterdir()) == []


@pytest.mark.slow
def test_full_disk_while_resuming_loses_nothing(small: Path, little_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(little_disk)], check=True)
    output, filler = little_disk / "out.gguf", little_disk / "filler"
    start_and_kill(small, output, "edgemed", after=5)
    left = sorted(path.name for path in little_disk.iterdir())
    disk = os.statvfs(little_disk)
    filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize))
    with pytest.raises(SetupError, match=r"journal cannot be written: No space left on device"):
        convert(str(small), output, PLAN)
    filler.unlink()
    assert sorted(path.name for path in little_disk.iterdir()) == left
    assert convert(str(small), output, PLAN).units_resumed >= 5


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("refused", ["folders", "everything"])
def test_a_file_system_that_cannot_sync_gets_a_finished_file(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, refused: str
) -> None:
    def refuse(file: int) -> None:
        if refused == "everything" or stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", refuse)
    done = convert(str(small), tmp_path / "out.gguf", PLAN, sync_seconds=0)
    assert "does not confirm what it has stored" in done.notes[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gguf"]


def test_a_disk_that_fails_while_it_syncs_is_an_error(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SetupError, match="The conversion stopped"):
        convert(str(small), tmp_path / "out.gguf", PLAN)
    assert not (tmp_path / "out.gguf").exists()
