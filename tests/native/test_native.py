"""The C++ checks beside this file, built without ggml: plain and with sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edgemed.native.instructions import Instructions
from testing.native_build import CannotBuildError, build_checks, check_warnings

pytestmark = pytest.mark.slow

CHECKS = (
    "lay_out",
    "slots",
    "model",
    "budgets",
    "stops",
    "failing_reads",
    "changing_files",
    "opening_and_closing",
    "background",
    "background_waits",
    "prefetches_yield",
    "scans",
    "sizes",
    "looking",
    "matmul",
    "attention",
)
BUILDS = {
    "plain": (),
    "threads": ("-fsanitize=thread",),
    # -O0 compiles in half the time, and no wrong access is optimised away.
    "memory": ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plain: Path) -> Path:
    if request.param == "plain":
        return plain
    # The checks run the kernels in one thread, so the thread sanitizer has nothing to watch there.
    kernels = plain.parent if request.param == "threads" else None
    return build(request.param, tmp_path_factory.mktemp(request.param), kernels)


def build(name: str, folder: Path, kernels: Path | None = None) -> Path:
    try:
        return build_checks(folder, BUILDS[name], kernels)
    except CannotBuildError as error:
        pytest.skip(f"the native checks cannot be built this way here: {error}")


@pytest.mark.parametrize("check", CHECKS)
def test_check(program: Path, check: str) -> None:
    done = subprocess.run([program, check], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_other_sources_compile_without_warnings() -> None:
    try:
        check_warnings()
    except CannotBuildError as error:
        pytest.skip(f"the native library cannot be compiled here: {error}")


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="qemu-x86_64 is not installed")
@pytest.mark.parametrize("program", ["plain"], indirect=True)
@pytest.mark.parametrize(
    ("processor", "which"),
    [("Nehalem", Instructions.NONE), ("Haswell", Instructions.AVX2), ("EPYC", Instructions.AVX2)],
)
@pytest.mark.parametrize("check", ["matmul", "attention"])
def test_runs_on_processors_without_newer_instructions(
    program: Path, check: str, processor: str, which: Instructions
) -> None:
    command = ["qemu-x86_64", "-cpu", processor, program, check]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith(f"instructions: {which:d}\n")
