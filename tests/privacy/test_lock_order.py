"""Every child process locks itself down before it opens or reads a text or a model, as strace observes it.

strace records the system calls of a command and all its children. A child is identified by its module
(`-m edgemed.engine.process.X`). Before its locks are closed it must not read a planted word from a pipe or socket, nor
open files with planted names.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgemed.convert import convert
from edgemed.privacy import seccomp
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint

pytestmark = pytest.mark.slow

WORD = "zebrafish-3141"  # planted in the question
CALLS = "execve,seccomp,prctl,openat,open,read,pread64,recvfrom,recvmsg,mmap"
_CALL = re.compile(r"(\w+)\((.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_FILTERED = re.compile(r"SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, .*= 0$")
_MODULE = re.compile(r'"-m", "(edgemed\.[\w.]+)"(?:, "([\w.:]+)")?')


@dataclass
class Child:
    """One traced process: its module, and its events in order."""

    module: str
    happened: list[str] = field(default_factory=list)


def calls(log: Path) -> Iterator[tuple[str, str, str]]:
    """(process, call, arguments and result) of each call that has returned. strace splits a call into two lines if
    another process makes a call before it returns."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        process, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := _RESUMED.match(text):
            text = begun.pop(process, "") + text[resumed.end() :]
        if call := _CALL.match(text):
            yield process, call[1], call[2]


def traced(tmp_path: Path, *words: str, files: tuple[str, ...]) -> list[Child]:
    """Run `edgemed words...`. Return its children, each with its events in order: "closed" (to debuggers), "locked" (no
    network) and "touched" (one of `files` was opened, or WORD was read)."""
    log = tmp_path / "calls"
    command = ["strace", "-f", "-q", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-m", "edgemed.cli", *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    children: dict[str, Child] = {}
    for process, name, rest in calls(log):
        if name == "execve" and (module := _MODULE.search(rest)) and rest.endswith("= 0"):
            children[process] = Child(module[2] if module[1].endswith(".job") and module[2] else module[1])
            continue
        child = children.get(process)
        if child is None:  # the command itself, or a thread, which starts after the locks are closed
            continue
        if name == "prctl" and "PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in rest:
            child.happened.append("closed")
        elif name == "seccomp" and _FILTERED.search(rest):
            child.happened.append("locked")
        elif WORD in rest or (name in ("open", "openat") and any(file in rest for file in files)):
            child.happened.append("touched")
    return [child for child in children.values() if child.module != "edgemed.cli"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    checkpoint = make_checkpoint(folder / "checkpoint", Shape(num_hidden_layers=2, max_position_embeddings=512))
    path = folder / "planted-model.gguf"
    convert(str(checkpoint), path, Plan.uniform(8.0))
    return path


@pytest.fixture(autouse=True)
def _tools() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (Debian: apt install strace)")
    if seccomp.available() is not None:
        pytest.skip("this kernel cannot filter system calls")


def check(children: list[Child], *touching: str, idle: tuple[str, ...] = ()) -> None:
    """The children are `touching` and `idle`. Those in `touching` met something planted, and none did so unlocked."""
    assert {child.module for child in children} == {*touching, *idle}
    for child in children:
        assert child.happened[0] == "closed", child
        assert "locked" in child.happened, child
        before = child.happened[: child.happened.index("locked")]
        assert "touched" not in before, child
    met = {child.module for child in children if "touched" in child.happened}
    assert met >= set(touching), "a child met nothing that was planted, so this test proves nothing about it"


def test_engine_and_template_lock_before_they_read_anything(model: Path, tmp_path: Path) -> None:
    children = traced(tmp_path, "generate", str(model), "-p", f"{WORD}?", "--max-tokens", "2", files=(model.name,))
    check(children, "edgemed.engine.process.worker", "edgemed.engine.process.template")


def test_job_locks_before_it_reads_anything(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "planted-texts.jsonl"
    texts.write_text('{"text": "' + f"{WORD} " * 200 + '"}\n')
    words = ("calibrate", str(model), str(texts), "-o", str(tmp_path / "out.npz"), "--tokens", "64", "--effects", "0")
    check(traced(tmp_path, *words, files=(model.name, texts.name)), "edgemed.calibration.collect:collect")


def test_machine_probes_are_locked(model: Path, tmp_path: Path) -> None:
    children = traced(tmp_path, "doctor", str(model), "--folder", str(tmp_path), files=("edgemed-twin-",))
    survey = "edgemed.forecast.survey"
    idle = (f"{survey}:find_gpu", f"{survey}:try_locks")
    check(children, "edgemed.forecast.compute_rates:measure_twins", idle=idle)
