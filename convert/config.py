"""A checkpoint's JSON files, read with limits and asked in a typed way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemed.errors import CheckpointError
from edgemed.files import size_of_file
from edgemed.model_file.hparams import MAX_INTEGER

MAX_JSON_BYTES = 256 << 20
LEAST_NUMBER, MOST_NUMBER = 1e-37, 1e38  # what GGUF's 32 bits hold


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises CheckpointError when there is none or it is not one."""
    try:
        if size_of_file(path) > MAX_JSON_BYTES:
            raise CheckpointError(f"{path.name} is larger than {MAX_JSON_BYTES >> 20} MiB, which no checkpoint needs.")
        raw = path.read_bytes()
        document = json.loads(raw)
        if b"\\ud" in raw.lower():
            # An escape may name half of a surrogate pair, which no file or terminal can take as text.
            json.dumps(document, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise CheckpointError(f"The checkpoint has no {path.name}; copy the whole folder.") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON ({error}); download it again.") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{path.name} is not a JSON object; download it again.")
    return document


def read_optional_json(path: Path) -> dict[str, Any]:
    """As `read_json`, but an empty object where there is no such file."""
    return read_json(path) if path.exists() else {}


class Config:
    """config.json's values, each asked for by name and kind. Raises CheckpointError for an absent or odd one."""

    def __init__(self, values: Mapping[str, Any], file: str = "config.json") -> None:
        self._values = values
        self._file = file

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def get(self, key: str) -> Any:
        return self._values.get(key)

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
            return CheckpointError(f"{self._file} lacks {key}, without which the model cannot be computed rightly.")
        return CheckpointError(f"{self._file} says {key} = {value!r:.60}, but it must be {wanted}.")
