from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path at which a test may write a model file."""
    return tmp_path / "model.gguf"
