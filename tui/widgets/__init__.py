"""The chat's widgets. Each knows its own text and look; none knows the engine."""
