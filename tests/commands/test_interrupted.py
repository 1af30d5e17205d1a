"""However a command ends, its temporary files computed from texts are removed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed.scratch import PREFIX, scratch_folder

TEXTS = [{"text": f"The patient has had a cough for {number} days and takes 5 mg of it."} for number in range(300)]
SMALL = ("--passage", "32", "--threads", "1", "--tokens", "100000")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["calibrate", "eval"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_no_temporary_files(
    reference: Path, jsonl: Callable[..., Path], tmp_path: Path, verb: str, number: signal.Signals
) -> None:
    texts, out, scratch = str(jsonl("notes", *TEXTS)), tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    data = [texts] if verb == "calibrate" else ["--reference", str(reference), "--data", texts]
    words = [verb, str(reference), *data, "-o", str(out), "--scratch", str(scratch), *SMALL]
    child = subprocess.Popen(
        [sys.executable, "-m", "edgemed.cli", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell ignores it for background commands
    )
    deadline = time.monotonic() + 60
    while not list(scratch.glob("edgemed-*/*")):  # temporary results computed from the texts
        assert child.poll() is None, "the command ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(child.pid, number)  # like a terminal
    _, said = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert said == "edgemed: interrupted.\n"
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.jsonl", "scratch"]


def test_next_command_removes_the_folders_of_killed_ones(tmp_path: Path) -> None:
    names = (f"{PREFIX}left", f"{PREFIX}young", "edgemed-other", "edgemed-new-old", "edgemed-new-young")
    left, young, other, old_new, young_new = folders = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()
    for folder in (left, young, other):
        (folder / "logits.f16").write_bytes(b"private")
    for folder in (left, other, old_new):
        os.utime(folder, (0, 0))
    with scratch_folder(tmp_path) as used:
        os.utime(used, (0, 0))
        with scratch_folder(tmp_path) as second:
            assert used.is_dir()
            assert second.is_dir()
            assert not left.exists()
            assert not young.exists()
    assert sorted(tmp_path.iterdir()) == sorted([other, young_new])


@pytest.mark.slow
def test_a_killed_commands_folder_goes_at_the_next_start(tmp_path: Path) -> None:
    """At once, not after a while: it holds what was computed from private texts."""
    holds = "import pathlib, sys, time\nfrom edgemed.scratch import scratch_folder\n"
    holds += "with scratch_folder(pathlib.Path(sys.argv[1])) as f:\n"
    holds += "    (f / 'x').touch(); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holds, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        (held,) = tmp_path.iterdir()
        with scratch_folder(tmp_path):
            assert held.is_dir()
        child.kill()
    with scratch_folder(tmp_path) as used:
        assert list(tmp_path.iterdir()) == [used]
