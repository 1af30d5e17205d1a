from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a model file may be written."""
    return tmp_path / "model.gguf"
