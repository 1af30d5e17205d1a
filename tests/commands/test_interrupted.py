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
    left, young, other = (tmp_path / name for name in (f"{PREFIX}left", f"{PREFIX}young", "edgemed-other"))
    for folder in (left, young, other):
        folder.mkdir()
        (folder / "logits.f16").write_bytes(b"private")
    with scratch_folder(tmp_path) as used:
        for folder in (left, other, used):
            os.utime(folder, (0, 0))
        with scratch_folder(tmp_path):
            assert used.is_dir()
            assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([young, other])


def test_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    line = f"trap '' HUP; exec {sys.executable} -c '{HANGS_UP}'"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


HANGS_UP = """
import os, signal
from edgemed.commands._signals import signals_interrupt
with signals_interrupt():
    os.kill(os.getpid(), signal.SIGHUP)
    print("went on")
"""
