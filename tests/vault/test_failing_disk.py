"""A disk that is full or broken from any write on: each action ends with a sentence or succeeds, and loses nothing.

EDGEMED_FAULTS sets how many of an action's writes are tried (default 6, spread over all).
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from testing.native_build import CannotBuildError, build_full_disk
from testing.vault_faults import ACTIONS

FAULTS = os.environ.get("EDGEMED_FAULTS", "6")


MEMORY = Path("/dev/shm")
"""Hundreds of vaults are made, and their syncs would wait for a real disk."""


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_each_action_on_a_disk_that_fails(tmp_path: Path, error: int) -> None:
    try:
        shim = build_full_disk(tmp_path)
    except CannotBuildError as reason:
        pytest.skip(f"the failing disk cannot be built here: {reason}")
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        told = subprocess.run(
            [sys.executable, "-m", "testing.vault_faults", f"{folder}/faults", FAULTS, str(error)],
            env=os.environ | {"LD_PRELOAD": str(shim), "HOME": folder},
            capture_output=True,
            text=True,
            timeout=3000,
        )
    assert told.returncode == 0, told.stderr[-3000:]
    assert [line.split(":")[0] for line in told.stdout.splitlines()] == list(ACTIONS)
    if error == errno.ENOSPC:
        assert "because the disk is full; free some space, then try again." in told.stdout
