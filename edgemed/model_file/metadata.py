"""The key-value pairs of a GGUF header, decoded when they are asked for."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgemed.errors import ModelFileError

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""GGUF's numbers of scalar types, as codes of the struct module."""
STRING, ARRAY = 8, 9
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """Where one pair and its value lie in the header, in bytes, and the type of the value."""

    start: int  # of the whole pair, key included
    end: int
    kind: int
    value_at: int


class Metadata(Mapping[str, Any]):
    """The key-value pairs, decoded on access. Strings are returned as str, arrays as lists."""

    def __init__(self, buffer: bytes, fields: dict[str, Field]) -> None:
        self._buffer = buffer
        self._fields = fields

    def __getitem__(self, key: str) -> Any:
        field = self._fields[key]
        return _decode(self._buffer, field.kind, field.value_at)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def text(self, key: str) -> str | None:
        """The string under `key`, or None. Raises ModelFileError for a value of another type."""
        value = self.get(key)
        if value is None or isinstance(value, str):
            return value
        raise ModelFileError(f"The model file's {key} is not text; convert the checkpoint again.")

    def digest(self, key: str) -> str | None:
        """The SHA-256 under `key` in hexadecimal, or None. Raises ModelFileError for any other text: the first letters
        of a digest are shown above every answer."""
        value = self.text(key)
        if value is None or _DIGEST.fullmatch(value):
            return value
        raise ModelFileError(f"The model file's {key} is not a SHA-256 in hexadecimal; convert the checkpoint again.")

    def numbers(self, key: str) -> list[int] | None:
        """The array of unsigned integers under `key`, or None. Raises ModelFileError for a value of another type."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is int and 0 <= item < 1 << 64 for item in value):
            raise ModelFileError(
                f"The model file's {key} is not a list of unsigned integers; convert the checkpoint again."
            )
        return value

    def typed(self, key: str) -> tuple[Any, int, int | None]:
        """The value with strings as bytes, GGUF's number of its type, and that of an array's items."""
        field = self._fields[key]
        value, _ = _decode(self._buffer, field.kind, field.value_at, text=False)
        item = struct.unpack_from("<I", self._buffer, field.value_at)[0] if field.kind == ARRAY else None
        return value, field.kind, item

    def raw(self, key: str) -> bytes:
        """The bytes of the pair, key included, as stored in the file: for copying it into another header."""
        field = self._fields[key]
        return self._buffer[field.start : field.end]

    def value_at(self, key: str) -> int:
        """The offset of the value of `key` from the start of the file, in bytes."""
        return self._fields[key].value_at


def _decode(buffer: bytes, kind: int, at: int, *, text: bool = True) -> tuple[Any, int]:
    """Decode the value at `at`. The parser has already checked its bounds. Strings are bytes unless `text` is set."""
    if kind in SCALARS:
        return struct.unpack_from(SCALARS[kind], buffer, at)[0], at + struct.calcsize(SCALARS[kind])
    (count,) = struct.unpack_from("<Q", buffer, at if kind == STRING else at + 4)
    if kind == STRING:
        data = buffer[at + 8 : at + 8 + count]
        return data.decode("utf-8", "replace") if text else data, at + 8 + count
    (item,) = struct.unpack_from("<I", buffer, at)
    at += 12
    if item in SCALARS:
        code = SCALARS[item]
        values = list(struct.unpack_from(f"<{count}{code[1]}", buffer, at))
        return values, at + struct.calcsize(code) * count
    strings = []
    for _ in range(count):
        string, at = _decode(buffer, STRING, at, text=text)
        strings.append(string)
    return strings, at
