"""A family's numbers in the key-value pairs of a GGUF, read by name and type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gguf import GGUFWriter

from edgemed.errors import ModelFileError


class GgufKeys:
    """The pairs under one architecture's name: `number("block_count")` reads `bailingmoe2.block_count`. Raises
    ModelFileError for a missing or invalid one."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str) -> None:
        self._metadata = metadata
        self._architecture = architecture

    def get(self, key: str, default: Any = None) -> Any:
        """The value as it is."""
        return self._metadata.get(f"{self._architecture}.{key}", default)

    def real(self, key: str, default: float | None = None) -> float:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelFileError(f"The model file lacks the number {self._architecture}.{key}; convert it again.")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number, also one that the file repeats for every layer. Raises ModelFileError if layers differ."""
        values = self.get(key)
        if isinstance(values, list) and values:
            if any(value != values[0] for value in values) or type(values[0]) is not int:
                raise ModelFileError(
                    f"The model file gives its layers different values of {self._architecture}.{key}; edgemed runs "
                    "models whose layers are alike."
                )
            return int(values[0])
        value = self.real(key, default)
        if not isinstance(value, int):
            raise ModelFileError(
                f"The model file says {self._architecture}.{key} = {value}, which must be a whole number."
            )
        return value


def write_number(writer: GGUFWriter, key: str, value: int | float, *, real: bool) -> None:
    """Add the pair under the writer's architecture, in the kinds that llama.cpp's own converter uses."""
    name = f"{writer.arch}.{key}"
    if real:
        writer.add_float32(name, value)
    else:
        writer.add_uint32(name, int(value))
