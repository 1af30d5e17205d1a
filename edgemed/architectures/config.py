"""The values of a checkpoint's config.json, read by name and type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgemed.architectures.hparams import MAX_INTEGER
from edgemed.errors import CheckpointError

LEAST_NUMBER, MOST_NUMBER = 1e-37, 1e38  # what GGUF's 32 bits hold


class Config:
    """config.json's values, read by name and type. Raises CheckpointError for a missing or invalid one."""

    def __init__(self, values: Mapping[str, Any], file: str = "config.json") -> None:
        self._values = values
        self._file = file

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def require(self, wanted: Mapping[str, Any]) -> None:
        """Raise CheckpointError where a key is present with another value than the wanted one."""
        for key, value in wanted.items():
            if key in self and self.get(key) != value:
                raise CheckpointError(f"{self._file} says {key} = {self.get(key)!r:.60}; edgemed runs {value!r} only.")

    def integer(self, key: str, default: int | None = None, *, least: int = 0) -> int:
        value = self._values.get(key)
        value = default if value is None else value
        if type(value) is not int or not least <= value < MAX_INTEGER:
            raise self._odd(key, f"a whole number of at least {least}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST_NUMBER <= value <= MOST_NUMBER:
            raise self._odd(key, f"a number from {LEAST_NUMBER} to {MOST_NUMBER}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self._odd(key, "true or false")
        return value

    def section(self, key: str) -> Config:
        """The object under `key`; an empty one where it is absent or null."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self._odd(key, "an object")
        return Config(value or {}, f"{self._file}'s {key}")

    def _odd(self, key: str, wanted: str) -> CheckpointError:
        value = self._values.get(key)
        if value is None:
            return CheckpointError(f"{self._file} lacks {key}, which the model cannot be computed without.")
        return CheckpointError(f"{self._file} says {key} = {value!r:.60}, but it must be {wanted}.")
