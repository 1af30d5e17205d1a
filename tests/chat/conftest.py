"""The engine's tiny models, for what a chat asks of the real thing."""

from tests.engine.conftest import engine, model_path, models, shared_engine

__all__ = ["engine", "model_path", "models", "shared_engine"]
