"""The engine tests' tiny models, for chat tests on a real engine."""

from tests.engine.conftest import engine, model_path, models, shared_engine

__all__ = ["engine", "model_path", "models", "shared_engine"]
