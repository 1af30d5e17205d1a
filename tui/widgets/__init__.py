"""The chat's widgets. None of them talks to the engine."""
