"""A disk that is full at every single write of a day with the vault: a sentence each, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testing.native_build import CannotBuildError, build_faulty_writes


@pytest.mark.slow
def test_a_full_disk_at_each_write(tmp_path: Path) -> None:
    try:
        shim = build_faulty_writes(tmp_path)
    except CannotBuildError as error:
        pytest.skip(f"no compiler: {error}")
    done = subprocess.run(
        [sys.executable, "-m", "testing.full_disk", str(tmp_path)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    once, always = json.loads(done.stdout).values()
    assert once > 30, "each write of the day fails once"
    assert always > 30, "the disk stays full from each write on"
