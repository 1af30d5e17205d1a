"""The header of one safetensors file: names, dtypes, shapes and offsets of its tensors, all checked before use.

Format: the length of the header in eight little-endian bytes, the header as JSON, then the data. Offsets in the JSON
count from the first byte of the data. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edgemed.errors import CheckpointError
from edgemed.sizes import file_size

MAX_HEADER_BYTES = 100_000_000
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 1 << 42
DTYPE_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a shard. `shape` is in torch's order (out, in); `offset` counts from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """A shard's tensors by name, its size in bytes, and the SHA-256 of its header."""

    tensors: dict[str, StoredTensor]
    size_bytes: int
    digest: str


def read_header(path: Path) -> ShardHeader:
    """The header of `path`. Raises CheckpointError if it is damaged, truncated or has an unsupported dtype."""
    try:
        size = file_size(path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MAX_HEADER_BYTES:
                raise _damaged(path, f"it claims a header of {length} bytes; at most {MAX_HEADER_BYTES} are allowed")
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"The shard {path.name} cannot be read: {error.strerror}.") from None
    if size < 8 or len(text) < length:
        raise _damaged(path, "it ends inside its header")
    document = _parse(path, text)
    document.pop("__metadata__", None)
    data_start = 8 + length
    tensors = {name: _tensor(path, name, entry, data_start, size) for name, entry in document.items()}
    return ShardHeader(tensors, size, hashlib.sha256(text).hexdigest())


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("duplicate name")
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not valid JSON ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise _damaged(path, "its header is not a JSON object")
    return document


def _tensor(path: Path, name: str, entry: Any, data_start: int, size: int) -> StoredTensor:
    if not isinstance(entry, dict):
        raise _damaged(path, f"its header entry for {name!r} is not an object")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise CheckpointError(
            f"The tensor {name} in {path.name} is stored as {dtype}, but edgemed converts only "
            f"{', '.join(DTYPE_BYTES)}; use a checkpoint in one of these."
        )
    shape, offsets = _whole_numbers(entry.get("shape")), _whole_numbers(entry.get("data_offsets"))
    if shape is None or not 1 <= len(shape) <= MAX_DIMENSIONS or not 1 <= prod(shape) <= MAX_ELEMENTS:
        raise _damaged(path, f"its header gives {name} an impossible shape")
    if offsets is None or len(offsets) != 2 or offsets[1] - offsets[0] != prod(shape) * DTYPE_BYTES[dtype]:
        raise _damaged(path, f"its header gives {name} offsets that do not match its shape")
    if data_start + offsets[1] > size:
        raise _damaged(path, f"it ends before {name} does")
    return StoredTensor(name, dtype, tuple(shape), data_start + offsets[0], offsets[1] - offsets[0])


def _whole_numbers(value: Any) -> list[int] | None:
    return value if isinstance(value, list) and all(type(number) is int and number >= 0 for number in value) else None


def _damaged(path: Path, fault: str) -> CheckpointError:
    return CheckpointError(f"The shard {path.name} is damaged or cut short: {fault}; download it again.")
