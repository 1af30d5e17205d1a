"""The demonstration checkpoint that comes with edgemed: a real, tiny BailingMoeV2 whose words are not medicine."""

from __future__ import annotations

from pathlib import Path

from edgemed.errors import SetupError


def checkpoint_path() -> Path:
    """The folder of the bundled checkpoint. Raises SetupError where the installation lacks it."""
    folder = Path(__file__).parent / "demo_checkpoint"
    if not (folder / "config.json").exists():
        raise SetupError("This installation lacks the demonstration checkpoint; install edgemed again.")
    return folder
