"""A llama.cpp that cannot be loaded, as without the driver of its GPU, or whose log has another format."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.engine.llama import LogCapture
from edgemed.errors import SetupError
from edgemed.ggml import library_folder

SENTENCE = r"llama-cpp-python cannot be loaded \(.*(too short|invalid ELF).*\)\. If it was built for a GPU, install"


@pytest.fixture
def unloadable(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds the installed package, but with a libllama that is not a library."""
    installed = library_folder().parent
    package = tmp_path / installed.name
    package.mkdir()
    for file in installed.glob("*.py"):
        shutil.copy(file, package)
    (package / "lib").mkdir()
    for library in library_folder().iterdir():
        (package / "lib" / library.name).symlink_to(library)
    for library in (package / "lib").glob("libllama.*"):
        library.unlink()
        library.write_bytes(b"no library")
    return os.environ | {"PYTHONPATH": str(tmp_path)}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["generate MODEL -p Fever?", "bench MODEL", "doctor --gpu-check MODEL", "doctor"])
def test_it_is_one_sentence_that_says_what_to_do(command: str, model_path: Path, unloadable: dict[str, str]) -> None:
    words = [word.replace("MODEL", str(model_path)) for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-m", "edgemed.cli", *words], env=unloadable, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.search(SENTENCE, done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_a_log_that_names_no_compute_buffer_is_refused() -> None:
    """Otherwise its scratch would count as zero bytes, and the engine would exceed --ram."""
    log = LogCapture()
    log(2, "llama_context:        CPU  output buffer size =     0.60 MiB\n")
    log(2, "sched_reserve:        CPU scratch space: 80.00 MiB\n")
    with pytest.raises(SetupError, match=r"does not name its compute buffer.*; install the llama-cpp-python"):
        log.compute_bytes(None)
    log(2, "sched_reserve:        CPU compute buffer size =    80.00 MiB\n")
    assert log.compute_bytes(None) == int(80.6 * 2**20)
