"""`make setup` first checks this machine: each spelling of the compiler that make and CMake accept is accepted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[1] / "tools/check_machine.sh"


def check(folder: Path, compiler: str | None) -> subprocess.CompletedProcess[str]:
    """Run the check on a machine that also has ccache, which runs what it is given."""
    ccache = folder / "ccache"
    ccache.write_text('#!/bin/sh\nexec "$@"\n')
    ccache.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    if compiler is not None:
        environment["CXX"] = compiler
    return subprocess.run(["sh", str(CHECK)], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("compiler", [None, "", "g++", "ccache g++", " ccache  g++ ", "g++ -m64", "ccache\tg++ -pipe"])
def test_compilers_of_several_words(tmp_path: Path, compiler: str | None) -> None:
    done = check(tmp_path, compiler)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("compiler", ["none-such-compiler", "ccache none-such-compiler", "none-such-ccache g++"])
def test_a_missing_compiler_is_named(tmp_path: Path, compiler: str) -> None:
    done = check(tmp_path, compiler)
    assert done.returncode == 1
    assert done.stderr.startswith("edgemed: a C++ compiler is needed")
