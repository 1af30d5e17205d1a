"""Model files for the engine's tests: tiny, random, created once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.convert.pipeline import convert
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint

CONTEXT = 8192  # long enough for an answer that takes seconds, so that tests on a busy machine can stop it in time
SHAPE = Shape(max_position_embeddings=CONTEXT, ends_turns=False)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model file by layout. The weights are random, so the answers are noise."""
    folder = tmp_path_factory.mktemp("models")
    checkpoint = make_checkpoint(folder / "checkpoint", SHAPE)
    files = {}
    for layout in ("edgemed", "llama.cpp"):
        files[layout] = folder / f"{layout}.gguf"
        convert(str(checkpoint), files[layout], Plan.uniform(8.0), layout=layout)  # type: ignore[arg-type]
    return files


@pytest.fixture(scope="session")
def model_path(models: dict[str, Path]) -> Path:
    return models["edgemed"]


@pytest.fixture(scope="session")
def shared_engine(model_path: Path) -> Iterator[Engine]:
    with Engine.start(model_path, EngineSettings(threads=1)) as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """An engine that is shared with earlier tests."""
    assert shared_engine.alive
    return shared_engine
