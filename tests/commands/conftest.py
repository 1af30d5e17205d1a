"""A tiny random model in a precise and a coarse version, and texts for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return make_checkpoint(folder, Shape(num_hidden_layers=3, max_position_embeddings=512))


@pytest.fixture(scope="session")
def reference(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "reference.gguf"
    convert(str(checkpoint), path, Plan.uniform(Type.F16))
    return path


@pytest.fixture(scope="session")
def coarse(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coarse") / "coarse.gguf"
    convert(str(checkpoint), path, Plan.uniform(Type.Q2_K))
    return path


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes rows into a JSONL file with the given name."""

    def write(name: str, *rows: dict[str, Any]) -> Path:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        return path

    return write
