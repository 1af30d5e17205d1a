"""A disk that is full at every single write of a day with the journal: a sentence each, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from testing.native_build import CannotBuildError, build_full_disk
from tests.vault.test_failing_disk import MEMORY


@pytest.mark.slow
def test_a_full_disk_at_each_write(tmp_path: Path) -> None:
    try:
        shim = build_full_disk(tmp_path)
    except CannotBuildError as reason:
        pytest.skip(f"the failing disk cannot be built here: {reason}")
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "testing.journal_faults", folder],
            env={**os.environ, "LD_PRELOAD": str(shim)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    once, always = json.loads(done.stdout).values()
    assert once > 30, "each write of the day fails once"
    assert always > 30, "the disk stays full from each write on"
