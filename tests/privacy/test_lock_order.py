"""Every process that meets a text or a model was forked by one that was locked already, as strace observes it.

strace records the system calls of a command and all its children. A program is identified by its module
(`-m edgemed.privacy ... edgemed.engine.process.X`). It closes itself, locks itself and forks. Only the forked process
may read a planted word from a pipe or socket, or open files with planted names.
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
from edgemed.vault.folder import create
from edgemed.vault.keys import Cost
from testing.checkpoints import Shape, make_checkpoint

pytestmark = pytest.mark.slow

WORD = "zebrafish-3141"  # planted in the question
CALLS = "execve,seccomp,prctl,openat,open,read,pread64,recvfrom,recvmsg,mmap,clone,fork"
_CALL = re.compile(r"(\w+)\((.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_FILTERED = re.compile(r"SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, .*= 0$")
_MODULE = re.compile(r'"-m", (?:"edgemed.privacy", "\d+", "offline", )?"(edgemed\.[\w.]+)"(?:, "([\w.:]+)")?')
_FORKED = re.compile(r"SIGCHLD.*= (\d+)$")


@dataclass
class Program:
    """One traced program: its module, and the events of its first process and of the process that it forked."""

    module: str
    first: list[str] = field(default_factory=list)
    forked: list[str] = field(default_factory=list)


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


def traced(tmp_path: Path, *words: str, files: tuple[str, ...], typed: str = "") -> list[Program]:
    """Run `edgemed words...`. Return its programs, each with its events in order: "closed" (to debuggers), "locked" (no
    network), "forked", and "touched" (one of `files` was opened, or WORD was read)."""
    log = tmp_path / "calls"
    command = ["strace", "-f", "-q", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-m", "edgemed.cli", *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    programs: list[Program] = []
    events: dict[str, list[str]] = {}  # of each process that counts; threads start after the locks are closed
    traced = list(calls(log))
    for process, name, rest in traced:  # strace may write a new process's calls before it writes how that was made
        if name == "execve" and (module := _MODULE.search(rest)) and rest.endswith("= 0"):
            programs.append(Program(module[2] if module[1].endswith(".job") and module[2] else module[1]))
            events[process] = programs[-1].first
        elif name in ("clone", "fork") and process in events and (new := _FORKED.search(rest)):
            program = next(program for program in programs if program.first is events[process])
            events[new[1]] = program.forked
    for process, name, rest in traced:
        happened = events.get(process, [])
        if name == "prctl" and "PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in rest:
            happened.append("closed")
        elif name == "seccomp" and _FILTERED.search(rest):
            happened.append("locked")
        elif name in ("clone", "fork") and _FORKED.search(rest):
            happened.append("forked")
        elif name != "execve" and (
            WORD in rest or (name in ("open", "openat") and any(file in rest for file in files))
        ):
            happened.append("touched")
    return programs


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


def check(programs: list[Program], *touching: str, idle: tuple[str, ...] = (), command: str = "edgemed.cli") -> None:
    """The programs are `touching` and `idle`, and `command`, which is not looked at if it is in neither. Those in
    `touching` met something planted, and only after their fork."""
    found = [program for program in programs if program.module in (*touching, *idle)]
    assert {program.module for program in programs} | {command} == {*touching, *idle, command}
    for program in found:
        assert program.first[0] == "closed", program
        assert program.first.index("locked") < program.first.index("forked"), program
        assert program.first.count("forked") == 1, program
        assert "touched" not in program.first, program
    met = {program.module for program in found if "touched" in program.forked}
    assert met == set(touching), "a program met nothing that was planted, so this test proves nothing about it"


def test_command_engine_and_template_fork_before_they_read_anything(model: Path, tmp_path: Path) -> None:
    words = ("generate", str(model), "-p", "-", "--max-tokens", "2")
    programs = traced(tmp_path, *words, typed=f"{WORD}?", files=(model.name,))
    check(programs, "edgemed.cli", "edgemed.engine.process.worker", "edgemed.engine.process.template")


def test_every_process_of_a_chat_forks_before_it_reads_anything(model: Path, tmp_path: Path) -> None:
    programs = traced(tmp_path, "chat", str(model), "--ctx", "64", typed=f"{WORD}?\n", files=(model.name,))
    check(programs, "edgemed.cli", "edgemed.engine.process.worker", "edgemed.engine.process.template")


def test_job_forks_before_it_reads_anything(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "planted-texts.jsonl"
    texts.write_text('{"text": "' + f"{WORD} " * 200 + '"}\n')
    words = ("calibrate", str(model), str(texts), "-o", str(tmp_path / "out.npz"), "--tokens", "64", "--effects", "0")
    check(traced(tmp_path, *words, files=(model.name, texts.name)), "edgemed.calibration.collect:collect")


def test_machine_probes_are_locked(model: Path, tmp_path: Path) -> None:
    programs = traced(tmp_path, "doctor", str(model), "--folder", str(tmp_path), files=("edgemed-twin-",))
    survey = "edgemed.forecast.survey"
    idle = (f"{survey}:find_gpu", f"{survey}:try_locks")
    probe = "edgemed.forecast.compute_rates:measure_twins"
    if not any(program.module == probe for program in programs):
        check(programs, idle=idle)
        pytest.skip("the machine is too busy for doctor to measure it")
    check(programs, probe, idle=idle)


def test_the_vault_command_forks_before_it_reads_the_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    place, passphrase = tmp_path / "vault", f"{WORD} is planted"
    create(place, passphrase, cost=Cost(memory_kib=64, iterations=1, lanes=1))[0].close()
    programs = traced(tmp_path, "vault", "check", "--vault", str(place), typed=passphrase, files=("keys.json",))
    check(programs, "edgemed.cli")
