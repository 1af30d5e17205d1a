"""The expert store and the batch products without ggml: the C++ checks beside this file, plain and under sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.native_build import CannotBuildError, build_checks

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
    "guesses_step_aside",
    "scans",
    "sizes",
    "looking",
    "products",
    "attention",
)
BUILDS = {
    "plain": (),
    "threads": ("-fsanitize=thread",),
    "memory": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_checks(tmp_path_factory.mktemp(request.param), BUILDS[request.param])
    except CannotBuildError as error:
        pytest.skip(f"the native checks cannot be built this way here: {error}")


@pytest.mark.parametrize("check", CHECKS)
def test_check(program: Path, check: str) -> None:
    done = subprocess.run([program, check], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def plain_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_checks(tmp_path_factory.mktemp("emulated"))
    except CannotBuildError as error:
        pytest.skip(f"the native checks cannot be built here: {error}")


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="there is no qemu-x86_64 to be another processor")
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell", "EPYC"])  # no AVX; AVX2 of Intel's and of AMD's
@pytest.mark.parametrize("check", ["products", "attention"])
def test_other_processors_meet_no_instruction_they_lack(plain_program: Path, check: str, processor: str) -> None:
    command = ["qemu-x86_64", "-cpu", processor, plain_program, check]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
