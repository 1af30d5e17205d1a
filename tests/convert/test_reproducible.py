"""The same plan makes the same file, whatever instruction sets numpy, OpenBLAS and our kernels use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.model_file import keys, open_model

OTHERS = {
    "EDGEMED_KERNELS": "avx2",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "OPENBLAS_CORETYPE": "Nehalem",
}
"""Kernels that differ from those of any processor on which the engine runs."""


def converted(folder: Path, out: Path, *options: str, env: dict[str, str] | None = None) -> dict[str, object]:
    command = [
        sys.executable,
        "-P",
        "-W",
        "ignore",
        "-m",
        "edgemed.cli",
        "convert",
        str(folder),
        "-o",
        str(out),
        "--json",
    ]
    done = subprocess.run([*command, *options], env=os.environ | (env or {}), capture_output=True, check=True)
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.slow
def test_a_plan_without_calibration_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    here = converted(checkpoint, tmp_path / "here.gguf", "--bits", "3.2")
    there = converted(checkpoint, tmp_path / "there.gguf", "--bits", "3.2", env=OTHERS)
    assert here["weights_digest"] == there["weights_digest"]
    assert (tmp_path / "here.gguf").read_bytes() == (tmp_path / "there.gguf").read_bytes()


@pytest.mark.slow
def test_calibration_gives_the_same_plan_and_names_its_kernels(
    checkpoint: Path, statistics: Path, tmp_path: Path
) -> None:
    options = ("--bits", "3.2", "--calibration", str(statistics))
    here = converted(checkpoint, tmp_path / "here.gguf", *options)
    there = converted(checkpoint, tmp_path / "there.gguf", *options, env=OTHERS)
    assert here["plan_digest"] == there["plan_digest"]
    kernels = [
        open_model(tmp_path / f"{name}.gguf").metadata.text(keys.CALIBRATION_KERNELS) for name in ("here", "there")
    ]
    assert kernels[1] == "Nehalem"
    assert kernels[0] != kernels[1]
